/** The tables of `bench/relay.mjs`: the figures, and whether each target is met. */

const ms = (value) => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(1));
const kb = (bytes) => (bytes / 1000).toFixed(1);

const COLUMNS = [
  ['CPU of CouchDB, ms/write', ({ couch }) => ms(couch)],
  ['CPU of the relay, ms/write', ({ relay }, isDirect) => (isDirect ? '' : ms(relay))],
  ['kB/listener', ({ memory }, isDirect, count) => (isDirect || count < 100 ? '' : kb(memory))],
  ['write, ms', ({ write }) => ms(write)],
  ['delivery, ms', ({ delivery }) => `${ms(delivery.median)} (p95 ${ms(delivery.p95)})`],
  ['10/s: CPU of CouchDB, ms/write', ({ load }) => ms(load.couch)],
  ['10/s: CPU of the relay', ({ load }, isDirect) => (isDirect ? '' : ms(load.relay))],
  ['10/s: write', ({ load }) => `${ms(load.write)} (p95 ${ms(load.slowWrite)})`],
  [
    '10/s: delivery',
    ({ load: { delivery } }) => `${ms(delivery.median)} (p95 ${ms(delivery.p95)})`,
  ],
];

/** Writes all figures as a table in Markdown. */
export function wideTable(results) {
  const lines = [
    ['Listeners', ...COLUMNS.map(([name]) => name)],
    ['---', ...COLUMNS.map(() => '---:')],
    ...results.map(({ count, isDirect, figures }) => [
      `${count.toLocaleString('en')} ${isDirect ? 'on CouchDB' : 'on the relay'}`,
      ...COLUMNS.map(([, cell]) => cell(figures, isDirect, count)),
    ]),
  ];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Compares the figures of the relay with the targets. */
export function targetsOf(results) {
  const rows = [];
  const row = (what, value, most, unit) =>
    rows.push({
      what,
      measured: `${value.toFixed(1)} ${unit}`,
      target: `≤ ${most} ${unit}`,
      met: value <= most,
    });
  for (const { count, isDirect, figures } of results) {
    if (isDirect) continue;
    const { couch, relay, memory, load } = figures;
    const who = `${count.toLocaleString('en')} ${count === 1 ? 'listener' : 'listeners'}`;
    row(`${who}: CPU of CouchDB for a write`, couch, 15, 'ms');
    if (count >= 1000) row(`${who}: memory of the relay for each`, memory / 1000, 25, 'kB');
    if (count !== 10_000) continue;
    row(`${who}: CPU of the relay for a write`, relay, 100, 'ms');
    row(`${who}, 10 writes a second: a write, median`, load.write, 20, 'ms');
    row(`${who}, 10 writes a second: delivery, p95`, load.delivery.p95, 350, 'ms');
  }
  return rows;
}
