import type {
  Database,
  FindQuery,
  LiveAllDocsOptions,
  LiveFindQuery,
  LiveViewOptions,
} from 'corduroy';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Capability } from './capabilities.ts';
import { idOf } from './live-oracle-writes.ts';
import type { Item } from './live-oracle-writes.ts';

/** A live query, and the one-shot read that it must equal. */
export interface OracleQuery {
  readonly name: string;
  readonly live: (db: Database<Item>) => Observable<unknown>;
  readonly fresh: (db: Database<Item>) => Observable<unknown>;
  /** What the server must have for this query. */
  readonly needs?: Capability;
}

export const DESIGN = {
  _id: '_design/oracle',
  views: {
    byCity: { map: 'function (doc) { if (doc.city) emit([doc.city, doc.n || 0], doc.n || 0); }' },
    sum: {
      map: 'function (doc) { if (doc.city) emit([doc.city, doc.kind || null], doc.n || 0); }',
      reduce: '_sum',
    },
    // One document may emit the same key several times.
    tags: { map: 'function (doc) { (doc.tags || []).forEach(function (t, i) { emit(t, i); }); }' },
  },
};

/** The indexes of the database: the longer one decides about ties in its first field. */
export const INDEXES = [['n'], ['city', 'n']];

const all = 99_999;

/** Without a sort, the server promises no order. */
const unordered = (docs: unknown): unknown =>
  [...(docs as { readonly _id: string }[])].sort((a, b) => (a._id < b._id ? -1 : 1));

function find(name: string, query: LiveFindQuery<Item>): OracleQuery {
  const order = query.sort === undefined ? unordered : (docs: unknown) => docs;
  const once: FindQuery<Item> = { limit: all, ...query };
  return {
    name: `find$ ${name}`,
    live: (db) => db.find$(query).pipe(map(order)),
    fresh: (db) => db.find(once).pipe(map(({ docs }) => order(docs))),
    needs: 'find-during-writes',
  };
}

function list(name: string, options: LiveAllDocsOptions): OracleQuery {
  return {
    name: `allDocs$ ${name}`,
    live: (db) => db.allDocs$(options),
    fresh: (db) => db.view('_all_docs', options).pipe(map(({ rows }) => rows)),
  };
}

function view(name: string, path: string, options: LiveViewOptions = {}): OracleQuery {
  return {
    name: `view$ ${name}`,
    live: (db) => db.view$(path, options),
    fresh: (db) => db.view(path, options).pipe(map(({ rows }) => rows)),
  };
}

const doc = (id: string): OracleQuery => ({
  name: `doc$ ${id}`,
  live: (db) => db.doc$(id),
  fresh: (db) => db.get([id]).pipe(map(([found]) => found ?? null)),
});

const some = [3, 1, 4, 15, 9, 2, 6].map(idOf);

interface ConflictRow {
  readonly id: string;
  readonly doc: { readonly _rev: string; readonly _conflicts?: readonly string[] };
}

const conflicts: OracleQuery = {
  name: 'conflicts$',
  live: (db) => db.conflicts$(),
  fresh: (db) =>
    db
      .view('_all_docs', { includeDocs: true, conflicts: true })
      .pipe(
        map(({ rows }) =>
          (rows as unknown as ConflictRow[]).flatMap(({ id, doc: { _conflicts, ...found } }) =>
            _conflicts === undefined
              ? []
              : [{ id, rev: found._rev, doc: found, conflicts: _conflicts }],
          ),
        ),
      ),
};

export const QUERIES: readonly OracleQuery[] = [
  doc(idOf(0)),
  doc(idOf(7)),
  {
    name: 'docs$',
    live: (db) => db.docs$(some),
    fresh: (db) => db.get(some),
  },
  list('all', {}),
  list('a range with documents', { startKey: idOf(10), endKey: idOf(30), includeDocs: true }),
  list('a range, descending', { startKey: idOf(30), endKey: idOf(10), descending: true }),
  list('the last of them', { descending: true, limit: 7 }),
  list('a page', { limit: 5, skip: 3 }),
  list('ids', { keys: some }),
  list('ids with documents', { keys: some, includeDocs: true }),
  find('a constant', { selector: { kind: 'a' } }),
  find('two constants', { selector: { kind: 'b', city: 'oslo' } }),
  find('a range and a constant', { selector: { n: { $gte: 20 }, open: true } }),
  find('sorted', { selector: { n: { $gt: 10 } }, sort: ['n'] }),
  find('sorted, with a constant', { selector: { n: { $gte: 0 }, kind: 'c' }, sort: ['n'] }),
  find('the largest', { selector: { n: { $gt: 5 } }, sort: [{ n: 'desc' }], limit: 10 }),
  find('a page', { selector: { n: { $gte: 0 } }, sort: ['n'], skip: 2, limit: 5 }),
  find('sorted by two fields', {
    selector: { city: { $gt: 'a' }, n: { $gte: 0 } },
    sort: ['city', 'n'],
  }),
  find('sorted by two fields, descending', {
    selector: { city: { $gt: 'a' }, n: { $gte: 0 } },
    sort: [{ city: 'desc' }, { n: 'desc' }],
    limit: 12,
  }),
  find('with ties that a longer index sorts', {
    selector: { city: { $gt: 'a' }, n: { $gte: 0 } },
    sort: ['city'],
  }),
  find('sorted by id', { selector: { _id: { $gt: idOf(5) }, kind: 'a' }, sort: ['_id'] }),
  find('sorted by id, descending', {
    selector: { _id: { $gt: idOf(5) } },
    sort: [{ _id: 'desc' }],
    limit: 9,
  }),
  find('either', { selector: { $or: [{ kind: 'a' }, { n: { $lt: 10 } }] } }),
  find('neither', { selector: { $nor: [{ kind: 'a' }, { open: true }] } }),
  find('none of', { selector: { kind: { $nin: ['a', 'b'] } } }),
  find('an element', { selector: { tags: { $elemMatch: { $eq: 'red' } } } }),
  find('all elements', { selector: { tags: { $all: ['red', 'blue'] } } }),
  find('a missing field', { selector: { 'nested.x': { $exists: false } } }),
  find('a type and a size', { selector: { 'nested.x': { $type: 'string' }, tags: { $size: 2 } } }),
  find('a pattern', { selector: { city: { $regex: '^[a-m]' }, n: { $mod: [3, 1] } } }),
  find('a beginning', { selector: { city: { $beginsWith: 'o' } } }),
  view('rows', 'oracle/byCity'),
  view('rows of one key, with documents', 'oracle/byCity', {
    startKey: ['oslo'],
    endKey: ['oslo', {}],
    includeDocs: true,
  }),
  view('the last rows', 'oracle/byCity', { descending: true, limit: 6 }),
  view('reduced', 'oracle/sum'),
  view('grouped', 'oracle/sum', { group: true }),
  view('grouped by a level', 'oracle/sum', { groupLevel: 1 }),
  view('several rows of a document', 'oracle/tags'),
  conflicts,
];
