import { firstValueFrom, lastValueFrom, tap } from 'rxjs';

/**
 * Corduroy over got (the default), undici and fetch, and with coalesced reads and writes. The other
 * clients return promises, so each Observable is converted to a promise.
 */
export async function corduroy(url, { transport, coalesce = false } = {}) {
  const { Couch, fetchTransport } = await import('../../../dist/index.js');
  const { undiciTransport } =
    transport === 'undici'
      ? await import('../../../dist/undici.js')
      : { undiciTransport: undefined };
  const { origin, pathname, username, password } = new URL(url);
  const couch = new Couch(origin, {
    ...(username !== '' && { auth: [decodeURIComponent(username), decodeURIComponent(password)] }),
    ...(transport === 'undici' && { transport: undiciTransport() }),
    ...(transport === 'fetch' && { transport: fetchTransport() }),
    coalesce,
  });
  const db = couch.use(pathname.slice(1));
  const single = {
    get: (id) => firstValueFrom(db.get(id)),
    save: (doc) => firstValueFrom(db.save(doc)),
  };
  // Coalescing affects only single reads and writes.
  if (coalesce) return single;
  return {
    ...single,
    getMany: (ids) => firstValueFrom(db.get(ids)),
    saveMany: (docs) => firstValueFrom(db.save(docs)),
    view: (name, onRow) =>
      lastValueFrom(db.viewRows(name).pipe(tap(onRow)), { defaultValue: null }),
    viewWhole: (name, onRow) =>
      firstValueFrom(db.view(name)).then(({ rows }) => rows.forEach((row) => onRow(row))),
    feed({ includeDocs, latency = 0 }, onChange) {
      const subscription = db
        .changes$({ since: 0, includeDocs, latency })
        .subscribe(({ changes }) => changes.forEach((change) => onChange(change)));
      return () => subscription.unsubscribe();
    },
    // The transport does not matter for these.
    ...(transport === undefined && { fanOut, live }),
  };

  function fanOut({ subscribers, latency, since }, onChanges) {
    const feed = db.changes$({ since, latency });
    const subscriptions = Array.from({ length: subscribers }, () =>
      feed.subscribe(({ changes }) => onChanges(changes.length)),
    );
    return () => subscriptions.forEach((subscription) => subscription.unsubscribe());
  }

  function live(ids, onValue) {
    const subscriptions = ids.map((id) => db.doc$(id).subscribe(onValue));
    return () => subscriptions.forEach((subscription) => subscription.unsubscribe());
  }
}
