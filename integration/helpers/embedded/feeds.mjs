import { notAllowed, text } from './answers.mjs';
import { Cursor } from './feed-cursor.mjs';
import { feedOptions } from './feed-options.mjs';

// The changes feeds. Those of express-pouchdb leak a timer and a listener per disconnected client,
// ignore timeout and limit, and send headers late. These read PouchDB's one-shot changes after each
// change of the database.

/** The format of rows, heartbeats and the end of each feed. */
const styles = {
  continuous: {
    type: 'application/json',
    start: '',
    row: (row) => `${JSON.stringify(row)}\n`,
    beat: '\n',
    end: (lastSeq, pending) => `${JSON.stringify({ last_seq: lastSeq, pending })}\n`,
  },
  longpoll: {
    type: 'application/json',
    start: '{"results":[\n',
    row: (row, index) => `${index > 0 ? ',\n' : ''}${JSON.stringify(row)}`,
    beat: '\n',
    end: (lastSeq, pending) =>
      `\n],\n"last_seq":${JSON.stringify(lastSeq)},"pending":${pending}}\n\n`,
  },
  eventsource: {
    type: 'text/event-stream',
    start: '',
    row: (row) => `data: ${JSON.stringify(row)}\nid: ${JSON.stringify(row.seq)}\n\n`,
    beat: 'event: heartbeat\ndata: \n\n',
    end: () => '',
  },
};

/**
 * Answers GET and POST /db/_changes. Returns a complete response for the normal feed, and a
 * function that writes to the client's response for the others.
 */
export async function changes(request, engine) {
  if (request.method === 'POST') request.needJson();
  else if (request.method !== 'GET') {
    throw notAllowed('GET,POST,HEAD');
  }
  const [name] = request.segments;
  const db = await engine.open(name);
  const instance = engine.instance(name);
  const options = await feedOptions(request, db, instance);
  const cursor = new Cursor(db, instance, options);
  if (options.feed === 'normal' || request.head) {
    const { rows, pending } = await cursor.read();
    const { start, row, end } = styles.longpoll;
    return text(200, `${start}${rows.map(row).join('')}${end(cursor.lastSeq, pending)}`);
  }
  return (response) => stream(db, cursor, options, response);
}

async function stream(db, cursor, options, response) {
  const style = styles[options.feed];
  const waiter = new Waiter(db, response);
  let sent = 0;
  let pending = 0;
  let ended = false;
  let waited = false;
  let deadline = Date.now() + options.timeout;
  response.writeHead(200, { 'content-type': style.type, 'cache-control': 'must-revalidate' });
  if (style.start) response.write(style.start);
  response.flushHeaders();
  const beat =
    options.heartbeat && setInterval(() => response.write(style.beat), options.heartbeat);
  try {
    while (!ended) {
      waiter.arm();
      const found = await cursor.read();
      ({ pending } = found);
      for (const row of found.rows) response.write(style.row(row, sent++));
      if (found.rows.length > 0) deadline = Date.now() + options.timeout;
      const full = cursor.exhausted || (options.feed === 'longpoll' && sent > 0);
      // As CouchDB does, send a first heartbeat at once.
      if (!full && !waited) response.write('\n');
      waited = true;
      // A heartbeat replaces the timeout, so that the feed stays open.
      ended = full || (await waiter.wait(options.heartbeat ? undefined : deadline - Date.now()));
    }
  } catch {
    // The database was deleted during the read, so end the feed.
  } finally {
    clearInterval(beat);
    waiter.close();
    response.end(style.end(cursor.lastSeq, pending));
  }
}

/** Waits for a change of the database, or for the end: a timeout, a disconnect or a deletion. */
class Waiter {
  #db;
  #response;
  #moved = false;
  #over = false;
  #wake = () => {};
  #onMoved = () => {
    this.#moved = true;
    this.#wake();
  };
  #onOver = () => {
    this.#over = true;
    this.#wake();
  };

  constructor(db, response) {
    this.#db = db;
    this.#response = response;
    db.on('moved', this.#onMoved);
    db.on('gone', this.#onOver);
    response.on('close', this.#onOver);
  }

  /** Call it before a read, so that no change during the read is missed. */
  arm() {
    this.#moved = false;
  }

  /** Whether the feed has ended. */
  async wait(milliseconds) {
    if (this.#moved || this.#over) return this.#over;
    let timer;
    await new Promise((resolve) => {
      this.#wake = resolve;
      if (milliseconds !== undefined) timer = setTimeout(this.#onOver, Math.max(0, milliseconds));
    });
    clearTimeout(timer);
    return this.#over;
  }

  close() {
    this.#db.off('moved', this.#onMoved);
    this.#db.off('gone', this.#onOver);
    this.#response.off('close', this.#onOver);
  }
}
