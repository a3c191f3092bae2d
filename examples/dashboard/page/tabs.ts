/**
 * Turns the buttons of a tab list into tabs, after the ARIA pattern: the arrow keys, Home and End
 * choose a tab, and the Tab key moves from the chosen tab to its panel.
 */
export function tabsIn(list: HTMLElement): void {
  const tabs = [...list.querySelectorAll<HTMLElement>('[role=tab]')];
  const choose = (chosen: HTMLElement): void => {
    for (const tab of tabs) {
      const isChosen = tab === chosen;
      tab.setAttribute('aria-selected', String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
      panelOf(tab).hidden = !isChosen;
    }
  };
  list.addEventListener('click', ({ target }) => {
    const tab = (target as Element).closest<HTMLElement>('[role=tab]');
    if (tab !== null) choose(tab);
  });
  list.addEventListener('keydown', (event) => {
    const next =
      tabs[indexAfter(event.key, tabs.indexOf(event.target as HTMLElement), tabs.length)];
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
    next.focus();
  });
}

function indexAfter(key: string, index: number, length: number): number {
  if (key === 'ArrowRight') return (index + 1) % length;
  if (key === 'ArrowLeft') return (index + length - 1) % length;
  if (key === 'Home') return 0;
  return key === 'End' ? length - 1 : -1;
}

function panelOf(tab: HTMLElement): HTMLElement {
  const panel = document.getElementById(tab.getAttribute('aria-controls') ?? '');
  if (panel === null) throw new Error(`The tab #${tab.id} has no panel`);
  return panel;
}
