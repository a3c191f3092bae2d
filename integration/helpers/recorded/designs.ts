// The design documents of the recorded operations.

const emitN = "function (doc) { if ('n' in doc) emit(doc.n, 1); }";
const emitPair = 'function (doc) { if (doc.t !== undefined) emit([doc.t, doc.n], doc.n); }';
const emitMany =
  'function (doc) { emit(doc.t, null); emit(doc.t, { _id: doc.t }); emit(doc._id, doc._rev); }';
const broken =
  "function (doc) { if (doc.n > 1) throw new Error('broken'); emit(doc.n, typeof doc.n === 'number' ? doc.n : 0); }";

export const DESIGNS: readonly object[] = [
  {
    _id: '_design/v',
    views: {
      byN: { map: emitN },
      count: { map: emitN, reduce: '_count' },
      sum: { map: broken, reduce: '_sum' },
      stats: { map: broken, reduce: '_stats' },
      pair: { map: emitPair, reduce: '_count' },
      many: { map: emitMany },
      custom: {
        map: emitPair,
        reduce:
          'function (keys, values, rereduce) { return rereduce ? sum(values) : values.length; }',
      },
    },
    filters: {
      big: 'function (doc, req) { return doc.n > 1; }',
      query: 'function (doc, req) { return doc.t === req.query.t; }',
    },
  },
  {
    _id: '_design/v',
    views: { byN: { map: emitN, reduce: '_sum' }, count: { map: emitN, reduce: '_count' } },
  },
  {
    _id: '_design/guard',
    validate_doc_update:
      "function (doc, old, user, security) { if (doc.n === 10) throw { forbidden: 'no tens' }; if (doc.t === 'z') throw { unauthorized: 'log in' }; if (old && old.t === 'ü' && !doc._deleted) throw { forbidden: 'frozen' }; }",
  },
  { _id: '_design/guard', language: 'javascript' },
];

export const VIEWS = [
  'v/byN',
  'v/count',
  'v/sum',
  'v/stats',
  'v/pair',
  'v/many',
  'v/custom',
  'v/nope',
];
