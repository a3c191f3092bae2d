import { grouped } from './tables.mjs';

export const WIDTH = 760;
const LABEL = 200;
const BAR = 16;
const SHOWN = [
  ['get, 64 at a time', 'ops/s', 'more is better'],
  ['get, 64 at a time', 'µs CPU/op', 'less is better'],
  ['save, 64 at a time', 'ops/s', 'more is better'],
  ['view, row by row', 'ms', 'less is better'],
  ['feed', 'changes/s', 'more is better'],
];

/** The look of all charts, on light and dark pages. */
export const style = `<style>
text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-weight: 600 } .note { fill: #777 }
.ours { fill: #b4552d } .theirs { fill: #9aa5ad }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .note { fill: #999 } .ours { fill: #e08a5f } .theirs { fill: #66727a } }
</style>`;

/** Draws some figures of a run as a bar chart for light and dark pages. */
export function chart({ results, machine, date, rounds }) {
  let y = 8;
  const parts = [];
  const text = (x, at, words, more = '') =>
    parts.push(`<text x="${x}" y="${at}" ${more}>${escaped(words)}</text>`);
  for (const [title, all] of grouped(results)) {
    for (const [name, column, better] of SHOWN) {
      const own = all.filter((one) => one.case === name && one.figures[column] !== undefined);
      if (own.length < 2) continue;
      const most = Math.max(...own.map(({ figures }) => figures[column]));
      y += 22;
      text(0, y, `${title}: ${column}, ${better}`, 'class="title"');
      y += 8;
      for (const { client, figures } of own) {
        const value = figures[column];
        const length = Math.max(1, Math.round((value / most) * (WIDTH - LABEL - 90)));
        text(LABEL - 8, y + 12, client, 'text-anchor="end"');
        const ours = client.startsWith('corduroy') ? 'ours' : 'theirs';
        parts.push(
          `<rect class="${ours}" x="${LABEL}" y="${y}" width="${length}" height="${BAR - 3}" rx="2"/>`,
        );
        text(
          LABEL + length + 6,
          y + 12,
          value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1),
        );
        y += BAR;
      }
    }
  }
  y += 24;
  const node = `Node ${machine.node}, ${machine.cores} × ${machine.cpu}, ${date.slice(0, 10)}, medians of ${rounds} rounds`;
  text(0, y, node, 'class="note"');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 12}" role="img" aria-label="Corduroy beside other clients">
${style}
${parts.join('\n')}
</svg>
`;
}

export function escaped(words) {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
