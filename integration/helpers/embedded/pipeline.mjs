import { json, notAllowed, Refusal } from './answers.mjs';
import { attachments } from './attachments.mjs';
import { bulk } from './bulk.mjs';
import { changes } from './feeds.mjs';
import { databases } from './databases.mjs';
import { documents } from './documents.mjs';
import { find } from './find.mjs';
import { queries } from './queries.mjs';
import { readRequest } from './request.mjs';
import { upkeep } from './upkeep.mjs';

const METHODS = 'DELETE,GET,HEAD,POST,PUT,COPY';

/**
 * Processes one request. The first handler that returns a response answers; express-pouchdb answers
 * all other requests.
 */
export class Pipeline {
  #engine;
  #handlers;
  #cors;

  constructor({ engine, auth, cors, handlers }) {
    this.#engine = engine;
    this.#cors = cors;
    this.#handlers = [
      (request) => auth.handle(request),
      ...handlers,
      databases,
      feed,
      upkeep,
      bulk,
      queries,
      find,
      attachments,
      documents,
    ];
  }

  /** A handler of node's http server. */
  async serve(incoming, response) {
    // A client may disconnect at any time.
    response.on('error', () => {});
    let head = incoming.method === 'HEAD';
    let answer;
    let cookie;
    try {
      this.#cors?.allow(incoming, response);
      const request = await readRequest(incoming);
      ({ head } = request);
      answer = this.#cors?.preflight(request) ?? (await this.#answer(request));
      ({ cookie } = request);
    } catch (failure) {
      answer = asAnswer(failure);
    }
    if (cookie !== undefined) response.setHeader('set-cookie', cookie);
    if (typeof answer === 'function') await answer(response);
    else send(response, answer, head);
  }

  async #answer(request) {
    if (!METHODS.split(',').includes(request.method)) throw notAllowed(METHODS);
    for (const handler of this.#handlers) {
      // Sequential, because each handler relies on the checks of the previous ones.
      // eslint-disable-next-line no-await-in-loop
      const answer = await handler(request, this.#engine);
      if (answer !== undefined) return answer;
    }
    return this.#engine.ask(request);
  }
}

function feed(request, engine) {
  const { segments } = request;
  return segments.length === 2 && segments[1] === '_changes' ? changes(request, engine) : undefined;
}

function asAnswer(failure) {
  if (failure instanceof Refusal) return failure.answer;
  // Errors of PouchDB have a status.
  const { status = 500, name, reason, message } = failure;
  return json(status, {
    error: status === 500 ? 'internal_server_error' : name,
    reason: String(reason ?? message),
  });
}

function send(response, { status, headers, body }, head) {
  if (response.destroyed) return;
  response.writeHead(status, {
    server: 'express-pouchdb/4.2.0 (embedded)',
    'cache-control': 'must-revalidate',
    ...headers,
    ...(status !== 304 && { 'content-length': body.length }),
  });
  response.end(head || status === 304 ? undefined : body);
}
