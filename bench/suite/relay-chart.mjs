/** The chart of `bench/relay.mjs`: the CPU of CouchDB for a write, against the number of listeners. */
import { WIDTH, escaped, style } from './chart.mjs';

const HEIGHT = 300;
const PLOT = { left: 56, right: WIDTH - 150, top: 34, bottom: HEIGHT - 44 };
const SERIES = [
  { isDirect: true, name: 'on CouchDB', look: 'theirs' },
  { isDirect: false, name: 'through the relay', look: 'ours' },
];

/** Draws a line for the listeners on CouchDB, and one for those of the relay. Both axes are logarithmic. */
export function relayChart({ results, machine, date, rounds }) {
  const counts = [...new Set(results.map(({ count }) => count))].sort((a, b) => a - b);
  const costs = results.map(({ figures }) => figures.couch);
  const across = scale(counts[0], counts.at(-1), PLOT.left, PLOT.right);
  const [least, most] = [
    10 ** Math.floor(Math.log10(Math.min(...costs))),
    Math.max(...costs) * 1.3,
  ];
  const up = scale(least, most, PLOT.bottom, PLOT.top);
  const parts = [];
  const text = (x, y, words, more = '') =>
    parts.push(`<text x="${x}" y="${y}" ${more}>${escaped(words)}</text>`);
  const title = 'CPU of CouchDB for a write, ms, less is better, against the number of listeners';
  text(0, 16, title, 'class="title"');
  for (let value = least; value <= most; value *= 10) {
    parts.push(
      `<path class="grid" d="M${PLOT.left} ${up(value)}H${PLOT.right}"/>`,
      `<text x="${PLOT.left - 8}" y="${up(value) + 4}" text-anchor="end">${value}</text>`,
    );
  }
  for (const count of counts)
    text(across(count), PLOT.bottom + 20, count.toLocaleString('en'), 'text-anchor="middle"');
  for (const { isDirect, name, look } of SERIES) {
    const points = results
      .filter((one) => one.isDirect === isDirect)
      .sort((a, b) => a.count - b.count)
      .map(({ count, figures }) => ({
        x: across(count),
        y: up(figures.couch),
        value: figures.couch,
      }));
    if (points.length === 0) continue;
    parts.push(
      `<path class="line ${look}" d="M${points.map(({ x, y }) => `${x} ${y}`).join('L')}"/>`,
    );
    for (const { x, y, value } of points) {
      parts.push(`<circle class="${look}" cx="${x}" cy="${y}" r="3.5"/>`);
      // The labels of the two lines meet where both have few listeners.
      const [at, anchor] = isDirect ? [y - 9, 'middle'] : [y + 17, 'middle'];
      text(x, at, value >= 100 ? value.toFixed(0) : value.toFixed(1), `text-anchor="${anchor}"`);
    }
    const { x, y } = points.at(-1);
    text(x + (isDirect ? 10 : 14), y + 4, name, 'class="title"');
  }
  const note = `CouchDB 3.5 and the relay on one machine; Node ${machine.node}, ${machine.cores} × ${machine.cpu}, ${date.slice(0, 10)}, ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}`;
  text(0, HEIGHT - 6, note, 'class="note"');
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="The CPU of CouchDB for a write, directly and through the relay">
${style}
<style>.line { fill: none; stroke-width: 2 } .line.ours { stroke: #b4552d } .line.theirs { stroke: #9aa5ad } .grid { stroke: #8884 }</style>
${parts.join('\n')}
</svg>
`;
}

/** Returns a function that maps numbers to places of a logarithmic axis. */
function scale(least, most, from, to) {
  const part = (value) => Math.log(value / least) / Math.log(Math.max(most / least, 2));
  return (value) => Math.round((from + part(value) * (to - from)) * 10) / 10;
}
