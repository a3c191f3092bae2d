import { AckPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamClient, JetStreamManager, JsMsg, StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Couch, fileCheckpoint, memoryCheckpoint } from 'corduroy';
import type { Change, ConsumeProgress, Database, FeedState } from 'corduroy';
import { isPublishError, publishChanges, subjectToken } from 'corduroy/nats';
import type { PublishOptions, Publisher } from 'corduroy/nats';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Observable, filter, firstValueFrom, lastValueFrom, take, timeout, toArray } from 'rxjs';
import { startNatsServer } from './helpers/nats-server.ts';
import type { NatsServer } from './helpers/nats-server.ts';
import { createDatabase, needs, rawFetch, server } from './helpers/server.ts';

jest.setTimeout(60_000);

const TIMEOUT = 40_000;
const FAST = { initialDelay: 1, maxDelay: 50 };
const specify = needs('nats-server');
const cleanUps: (() => unknown)[] = [];

afterEach(async () => {
  for (let last = cleanUps.pop(); last; last = cleanUps.pop()) await last();
});

/** Writes documents directly to CouchDB. */
async function write(name: string, from: number, to: number): Promise<void> {
  const docs = Array.from({ length: to - from }, (_, i) => ({ _id: idOf(from + i), n: from + i }));
  const response = await rawFetch(`/${name}/_bulk_docs`, { method: 'POST', body: { docs } });
  expect(await response.json()).toHaveLength(to - from);
}
const idOf = (n: number): string => `item-${String(n).padStart(5, '0')}`;
const ids = (total: number): string[] => Array.from({ length: total }, (_, i) => idOf(i));

async function database(total: number): Promise<Database> {
  const db = new Couch(server.authenticatedUrl).use(await createDatabase());
  if (total > 0) await write(db.name, 0, total);
  return db;
}

interface Broker {
  readonly nats: NatsServer;
  readonly connection: NatsConnection;
  readonly js: JetStreamClient;
  readonly manager: JetStreamManager;
}

async function client(nats: NatsServer): Promise<Omit<Broker, 'nats'>> {
  const connection = await connect({
    servers: nats.address,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    reconnectJitter: 10,
  });
  cleanUps.push(() => connection.close());
  // An acknowledgement that a killed server owes is given up soon.
  const js = jetstream(connection, { timeout: 1000 });
  return { connection, js, manager: await jetstreamManager(connection) };
}

/** Starts a NATS server with the stream `changes`. */
async function broker(stream: Partial<StreamConfig> = {}, settings = ''): Promise<Broker> {
  const nats = await startNatsServer(settings);
  cleanUps.push(() => nats.stop());
  const clients = await client(nats);
  await clients.manager.streams.add({ name: 'changes', subjects: ['changes.>'], ...stream });
  return { nats, ...clients };
}

const options: PublishOptions = {
  name: 'test',
  subject: 'changes.all',
  since: 0,
  heartbeat: 1000,
  backoff: FAST,
  checkpointInterval: 0,
};

/** Waits until `count` changes are published and their sequence is stored, and unsubscribes. */
const published = (publisher: Publisher, count: number): Promise<ConsumeProgress> =>
  firstValueFrom(
    publisher.pipe(
      filter(({ handled, failed }) => handled + failed >= count),
      timeout({ first: TIMEOUT }),
    ),
  );

const failure = (publisher: Publisher): Promise<unknown> =>
  lastValueFrom(publisher.pipe(timeout({ each: TIMEOUT }))).then(
    () => undefined,
    (error: unknown) => error,
  );

/** Reads all messages of the stream without a consumer that others could share. */
async function stored({ js, manager }: Broker): Promise<readonly JsMsg[]> {
  const { state } = await manager.streams.info('changes');
  const consumer = await js.consumers.get('changes');
  const messages: JsMsg[] = [];
  if (state.messages === 0) return messages;
  for await (const message of await consumer.consume()) {
    messages.push(message);
    if (message.info.pending === 0) break;
  }
  return messages;
}

const idsOf = (messages: readonly JsMsg[]): string[] =>
  messages.map((message) => message.json<Change>().id).sort();

