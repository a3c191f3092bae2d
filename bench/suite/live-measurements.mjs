/**
 * The measurements of live queries. Each receives the origin of the stub, runs in a fresh process, and
 * returns figures. Times are in milliseconds.
 */
import { firstValueFrom } from 'rxjs';
import { costOf, heap, median, quantile } from './live-figures.mjs';
import { idOf, openOrders, watch } from './live-orders.mjs';

const SORTED = { selector: { type: 'order' }, sort: ['n'] };
const SAMPLES = 200;
/** TanStack DB takes some 100 ms for each array of 100,000. */
const PEER_SAMPLES = 30;

/** The documents of a list in turn, far from each other. */
const nth = (i, documents) => (i * 7919) % documents;

/** Changes one document after the other, and measures from the arrival of each to its emission. */
async function timesOf(orders, list, documents, fieldsOf, samples) {
  const times = [];
  const warmUp = 20;
  for (let i = 0; i < warmUp + samples; i++) {
    const id = idOf(nth(i, documents));
    const fields = fieldsOf(i);
    const before = list.value();
    const emitted = list.until((docs) => docs !== before);
    await orders.change([[id, fields]]);
    const time = (await emitted) - orders.arrivedAt();
    if (i >= warmUp) times.push(time);
  }
  return times;
}

const updated = (round) => (i) => ({ v: `${round} ${i}` });
/** Every place of the list in turn, beside and not on top of a document that is there. */
const moved = (documents) => (i) => ({ n: nth(i * 31 + 17, documents) + 0.5 });

const summary = (times) => ({ median: median(times), p95: quantile(times, 0.95) });

/** A live query of TanStack DB over a local collection with the same documents. */
async function peer(documents) {
  const { createCollection, createLiveQueryCollection } = await import('@tanstack/db');
  let source;
  const collection = createCollection({
    id: 'orders',
    getKey: ({ _id }) => _id,
    startSync: true,
    sync: {
      sync: (parameters) => {
        source = parameters;
        source.begin();
        for (const value of documents) source.write({ type: 'insert', value });
        source.commit();
        source.markReady();
      },
    },
  });
  const query = createLiveQueryCollection({
    query: (q) => q.from({ order: collection }).orderBy(({ order }) => order.n, 'asc'),
    startSync: true,
  });
  await query.preload();
  let length = query.toArray.length;
  let notify = () => {};
  query.subscribeChanges(() => notify());
  return async (id, fields) => {
    const began = performance.now();
    const done = new Promise((resolve) => {
      notify = () => {
        const array = query.toArray;
        length = array.length;
        resolve(performance.now() - began);
      };
    });
    source.begin();
    source.write({ type: 'update', value: { ...collection.get(id), ...fields } });
    source.commit();
    const time = await done;
    if (length !== documents.length) throw new Error(`TanStack DB lists ${length} documents`);
    return time;
  };
}

/** One row of 100,000 changes, beside TanStack DB in the same process. */
async function oneRow(origin) {
  const documents = 100_000;
  const orders = await openOrders(origin, documents);
  const list = watch(orders.db.find$(SORTED));
  await list.until((docs) => docs.length === documents);
  const change = await peer(list.value().map((doc) => ({ ...doc })));
  const figures = { updated: [], moved: [], peerUpdated: [], peerMoved: [] };
  for (let round = 0; round < 2; round++) {
    for (const [name, fieldsOf] of [
      ['updated', updated(round)],
      ['moved', moved(documents)],
    ]) {
      figures[name].push(...(await timesOf(orders, list, documents, fieldsOf, SAMPLES / 2)));
      for (let i = 0; i < PEER_SAMPLES / 2; i++) {
        const time = await change(idOf(nth(i, documents)), fieldsOf(i + 1000 * round));
        figures[name === 'updated' ? 'peerUpdated' : 'peerMoved'].push(time);
      }
    }
  }
  list.stop();
  return Object.fromEntries(Object.entries(figures).map(([name, times]) => [name, summary(times)]));
}

/** 5,000 of 10,000 documents move at once. */
async function burst(origin) {
  const documents = 10_000;
  const orders = await openOrders(origin, documents);
  const list = watch(orders.db.find$(SORTED));
  await list.until((docs) => docs.length === documents);
  const run = (round) => {
    const changes = Array.from({ length: 5000 }, (_, i) => [
      idOf(nth(i, documents)),
      { n: nth(i * 31 + 17 + round * 101, documents) + 0.5 },
    ]);
    // The last change is the one that the end of the list shows.
    changes[4999][1].n = documents + round;
    const done = list.until((docs) => docs.at(-1).n === documents + round);
    return Promise.all([orders.change(changes), done]);
  };
  const figures = await costOf(() => run(1));
  const sorted = list.value().every((doc, i, all) => i === 0 || all[i - 1].n <= doc.n);
  if (!sorted) throw new Error('The list is not sorted');
  list.stop();
  return figures;
}

