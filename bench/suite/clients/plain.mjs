import { Agent, request } from 'node:http';

/** HTTP clients without a CouchDB library: they only add JSON. */
export async function plainGot(url) {
  const { got } = await import('got');
  const { base, headers } = parts(url);
  const http = new Agent({ keepAlive: true, maxSockets: 64 });
  const options = { agent: { http }, retry: { limit: 0 }, headers };
  return over((method, path, json) =>
    got(base + path, { ...options, method, ...(json !== undefined && { json }) }).json(),
  );
}

export async function plainFetch(url) {
  const { base, headers } = parts(url);
  return over(async (method, path, json) => {
    const body = json === undefined ? undefined : JSON.stringify(json);
    const response = await fetch(base + path, { method, headers, body });
    if (!response.ok) throw new Error(`${response.status}`);
    return response.json();
  });
}

export async function plainUndici(url) {
  const { Pool } = await import('undici');
  const { origin, pathname, headers } = parts(url);
  const pool = new Pool(origin, { connections: 64 });
  return over(async (method, path, json) => {
    const body = json === undefined ? undefined : JSON.stringify(json);
    const response = await pool.request({ method, path: pathname + path, headers, body });
    if (response.statusCode >= 300) throw new Error(`${response.statusCode}`);
    return response.body.json();
  });
}

export async function nodeHttp(url) {
  const { hostname, port, pathname, headers } = parts(url);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const send = (method, path, json, onResponse, onError) =>
    request({ hostname, port, agent, method, headers, path: pathname + path }, onResponse)
      .on('error', onError)
      .end(json === undefined ? undefined : JSON.stringify(json));
  /** Splits at the last newline and parses the lines: the fastest known way. */
  const lines = (path, onLine, use = agent) =>
    new Promise((resolve, reject) => {
      const call = request(
        { hostname, port, agent: use, headers, path: pathname + path },
        (response) => {
          let pending = [];
          response.on('data', (chunk) => {
            const end = chunk.lastIndexOf(10);
            if (end === -1) return pending.push(chunk);
            pending.push(chunk.subarray(0, end));
            const text =
              pending.length === 1 ? pending[0].toString() : Buffer.concat(pending).toString();
            pending = [chunk.subarray(end + 1)];
            for (const line of text.split('\n')) onLine(line);
            return undefined;
          });
          response.on('end', resolve).on('error', reject);
        },
      ).on('error', reject);
      call.end();
      calls.add(call);
    });
  const calls = new Set();
  return {
    ...over(
      (method, path, json) =>
        new Promise((resolve, reject) => {
          send(
            method,
            path,
            json,
            (response) => {
              const chunks = [];
              response.on('data', (chunk) => chunks.push(chunk));
              response.on('error', reject);
              response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
            },
            reject,
          );
        }),
    ),
    view(name, onRow) {
      const [ddoc, view] = name.split('/');
      return lines(`/_design/${ddoc}/_view/${view}`, (line) => {
        if (line.startsWith('{"id"'))
          onRow(JSON.parse(line.endsWith(',\r') ? line.slice(0, -2) : line));
      });
    },
    feed({ includeDocs }, onChange) {
      const path = `/_changes?feed=continuous&since=0&heartbeat=10000${includeDocs ? '&include_docs=true' : ''}`;
      lines(path, (line) => line !== '' && onChange(JSON.parse(line)), new Agent()).catch(() => {});
      return () => calls.forEach((call) => call.destroy());
    },
    async fanOut({ subscribers, since }, onChanges) {
      const { Subject } = await import('rxjs');
      const changes$ = new Subject();
      const subscriptions = Array.from({ length: subscribers }, () =>
        changes$.subscribe(({ changes }) => onChanges(changes.length)),
      );
      const path = `/_changes?feed=continuous&since=${since}&heartbeat=10000`;
      lines(path, (line) => line !== '' && changes$.next(JSON.parse(line)), new Agent()).catch(
        () => {},
      );
      return () => {
        subscriptions.forEach((subscription) => subscription.unsubscribe());
        calls.forEach((call) => call.destroy());
      };
    },
  };
}

function over(ask) {
  return {
    get: (id) => ask('GET', `/${encodeURIComponent(id)}`),
    save: (doc) => ask('PUT', `/${encodeURIComponent(doc._id)}`, doc),
    getMany: (keys) => ask('POST', '/_all_docs?include_docs=true', { keys }),
    saveMany: (docs) => ask('POST', '/_bulk_docs', { docs }),
    viewWhole(name, onRow) {
      const [ddoc, view] = name.split('/');
      return ask('GET', `/_design/${ddoc}/_view/${view}`).then(({ rows }) =>
        rows.forEach((row) => onRow(row)),
      );
    },
  };
}

function parts(url) {
  const { origin, hostname, port, pathname, username, password } = new URL(url);
  const credentials = Buffer.from(
    `${decodeURIComponent(username)}:${decodeURIComponent(password)}`,
  ).toString('base64');
  const headers = {
    accept: 'application/json',
    'content-type': 'application/json',
    ...(username !== '' && { authorization: `Basic ${credentials}` }),
  };
  return { base: origin + pathname, origin, hostname, port, pathname, headers };
}