describe('publishChanges', () => {
  specify('publishes 2,000 changes once', async () => {
    const db = await database(2000);
    const broken = await broker();
    const { handled, failed } = await published(publishChanges(db, broken.js, options), 2000);
    expect({ handled, failed }).toEqual({ handled: 2000, failed: 0 });
    const messages = await stored(broken);
    expect(idsOf(messages)).toEqual(ids(2000));
    const [first] = messages;
    const change = first?.json<Change>();
    expect(change).toEqual({
      seq: expect.any(String),
      id: expect.any(String),
      changes: [{ rev: expect.stringMatching(/^1-/) }],
    });
    expect(first?.headers?.get('Couchdb-Id')).toBe(change?.id);
    expect(first?.headers?.get('Couchdb-Rev')).toBe(change?.changes[0]?.rev);
  });

  specify('publishes documents to the subjects that a function chooses', async () => {
    const db = await database(0);
    const id = 'größe 1.5 *';
    await rawFetch(`/${db.name}/${encodeURIComponent(id)}`, { method: 'PUT', body: { n: 5 } });
    const all = await broker();
    const subject = (change: Change): string => `changes.${subjectToken(change.id)}`;
    await published(publishChanges(db, all.js, { ...options, includeDocs: true, subject }), 1);
    const [message] = await stored(all);
    expect(message?.subject).toBe('changes.gr%C3%B6%C3%9Fe%201%2E5%20%2A');
    expect(message?.json<Change<{ n: number }>>().doc).toMatchObject({ _id: id, n: 5 });
    expect(decodeURIComponent(message?.headers?.get('Couchdb-Id') ?? '')).toBe(id);
  });

  specify('loses no change and doubles none if NATS is killed and restarted', async () => {
    const db = await database(2000);
    const killed = await broker();
    const publisher = publishChanges(db, killed.js, {
      ...options,
      batchSize: 100,
      concurrency: 20,
    });
    const states: FeedState[] = [];
    const watching = publisher.state$.subscribe((state) => states.push(state));
    let restarted: Promise<void> | undefined;
    const restart = async (): Promise<void> => {
      await killed.nats.kill();
      await firstValueFrom(publisher.state$.pipe(filter(({ status }) => status === 'waiting')));
      await killed.nats.start();
    };
    await published(
      new Observable<ConsumeProgress>((subscriber) =>
        publisher.subscribe({
          next: (progress) => {
            if (progress.handled >= 500) restarted ??= restart();
            subscriber.next(progress);
          },
          error: (error: unknown) => subscriber.error(error),
        }),
      ) as Publisher,
      2000,
    );
    await restarted;
    watching.unsubscribe();
    expect(idsOf(await stored(killed))).toEqual(ids(2000));
    // The restarted server still knows the ids of all messages.
    await published(
      publishChanges(db, killed.js, { ...options, checkpoint: memoryCheckpoint() }),
      2000,
    );
    expect(idsOf(await stored(killed))).toEqual(ids(2000));
    const waited = states.find((state) => state.status === 'waiting');
    expect(waited).toMatchObject({ error: { name: 'PublishError', reason: 'unavailable' } });
    expect(states.at(-1)?.status).not.toBe('waiting');
  });

  specify('doubles no change if the publisher is killed and starts again', async () => {
    const db = await database(1000);
    const all = await broker();
    const folder = await mkdtemp(join(tmpdir(), 'corduroy-nats-'));
    cleanUps.push(() => rm(folder, { recursive: true, force: true }));
    const checkpoint = fileCheckpoint(join(folder, 'seq'));
    let sent = 0;
    const js: Pick<JetStreamClient, 'publish' | 'jetstreamManager'> = {
      publish: async (...args) => {
        sent += 1;
        return all.js.publish(...args);
      },
      jetstreamManager: () => all.js.jetstreamManager(),
    };
    // A checkpoint that is never written before the end is that of a process that was killed.
    const lost = { read: () => checkpoint.read(), write: () => undefined };
    const first = publishChanges(db, js, { ...options, batchSize: 100, checkpoint: lost });
    await published(first, 450);
    const before = sent;
    await published(publishChanges(db, js, { ...options, checkpoint }), 1000);
    expect(before).toBeGreaterThanOrEqual(450);
    expect(sent - before).toBe(1000);
    expect(idsOf(await stored(all))).toEqual(ids(1000));
    // Nothing is left for a third one.
    const third = publishChanges(db, js, { ...options, checkpoint });
    const live = firstValueFrom(third.state$.pipe(filter(({ status }) => status === 'live')));
    const running = third.subscribe();
    await live;
    running.unsubscribe();
    expect(sent - before).toBe(1000);
  });

  specify('publishes a winner that comes back, and the same changes for another name', async () => {
    const db = await database(0);
    const put = async (rev: string, body: object): Promise<void> => {
      const doc = { _id: 'ada', _rev: rev, ...body };
      const response = await rawFetch(`/${db.name}/_bulk_docs`, {
        method: 'POST',
        body: { docs: [doc], new_edits: false },
      });
      expect(response.status).toBe(201);
    };
    const all = await broker();
    const checkpoint = memoryCheckpoint();
    const publish = (): Promise<unknown> =>
      published(publishChanges(db, all.js, { ...options, includeDocs: true, checkpoint }), 1);
    await put('2-a', { _revisions: { start: 2, ids: ['a', 'x'] } });
    await publish();
    await put('3-b', { _revisions: { start: 3, ids: ['b', 'y', 'x'] } });
    await publish();
    await put('4-c', { _deleted: true, _revisions: { start: 4, ids: ['c', 'b', 'y', 'x'] } });
    await publish();
    const revisions = (await stored(all)).map(({ headers }) => headers?.get('Couchdb-Rev'));
    expect(revisions).toEqual(['2-a', '3-b', '2-a']);
    await published(publishChanges(db, all.js, { ...options, name: 'other' }), 1);
    expect(await stored(all)).toHaveLength(4);
  });

  specify(
    'lets four workers share one durable consumer, which handles each message once',
    async () => {
      const db = await database(400);
      const all = await broker();
      await all.manager.consumers.add('changes', {
        durable_name: 'workers',
        ack_policy: AckPolicy.Explicit,
      });
      const handled: { readonly worker: number; readonly id: string }[] = [];
      const workers: Promise<void>[] = [];
      let acknowledged = 0;
      for (let worker = 0; worker < 4; worker += 1) {
        const { js } = await client(all.nats);
        const consumer = await js.consumers.get('changes', 'workers');
        const messages = await consumer.consume({ max_messages: 10 });
        cleanUps.push(() => messages.close());
        const work = async (): Promise<void> => {
          for await (const message of messages) {
            handled.push({ worker, id: message.json<Change>().id });
            await message.ackAck();
            acknowledged += 1;
            if (acknowledged === 400) break;
          }
        };
        workers.push(work());
      }
      await published(publishChanges(db, all.js, options), 400);
      await Promise.race(workers);
      expect(handled.map(({ id }) => id).sort()).toEqual(ids(400));
      expect(new Set(handled.map(({ worker }) => worker)).size).toBe(4);
      const { num_pending, num_ack_pending, num_redelivered } = await all.manager.consumers.info(
        'changes',
        'workers',
      );
      expect({ num_pending, num_ack_pending, num_redelivered }).toEqual({
        num_pending: 0,
        num_ack_pending: 0,
        num_redelivered: 0,
      });
    },
  );
});