/** One row moves in a list of 1,000, 10,000 and 100,000. */
async function growth(origin) {
  const figures = {};
  for (const documents of [1000, 10_000, 100_000]) {
    const orders = await openOrders(origin, documents);
    const list = watch(orders.db.find$(SORTED));
    await list.until((docs) => docs.length === documents);
    const times = await timesOf(orders, list, documents, moved(documents), SAMPLES);
    const copies = Array.from({ length: SAMPLES }, () => {
      const began = performance.now();
      list.value().slice();
      return performance.now() - began;
    });
    list.stop();
    figures[documents] = { median: median(times), copy: median(copies) };
  }
  return figures;
}

/** 5,000 of 10,000 documents change, while some queries follow them. */
async function followed(origin, selectors) {
  const documents = 10_000;
  const orders = await openOrders(origin, documents);
  const queries = selectors.map((selector) => watch(orders.db.find$({ selector })));
  const total = () => queries.reduce((sum, query) => sum + (query.value()?.length ?? 0), 0);
  await Promise.all(queries.map((query) => query.until((docs) => docs.length > 0)));
  if (total() !== documents) throw new Error(`The queries found ${total()} documents`);
  const ids = Array.from({ length: 5000 }, (_, i) => idOf(nth(i, documents)));
  const last = ids.at(-1);
  const figures = await costOf(() =>
    Promise.all([
      orders.change(ids.map((id) => [id, { v: 'changed' }])),
      Promise.any(
        queries.map((query) =>
          query.until((docs) => docs.some(({ _id, v }) => _id === last && v === 'changed')),
        ),
      ),
    ]),
  );
  const changed = queries.flatMap((query) => query.value()).filter(({ v }) => v === 'changed');
  if (changed.length !== 5000) throw new Error(`The queries show ${changed.length} changes`);
  for (const query of queries) query.stop();
  return figures;
}

/** 2,000 documents are followed one by one, in a process that has sent only one request. */
async function manyDocuments(origin) {
  const orders = await openOrders(origin, 2000);
  await firstValueFrom(orders.db.info());
  const before = await orders.counts();
  let documents = [];
  const figures = await costOf(async () => {
    documents = Array.from({ length: 2000 }, (_, i) => watch(orders.db.doc$(idOf(i))));
    await Promise.all(documents.map((doc) => doc.until((value) => value !== null)));
  });
  const after = await orders.counts();
  for (const doc of documents) doc.stop();
  const difference = (name) => after[name] - (before[name] ?? 0);
  const requests = Object.keys(after).reduce((sum, name) => sum + difference(name), 0);
  return { ...figures, requests };
}

const PAD = 'x'.repeat(
  300 -
    JSON.stringify({
      _id: idOf(0),
      _rev: `1-${'9'.repeat(32)}`,
      type: 'order',
      g: 100,
      n: 10_000,
      v: 0,
      pad: '',
    }).length,
);

/** The heap that a list of 100,000 documents of 300 bytes occupies. */
async function memory(origin) {
  const documents = 100_000;
  const orders = await openOrders(origin, documents, PAD);
  await firstValueFrom(orders.db.find({ selector: { type: 'order', g: 1 } }));
  const before = await heap();
  const list = watch(orders.db.find$({ selector: { type: 'order' } }));
  await list.until((docs) => docs.length === documents);
  const bytes = (await heap()) - before;
  list.stop();
  return { bytes };
}

/** The heap that the same documents occupy without Corduroy. */
async function memoryAlone(origin) {
  const documents = 100_000;
  await openOrders(origin, documents, PAD);
  const read = async (selector) => {
    const body = JSON.stringify({ selector });
    const response = await fetch(`${origin}/bench/_find`, { method: 'POST', body });
    return JSON.parse(await response.text()).docs;
  };
  await read({ g: 1 });
  const before = await heap();
  const docs = await read({});
  const bytes = (await heap()) - before;
  if (docs.length !== documents) throw new Error(`${docs.length} documents`);
  return { bytes };
}

const groups = Array.from({ length: 500 }, (_, g) => ({ type: 'order', g }));

export const measurements = {
  'one row': oneRow,
  burst,
  growth,
  'one query': (origin) => followed(origin, [{ type: 'order' }]),
  '500 queries': (origin) => followed(origin, groups),
  doc$: manyDocuments,
  memory,
  'memory alone': memoryAlone,
};
