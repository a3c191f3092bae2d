/** Creates the benchmark's database on a real server, and deletes it at the end. */
export async function prepare(given, rows) {
  const url = new URL(given);
  const name = `bench-${process.pid}-${Date.now()}`;
  const authorization = `Basic ${Buffer.from(
    `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`,
  ).toString('base64')}`;
  const ask = async (method, path, json) => {
    const response = await fetch(`${url.origin}/${name}${path}`, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(url.username !== '' && { authorization }),
      },
      body: json === undefined ? undefined : JSON.stringify(json),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const pad =
    'Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor '.repeat(2);
  await ask('PUT', '');
  const map =
    'function (doc) { if (doc.type === "order") emit([doc.type, doc.n], { n: doc.n, customer: doc.customer, pad: doc.pad }); }';
  for (let n = 0; n < rows; n += 5000) {
    const docs = Array.from({ length: Math.min(5000, rows - n) }, (_, i) => ({
      _id: `doc-${String(n + i + 1).padStart(7, '0')}`,
      type: 'order',
      customer: 'ada',
      n: n + i + 1,
      pad,
    }));
    await ask('POST', '/_bulk_docs', { docs });
  }
  await ask('PUT', '/_design/bench', { views: { rows: { map } } });
  for (;;) {
    // The server may answer with a timeout while it builds the index.
    const built = await ask('GET', '/_design/bench/_view/rows?limit=1').catch(() => null);
    if (built !== null) break;
  }
  const { version } = await fetch(url.origin, {
    headers: url.username !== '' ? { authorization } : {},
  }).then((answer) => answer.json());
  url.pathname = `/${name}`;
  return {
    server: {
      server: `CouchDB ${version}`,
      url: url.href,
      stub: false,
      origin: url.origin,
      rows,
      changes: rows,
    },
    release: () => ask('DELETE', ''),
  };
}
