import { randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { devNull } from 'node:os';
import { missing, Refusal } from './answers.mjs';

const require = createRequire(import.meta.url);

/**
 * express-pouchdb with the memory adapter, called as a function that returns a complete response.
 * It never writes to a client's socket, so that its unwanted headers cannot reach a client.
 */
export class Engine {
  #app;
  #instances = new Map();
  #handles = new Map();

  constructor() {
    // Only the memory adapter is loaded, which makes it the default. Naming it as the default would
    // open http:// replication endpoints as memory databases.
    const PouchDB = require('pouchdb-core')
      .plugin(require('pouchdb-adapter-memory'))
      .plugin(require('pouchdb-adapter-http'))
      .plugin(require('pouchdb-mapreduce'))
      .plugin(require('pouchdb-replication'));
    this.PouchDB = PouchDB.defaults({});
    this.#app = require('express-pouchdb')(this.PouchDB, {
      inMemoryConfig: true,
      // It requires a log. Without a file, a killed server leaves nothing behind.
      logPath: devNull,
      // Compression would buffer streams, and Fauxton is not needed.
      overrideMode: { exclude: ['compression', 'routes/fauxton', 'routes/http-log'] },
    });
  }

  /**
   * The internal name of a database. express-pouchdb drops slashes, and no CouchDB name contains
   * '!'.
   */
  static inner(name) {
    return name.replaceAll('/', '!');
  }

  static outer(name) {
    return name.replaceAll('!', '/');
  }

  async names() {
    const all = await this.PouchDB.allDbs();
    // CouchDB lists databases in byte order.
    return all
      .filter((name) => !name.startsWith('pouch__') && !name.includes('-mrview-'))
      .map((name) => Engine.outer(name))
      .toSorted((a, b) => (a < b ? -1 : 1));
  }

  async has(name) {
    return (await this.names()).includes(name);
  }

  async need(name) {
    if (!(await this.has(name))) throw missing('Database does not exist.');
  }

  /** Distinguishes this database from an earlier one of the same name. Part of every sequence. */
  instance(name) {
    let found = this.#instances.get(name);
    if (!found) {
      found = {
        id: randomBytes(8).toString('hex'),
        startTime: String(Math.floor(Date.now() / 1000)),
      };
      this.#instances.set(name, found);
    }
    return found;
  }

  /** A plain PouchDB handle for the same data, without the wrapper of express-pouchdb. */
  async open(name) {
    await this.need(name);
    let handle = this.#handles.get(name);
    if (!handle) {
      handle = this.#follow(new this.PouchDB(Engine.inner(name)));
      this.#handles.set(name, handle);
    }
    return (await handle).db;
  }

  /** The one live listener of a database. All its feeds wait for 'moved', and then read. */
  async #follow(handle) {
    handle.setMaxListeners(0);
    const { update_seq: since } = await handle.info();
    handle
      .changes({ live: true, since, return_docs: false })
      .on('change', () => handle.emit('moved'));
    // A PouchDB is a thenable, and `await` would unwrap it.
    return { db: handle };
  }

  /** Call it after the deletion of a database: its handle and its sequences become invalid. */
  async forget(name) {
    const handle = this.#handles.get(name);
    this.#handles.delete(name);
    this.#instances.delete(name);
    (await handle)?.db.emit('gone');
  }

  /** Passes a request to express-pouchdb. */
  ask(request) {
    const segments = request.segments.map((segment, i) =>
      i === 0 ? Engine.inner(segment) : segment,
    );
    const inner = request.with({ segments });
    const incoming = new IncomingMessage(new Socket());
    incoming.method = inner.method;
    incoming.url = inner.url;
    incoming.httpVersion = '1.1';
    // Functions of design documents read the header. For others it makes it send application/json.
    const accept = /^_(?:show|list|update)$/.test(request.segments[3])
      ? inner.headers.accept
      : null;
    // Authentication is done.
    const { authorization: _a, cookie: _c, 'transfer-encoding': _t, ...headers } = inner.headers;
    incoming.headers = {
      ...headers,
      accept: accept ?? 'application/json',
      'content-length': String(inner.body.length),
    };
    incoming.push(inner.body);
    incoming.push(null);
    return capture(incoming, (response) => this.#app(incoming, response));
  }
}

/** Runs an express app on a response without a socket, and collects its output. */
function capture(incoming, run) {
  const response = new ServerResponse(incoming);
  const chunks = [];
  const keep = (chunk, encoding) => {
    if (chunk && typeof chunk !== 'function') {
      chunks.push(
        typeof chunk === 'string' ? Buffer.from(chunk, encoding || 'utf8') : Buffer.from(chunk),
      );
    }
  };
  return new Promise((resolve, reject) => {
    // express-pouchdb never answers some malformed requests, so answer with a late error.
    const lost = setTimeout(
      () =>
        reject(new Refusal(500, 'internal_server_error', 'The embedded server did not respond.')),
      20_000,
    );
    response.write = (chunk, encoding) => {
      keep(chunk, encoding);
      return true;
    };
    response.end = (chunk, encoding) => {
      keep(chunk, encoding);
      clearTimeout(lost);
      const headers = { ...response.getHeaders() };
      // For _list it sends two length headers. Its ETags are hashes of the body.
      for (const name of ['transfer-encoding', 'content-length', 'x-powered-by', 'vary']) {
        delete headers[name];
      }
      if (/^W\/|undefined/.test(String(headers.etag))) delete headers.etag;
      resolve({ status: response.statusCode, headers, body: Buffer.concat(chunks) });
      response.emit('finish');
      return response;
    };
    run(response);
  });
}
