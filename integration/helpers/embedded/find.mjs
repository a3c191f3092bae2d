import { badRequest, missing, Refusal, text, valueOf } from './answers.mjs';
import { ordered } from './layout.mjs';

/** Mango queries with pouchdb-find. Adds bookmarks and the deletion of indexes. */
export async function find(request, engine) {
  const [name, route, ...rest] = request.segments;
  if (route === '_index' && request.method === 'DELETE') {
    return removeIndex(request, engine, name, rest);
  }
  if (!['_find', '_index', '_explain'].includes(route) || request.method !== 'POST') {
    return undefined;
  }
  request.needJson();
  const body = request.jsonObject();
  if (route === '_index') {
    if (!body.index) throw missingKey('index');
    return engine.ask(request);
  }
  if (body.selector === undefined) throw missingKey('selector');
  return route === '_find' ? page(request, engine, body) : engine.ask(request);
}

const missingKey = (name) =>
  new Refusal(400, 'missing_required_key', `Missing required key: ${name}`);

function inCouchWords(reason) {
  const [, operator] = /^unknown operator "([^"]+)"/.exec(reason) ?? [];
  if (operator) return new Refusal(400, 'invalid_operator', `Invalid operator: ${operator}`);
  if (/cannot sort on/i.test(reason)) {
    return new Refusal(
      400,
      'no_usable_index',
      'No index exists for this sort, try indexing by the sort fields.',
    );
  }
  return badRequest(reason);
}

async function page(request, engine, { bookmark, skip = 0, limit = 25, ...query }) {
  const from = Number(/^embedded(\d+)$/.exec(bookmark ?? '')?.[1] ?? skip);
  const answer = await engine.ask(request.withJson({ ...query, limit, skip: from }));
  if (answer.status !== 200) throw inCouchWords(valueOf(answer)?.reason ?? '');
  const { docs, warning } = valueOf(answer);
  // A bookmark is the number of documents before the next page; at the end it is "nil".
  const next = docs.length > 0 ? `embedded${from + docs.length}` : 'nil';
  const rows = docs.map((doc) => `\r\n${JSON.stringify(ordered(doc))}`).join(',');
  const notice = warning ? `,\r\n"warning": ${JSON.stringify(warning)}` : '';
  return text(200, `{"docs":[${rows}\r\n],\r\n"bookmark": ${JSON.stringify(next)}${notice}}\r\n`);
}

/**
 * CouchDB accepts a plain slash in the design document's name; express-pouchdb needs it encoded.
 */
async function removeIndex(request, engine, name, rest) {
  const path = rest[0] === '_design' ? [`_design/${rest[1]}`, ...rest.slice(2)] : rest;
  const answer = await engine.ask(request.with({ segments: [name, '_index', ...path] }));
  // pouchdb-find reports a missing index with another error.
  if (answer.status >= 400) throw missing();
  return answer;
}