describe('a change that cannot be published', () => {
  specify('errors if no stream takes the subject, and keeps the checkpoint', async () => {
    const db = await database(3);
    const none = await broker();
    const checkpoint = memoryCheckpoint();
    const deadLetter = jest.fn();
    const publisher = publishChanges(db, none.js, {
      ...options,
      subject: 'orders',
      checkpoint,
      deadLetter,
    });
    const error = await failure(publisher);
    expect(error).toMatchObject({ name: 'PublishError', reason: 'no-stream', subject: 'orders' });
    expect(String(error)).toMatch(/no stream takes this subject\. Add the subject to a stream$/);
    expect(await firstValueFrom(publisher.state$)).toEqual({ status: 'failed', error });
    expect(deadLetter).not.toHaveBeenCalled();
    expect(checkpoint.read()).toBeNull();
    // It continues where it was as soon as there is a stream.
    await none.manager.streams.add({ name: 'orders', subjects: ['orders'] });
    expect(await published(publisher, 3)).toMatchObject({ handled: 3 });
  });

  specify('waits for JetStream if the server runs without it', async () => {
    const db = await database(1);
    const nats = await startNatsServer('', { jetstream: false });
    cleanUps.push(() => nats.stop());
    const connection = await connect({ servers: nats.address });
    cleanUps.push(() => connection.close());
    const publisher = publishChanges(db, jetstream(connection), options);
    const waiting = firstValueFrom(
      publisher.state$.pipe(
        filter(({ status }) => status === 'waiting'),
        take(3),
        toArray(),
      ),
    );
    const running = publisher.subscribe();
    const states = await waiting;
    running.unsubscribe();
    expect(states[2]).toMatchObject({ attempt: 3, error: { reason: 'unavailable' } });
    expect(await firstValueFrom(publisher.state$)).toEqual({ status: 'idle' });
  });

  specify(
    'goes to deadLetter if the message is too large, for the server or the stream',
    async () => {
      const db = await database(1);
      const large = { text: 'x'.repeat(5000) };
      await rawFetch(`/${db.name}/larger-than-max-payload`, { method: 'PUT', body: large });
      const medium = { text: 'x'.repeat(3000) };
      await rawFetch(`/${db.name}/larger-than-max-msg-size`, { method: 'PUT', body: medium });
      const small = await broker({ max_msg_size: 2000 }, 'max_payload: 4096');
      const dead = new Map<string, unknown>();
      const documents: PublishOptions = { ...options, includeDocs: true };
      const progress = await published(
        publishChanges(db, small.js, {
          ...documents,
          deadLetter: ({ id }, error) => dead.set(id, error),
        }),
        3,
      );
      expect(progress).toMatchObject({ handled: 1, failed: 2 });
      expect(Object.fromEntries(dead)).toEqual({
        'larger-than-max-msg-size': expect.objectContaining({ reason: 'size', code: 10054 }),
        'larger-than-max-payload': expect.objectContaining({ reason: 'size', code: null }),
      });
      const error = await failure(publishChanges(db, small.js, { ...documents, name: 'strict' }));
      expect(isPublishError(error) && error.reason).toBe('size');
      expect(String(error)).toMatch(
        /Raise max_payload of the server or max_msg_size of the stream/,
      );
    },
  );

  specify('goes to deadLetter if its subject is invalid, before anything is sent', async () => {
    const db = await database(2);
    const all = await broker();
    const dead: unknown[] = [];
    const subject = ({ id }: Change): string =>
      id === idOf(0) ? 'changes.two words' : 'changes.a';
    await published(
      publishChanges(db, all.js, {
        ...options,
        subject,
        deadLetter: (_change, error) => dead.push(error),
      }),
      2,
    );
    expect(dead).toEqual([
      expect.objectContaining({ reason: 'subject', id: idOf(0), subject: null }),
    ]);
    expect(String(dead[0])).toContain(
      'publishChanges: subject(change) must have no spaces and no control characters (received "changes.two words")',
    );
    expect(await stored(all)).toHaveLength(1);
  });

  specify('waits while a stream is full, and continues when messages are removed', async () => {
    const db = await database(5);
    const full = await broker({ max_msgs: 2, discard: 'new' });
    const publisher = publishChanges(db, full.js, options);
    const waiting = firstValueFrom(
      publisher.state$.pipe(filter((state) => state.status === 'waiting')),
    );
    const done = published(publisher, 5);
    expect(await waiting).toMatchObject({ error: { reason: 'full', code: 10077 } });
    await full.manager.streams.update('changes', { max_msgs: 10 });
    expect(await done).toMatchObject({ handled: 5 });
  });

  specify('errors if the connection is closed, or may not publish', async () => {
    const db = await database(1);
    const users = `
      authorization { users = [
        { user: writer, password: secret, permissions: { publish: ["$JS.API.>", "_INBOX.>"] } }
      ] }`;
    const nats = await startNatsServer(users);
    cleanUps.push(() => nats.stop());
    const connection = await connect({ servers: nats.address, user: 'writer', pass: 'secret' });
    const forbidden = await failure(publishChanges(db, jetstream(connection), options));
    expect(forbidden).toMatchObject({ reason: 'forbidden', transient: false });
    await connection.close();
    const closed = await failure(publishChanges(db, jetstream(connection), options));
    expect(closed).toMatchObject({ reason: 'closed' });
    expect(String(closed)).toMatch(/Connect with maxReconnectAttempts: -1/);
  });
});

it('refuses a subject with spaces at the call', async () => {
  const db = new Couch(server.authenticatedUrl).use('pets');
  const js = { publish: jest.fn(), jetstreamManager: jest.fn() } as never;
  expect(() => publishChanges(db, js, { ...options, subject: 'two words' })).toThrow(
    new TypeError(
      'publishChanges: subject must have no spaces and no control characters (received "two words"): encode each part with subjectToken()',
    ),
  );
});
