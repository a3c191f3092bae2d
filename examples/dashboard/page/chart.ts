/** One second of the chart: how many changes came in it, and whether the feed was live. */
export interface Second {
  readonly changes: number;
  readonly live: boolean;
}

export const SECONDS = 60;

const HEIGHT = 170;
const MARGIN = { top: 12, right: 4, bottom: 22, left: 30 };
const SVG = 'http://www.w3.org/2000/svg';

/** Returns a function that draws the last minute into an `<svg>`; it follows the width there is. */
export function chartIn(svg: SVGSVGElement): (seconds: readonly Second[]) => void {
  let shown: readonly Second[] = [];
  const draw = (): void => {
    const width = Math.max(svg.clientWidth, 200);
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    svg.replaceChildren(...shapes(shown, width));
  };
  new ResizeObserver(draw).observe(svg);
  return (seconds) => {
    shown = seconds;
    draw();
    const latest = seconds.at(-1)?.changes ?? 0;
    svg.setAttribute('aria-label', `Changes a second in the last minute; ${latest} in the last`);
  };
}

function shapes(seconds: readonly Second[], width: number): SVGElement[] {
  const top = niceTop(Math.max(10, ...seconds.map(({ changes }) => changes)));
  const inner = HEIGHT - MARGIN.top - MARGIN.bottom;
  const y = (value: number): number => MARGIN.top + inner * (1 - value / top);
  const step = (width - MARGIN.left - MARGIN.right) / SECONDS;
  const x = (second: number): number => MARGIN.left + step * second;
  // The newest is at the right, also while there are fewer than a minute's.
  const first = SECONDS - seconds.length;

  const grid = [0, top / 2, top].flatMap((value) => [
    shape('line', {
      class: 'grid',
      x1: MARGIN.left,
      x2: width - MARGIN.right,
      y1: y(value),
      y2: y(value),
    }),
    label(String(value), { x: MARGIN.left - 6, y: y(value) + 4, 'text-anchor': 'end' }),
  ]);
  const cuts = runs(seconds).map(([from, to]) =>
    shape('rect', {
      class: 'cut',
      x: x(first + from),
      y: MARGIN.top,
      width: step * (to - from),
      height: inner,
    }),
  );
  const bars = seconds.flatMap(({ changes }, index) =>
    changes === 0
      ? []
      : [
          shape('rect', {
            class: 'bar',
            x: x(first + index) + step * 0.12,
            y: y(changes),
            width: step * 0.76,
            height: y(0) - y(changes),
            rx: 1,
          }),
        ],
  );
  const bottom = HEIGHT - 5;
  const times = [
    label('60 s ago', { x: MARGIN.left, y: bottom }),
    label('30 s', { x: x(SECONDS / 2), y: bottom, 'text-anchor': 'middle' }),
    label('now', { x: width - MARGIN.right, y: bottom, 'text-anchor': 'end' }),
  ];
  return [...cuts, ...grid, ...bars, ...times];
}

/** Where the feed was not live: the first second of each run, and the one after its last. */
function runs(seconds: readonly Second[]): [from: number, to: number][] {
  const found: [from: number, to: number][] = [];
  seconds.forEach(({ live }, index) => {
    const last = found.at(-1);
    if (live) return;
    if (last?.[1] === index) last[1] = index + 1;
    else found.push([index, index + 1]);
  });
  return found;
}

/** The next of 10, 20, 50, 100, 200… */
function niceTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((step) => step * power >= value) ?? 10);
}

function shape(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

function label(text: string, attributes: Record<string, string | number>): SVGElement {
  const element = shape('text', attributes);
  element.textContent = text;
  return element;
}
