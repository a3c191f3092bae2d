import { randomBytes } from 'node:crypto';
import { badRequest, json, valueOf } from './answers.mjs';
import { checkId, checkMembers } from './documents.mjs';
import { ordered } from './layout.mjs';

/** Bulk requests: _bulk_docs, _bulk_get, _revs_diff, _missing_revs. */
export async function bulk(request, engine) {
  const [, route, more] = request.segments;
  if (request.method !== 'POST' || more !== undefined || !Object.hasOwn(routes, route)) {
    return undefined;
  }
  request.needJson();
  return routes[route](request, engine);
}

const routes = {
  _bulk_docs: bulkDocs,
  _bulk_get: bulkGet,
  async _revs_diff(request, engine) {
    request.jsonObject();
    return engine.ask(request);
  },
  async _missing_revs(request, engine) {
    const [name] = request.segments;
    const answer = await engine.ask(request.with({ segments: [name, '_revs_diff'] }));
    const found = Object.entries(valueOf(answer)).map(([id, { missing }]) => [id, missing]);
    return json(200, { missing_revs: Object.fromEntries(found) });
  },
};

async function bulkDocs(request, engine) {
  const body = request.jsonObject();
  if (body.docs === undefined) throw badRequest('POST body must include `docs` parameter.');
  if (!Array.isArray(body.docs)) throw badRequest('`docs` parameter must be an array.');
  const docs = body.docs.map(withId);
  if (body.all_or_nothing === true) {
    const reason = 'all_or_nothing is not supported';
    return json(
      417,
      docs.map(({ _id: id }) => ({ id, rev: '0-', error: 'not_implemented', reason })),
    );
  }
  const answer = await engine.ask(request.withJson({ ...body, docs }));
  const results = valueOf(answer);
  if (answer.status !== 201 || !Array.isArray(results)) return answer;
  return json(201, inInputOrder(docs, results));
}

function withId(doc) {
  if (doc === null || typeof doc !== 'object' || Array.isArray(doc)) {
    throw badRequest('Document must be a JSON object');
  }
  const id = doc._id ?? randomBytes(16).toString('hex');
  checkId(id);
  checkMembers(doc);
  return { ...doc, _id: id };
}

/**
 * Restores the input order: express-pouchdb lists successes first. If an id occurs twice, the
 * success belongs to its first document.
 */
function inInputOrder(docs, results) {
  const byId = new Map();
  for (const result of results) {
    byId.set(result.id, [...(byId.get(result.id) ?? []), inCouchWords(result)]);
  }
  // With new_edits=false only failures are listed, so a document may have no result.
  return docs.map(({ _id }) => byId.get(_id)?.shift()).filter(Boolean);
}

function inCouchWords(result) {
  if (result.error === 'conflict') return { ...result, reason: 'Document update conflict.' };
  return result;
}

async function bulkGet(request, engine) {
  const { docs: asked } = request.jsonObject();
  if (!Array.isArray(asked)) throw badRequest("Missing JSON list of 'docs'.");
  // One by one, because express-pouchdb merges equal ids and omits missing ones.
  const results = asked.map(async (one) => {
    const answer = await engine.ask(request.withJson({ docs: [one] }));
    const [{ docs = [] } = {}] = valueOf(answer)?.results ?? [];
    const leaves =
      docs.some(({ ok }) => ok) || one.rev ? docs : await allLeaves(request, engine, one);
    const found = leaves.filter(({ ok }) => ok).map(({ ok }) => ({ ok: ordered(ok) }));
    if (found.length > 0) return { id: one.id, docs: found };
    const { id, rev = 'undefined' } = one;
    return { id, docs: [{ error: { id, rev, error: 'not_found', reason: 'missing' } }] };
  });
  return json(200, { results: await Promise.all(results) });
}

/** express-pouchdb reports a document as missing if all its leaves are deleted. */
async function allLeaves(request, engine, { id }) {
  const answer = await engine.ask(
    request.with({
      method: 'GET',
      segments: [request.segments[0], ...id.split(/(?<=^_design)\//)],
      query: { open_revs: 'all' },
      body: Buffer.alloc(0),
    }),
  );
  const leaves = valueOf(answer);
  return answer.status === 200 && Array.isArray(leaves) ? leaves : [];
}
