const format = new Intl.NumberFormat('en-US');

/** Returns the element with an id. */
export function find(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element #${id}`);
  return element;
}

/** Sets the text of an element, and leaves the element alone if the text is the same. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows a number or a text in the element with an id. */
export function show(id: string, value: number | string): void {
  setText(find(id), typeof value === 'number' ? figure(value) : value);
}

/** Formats a number with thousands separators. */
export const figure = (value: number): string => format.format(value);

/** Formats a number of things: `1 batch`, `1,018 flights`. */
export function count(value: number, noun: string): string {
  const plural = noun.endsWith('ch') ? `${noun}es` : `${noun}s`;
  return `${figure(value)} ${value === 1 ? noun : plural}`;
}

/** Formats milliseconds as seconds with one decimal. */
export const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/** Formats the date of a flight: `January 2, 2001, 14:05`. */
export function dateOf(date: string): string {
  const time = new Date(`${date.replace(' ', 'T')}Z`);
  return time.toLocaleString('en-US', {
    timeZone: 'UTC',
    dateStyle: 'long',
    timeStyle: 'short',
    hourCycle: 'h23',
  });
}
