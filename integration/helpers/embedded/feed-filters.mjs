import { createRequire } from 'node:module';
import { runInNewContext } from 'node:vm';
import { badRequest, missing } from './answers.mjs';

const require = createRequire(import.meta.url);
const { matchesSelector } = require('pouchdb-selector-core');

/** Returns the filter of a feed. Implemented here, because filters crash express-pouchdb. */
export async function changeFilter(request, body, db) {
  const filter = request.query.get('filter');
  if (filter === null || filter === '') return () => true;
  if (filter === '_doc_ids') {
    const listed = body.doc_ids ?? parse(request.query.get('doc_ids'));
    if (!Array.isArray(listed))
      throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
    const ids = new Set(listed);
    return ({ id }) => ids.has(id);
  }
  if (filter === '_selector') {
    if (request.method !== 'POST') throw badRequest('Selector must be specified in POST payload');
    const { selector } = body;
    if (selector === null || typeof selector !== 'object') {
      throw badRequest('Selector error: expected a JSON object');
    }
    return ({ doc }) => matchesSelector(doc, selector);
  }
  if (filter === '_design') return ({ id }) => id.startsWith('_design/');
  if (filter === '_view') {
    if (!request.query.has('view')) throw badRequest('`view` filter parameter is not provided.');
    const [ddoc, view] = nameOf(request.query.get('view') ?? '', 'view');
    return viewFilter(await source(db, ddoc, 'views', view));
  }
  if (filter.startsWith('_')) throw badRequest('unknown builtin filter name');
  const [ddoc, name] = nameOf(filter, 'filter');
  return namedFilter(await source(db, ddoc, 'filters', name), request);
}

function parse(value) {
  try {
    return JSON.parse(value ?? 'null');
  } catch {
    throw badRequest('invalid UTF-8 JSON');
  }
}

function nameOf(value, kind) {
  const parts = value.split('/');
  if (parts.length !== 2 || parts.includes('')) {
    throw badRequest(`\`${kind}\` must be of the form \`designname/${kind}name\``);
  }
  return parts;
}

/** The source text of a function of a design document. */
async function source(db, ddoc, member, name) {
  const doc = await db.get(`_design/${ddoc}`).catch((error) => {
    throw missing(error.reason === 'deleted' ? 'deleted' : 'missing');
  });
  if (!doc[member]) throw missing(`missing json key: ${member}`);
  if (doc[member][name] === undefined) throw missing(`missing json key: ${name}`);
  return member === 'views' ? doc.views[name].map : doc.filters[name];
}

function namedFilter(text, request) {
  const context = { log() {}, isArray: Array.isArray, toJSON: JSON.stringify };
  const accepts = runInNewContext(`(${text})`, context);
  const seen = {
    method: request.method,
    query: Object.fromEntries(request.query),
    headers: request.headers,
    path: request.segments,
    userCtx: request.user,
  };
  return ({ doc }) => {
    try {
      return Boolean(accepts(doc, seen));
    } catch {
      return false;
    }
  };
}

/** A view as a filter: passes documents for which it emits a row. */
function viewFilter(text) {
  let emitted = 0;
  const context = {
    emit() {
      emitted += 1;
    },
    log() {},
    isArray: Array.isArray,
  };
  const map = runInNewContext(`(${text})`, context);
  return ({ doc }) => {
    emitted = 0;
    try {
      map(doc);
    } catch {
      return false;
    }
    return emitted > 0;
  };
}
