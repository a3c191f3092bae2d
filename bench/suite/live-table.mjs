/** The table of `bench/live.mjs`: what was measured, the target, and whether it is met. */

const ms = (value) => `${value >= 100 ? value.toFixed(0) : value.toFixed(2)} ms`;
const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

/** A row of the table; `met` is undefined if the row has no target. */
const row = (what, measured, target = '–', met = undefined) => ({ what, measured, target, met });

/** Returns the rows for the medians of the cases; a case that did not run has none. */
export function rowsOf(figures) {
  const rows = [];
  const one = figures['one row'];
  if (one !== undefined) {
    for (const [name, peerName] of [
      ['updated', 'peerUpdated'],
      ['moved', 'peerMoved'],
    ]) {
      const [own, peer] = [one[name], one[peerName]];
      const what = `sorted find$ of 100,000: one row ${name}, with the array`;
      const texts = [own, peer].map(({ median, p95 }) => `${ms(median)} (p95 ${ms(p95)})`);
      rows.push(row(what, texts[0], '≤ 1 ms', own.median <= 1));
      rows.push(row(`… TanStack DB`, texts[1], 'slower than find$', peer.median > own.median));
    }
  }
  const { burst } = figures;
  if (burst !== undefined) {
    rows.push(
      row('sorted 10,000, burst of 5,000 moves: CPU', ms(burst.cpu), '≤ 400 ms', burst.cpu <= 400),
    );
    rows.push(
      row('… longest block of the event loop', ms(burst.block), '≤ 50 ms', burst.block <= 50),
    );
  }
  const { growth } = figures;
  if (growth !== undefined) {
    let before;
    for (const [size, { median, copy }] of Object.entries(growth)) {
      const net = Math.max(0, median - copy);
      const ratio = before === undefined ? undefined : net / before;
      const text = `${ms(median)}, of it ${ms(copy)} for the array`;
      const factor = ratio === undefined ? '' : `; without the array × ${ratio.toFixed(2)}`;
      const what = `one row moved among ${Number(size).toLocaleString('en')}`;
      rows.push(
        ratio === undefined
          ? row(what, text)
          : row(what, text + factor, '< 2 × the row above', ratio < 2),
      );
      before = net;
    }
  }
  const [single, many] = [figures['one query'], figures['500 queries']];
  if (single !== undefined && many !== undefined) {
    const ratio = many.cpu / single.cpu;
    rows.push(row('one query over 10,000, 5,000 changes: CPU', ms(single.cpu)));
    rows.push(
      row(
        '500 queries by a constant over the same: CPU',
        `${ms(many.cpu)} (× ${ratio.toFixed(2)})`,
        '≤ 3 × one query',
        ratio <= 3,
      ),
    );
    rows.push(row('… longest block of the event loop', ms(many.block)));
  }
  const doc = figures.doc$;
  if (doc !== undefined) {
    rows.push(row('2,000 doc$: CPU to the first values', ms(doc.cpu), '≤ 200 ms', doc.cpu <= 200));
    rows.push(
      row('… requests, with those of the feed', String(doc.requests), '≤ 4', doc.requests <= 4),
    );
  }
  const [list, alone] = [figures.memory, figures['memory alone']];
  if (list !== undefined && alone !== undefined) {
    const ratio = list.bytes / alone.bytes;
    rows.push(row('100,000 documents of 300 bytes: heap', mb(alone.bytes)));
    rows.push(
      row(
        'a find$ of them: heap',
        `${mb(list.bytes)} (× ${ratio.toFixed(2)})`,
        '≤ 1.3 × the documents',
        ratio <= 1.3,
      ),
    );
  }
  return rows;
}

/** Writes rows as a table in Markdown. */
export function tableOf(rows) {
  const cells = rows.map(({ what, measured, target, met }) => [
    what,
    measured,
    target,
    met === undefined ? '' : met ? 'met' : '**missed**',
  ]);
  const lines = [['What', 'Measured', 'Target', ''], ['---', '---', '---', '---'], ...cells];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}
