/** Formats the figures of a run as Markdown tables, with ratios to nano and node:http. */
export function tables({ machine, date, rounds, rows, results }) {
  const parts = [
    `Node ${machine.node} on ${machine.cores} × ${machine.cpu}, ${machine.system}; ${date}; ` +
      `medians of ${rounds} rounds, ${rows.toLocaleString('en')} rows.`,
  ];
  for (const [title, own] of grouped(results)) {
    const columns = [...new Set(own.flatMap(({ figures }) => Object.keys(figures)))];
    const [first] = columns;
    const base = own.find(({ client }) => client === 'nano')?.figures[first];
    const head = ['', ...columns, ...(base === undefined ? [] : ['× nano'])];
    const body = own.map(({ client, figures }) => [
      client,
      ...columns.map((column) => number(figures[column])),
      ...(base === undefined ? [] : [(figures[first] / base).toFixed(2)]),
    ]);
    parts.push(`### ${title}\n\n${table([head, ...body])}`);
  }
  return parts.join('\n\n');
}

export function grouped(results) {
  const groups = new Map();
  for (const one of results) {
    const title = one.server === 'none' ? one.case : `${one.case} (${one.server})`;
    groups.set(title, [...(groups.get(title) ?? []), one]);
  }
  return groups;
}

function table([head, ...body]) {
  const widths = head.map((_, i) => Math.max(...[head, ...body].map((row) => row[i].length)));
  const line = (row) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...body.map(line)].join('\n');
}

function number(value) {
  if (value === undefined) return '';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
