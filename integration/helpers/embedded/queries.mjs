import { createRequire } from 'node:module';
import { badQuery, badRequest, missing, notHere, Refusal, text, valueOf } from './answers.mjs';
import { printRows } from './layout.mjs';
import { parametersOf } from './query-parameters.mjs';
import { printSeq } from './sequences.mjs';

const require = createRequire(import.meta.url);
const { collate } = require('pouchdb-collate');

/** Views, _all_docs and _design_docs: checks the parameters, and formats the rows. */
export async function queries(request, engine) {
  const [name, first, ddoc, third, view, fifth] = request.segments;
  if (first === '_temp_view') {
    throw new Refusal(410, 'gone', 'Temporary views are not supported in CouchDB');
  }
  if (first === '_local_docs' || first === '_partition') throw notHere(first);
  const isView = first === '_design' && third === '_view' && view !== undefined;
  if (!isView && first !== '_all_docs' && first !== '_design_docs') return undefined;
  if (request.method === 'POST') request.needJson();
  else if (request.method !== 'GET') return undefined;
  const path = isView ? [name, first, ddoc, third, view] : [name, '_all_docs'];
  const reduces = isView && (await reduceOf(engine, name, ddoc, view)) !== undefined;
  const query = { request, engine, name, path, isView, reduces, design: first === '_design_docs' };
  if ((isView ? fifth : ddoc) === 'queries') return many(query);
  return text(200, `${await one(query, parametersOf(request))}\n`);
}

/** The reduce function of a view, if it has one. Throws if the view does not exist. */
async function reduceOf(engine, name, ddoc, view) {
  const db = await engine.open(name);
  const doc = await db.get(`_design/${ddoc}`).catch(({ reason }) => {
    throw missing(reason === 'deleted' ? 'deleted' : 'missing');
  });
  if (!doc.views?.[view]) throw missing('missing_named_view');
  return doc.views[view].reduce;
}

async function many(query) {
  const { queries: asked } = query.request.jsonObject();
  if (!Array.isArray(asked)) throw badRequest('POST body must include `queries` parameter.');
  const printed = [];
  for (const parameters of asked) printed.push(await one(query, parameters));
  return text(200, `{"results":[\r\n${printed.join(',\r\n')}\r\n]}\n`);
}

/** The serialized result of one query, without the final newline. */
async function one({ request, engine, name, path, isView, reduces, design }, asked) {
  const parameters = design ? { startkey: '_design/', endkey: '_design0', ...asked } : asked;
  check(parameters, reduces);
  const answer = await engine.ask(
    request.withJson(parameters, { method: 'POST', segments: path, query: {} }),
  );
  const value = valueOf(answer);
  if (answer.status !== 200) {
    const { error = 'internal_server_error', reason = 'unknown' } = value ?? {};
    throw new Refusal(answer.status, error, reason);
  }
  const { rows, total_rows, offset, update_seq } = value;
  if (isView && reduces && parameters.reduce !== false) return printRows({ rows }).trimEnd();
  const byKeys = !isView && parameters.keys !== undefined;
  const instance = engine.instance(name);
  return printRows({
    total_rows: design ? rows.length : total_rows,
    offset: byKeys ? null : offset,
    ...(parameters.update_seq && { update_seq: printSeq(Number(update_seq ?? 0), instance) }),
    rows,
  }).trimEnd();
}

function check({ startkey, endkey, descending, ...parameters }, reduces) {
  const grouped = parameters.group === true || parameters.group_level > 0;
  if (grouped && (!reduces || parameters.reduce === false)) {
    throw badQuery('Invalid use of grouping on a map view.');
  }
  if (startkey === undefined || endkey === undefined) return;
  const order = collate(startkey, endkey);
  if (descending === true ? order < 0 : order > 0) {
    throw badQuery(
      'No rows can match your key range, reverse your start_key and end_key or set descending=true',
    );
  }
}
