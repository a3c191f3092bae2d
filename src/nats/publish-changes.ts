import {
  Observable,
  combineLatest,
  defer,
  distinctUntilChanged,
  map,
  mergeMap,
  shareReplay,
  tap,
  throwError,
} from 'rxjs';
import { Consumer } from '../changes/consume.ts';
import type { ConsumeOptions, ConsumeProgress, DeadLetterHandler } from '../changes/consume.ts';
import { longestSilence } from '../changes/feed-pace.ts';
import { databaseSource } from '../changes/feed-source.ts';
import type { FeedState } from '../changes/feed-model.ts';
import { CoreDatabase, scopeOf } from '../core-database.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { encodeText } from '../http/url.ts';
import type { Change, Sequence } from '../model/change.ts';
import type { AnyFields, JsonFields } from '../model/document.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';
import { Outage } from './outage.ts';
import { isPoison, isPublishError } from './publish-error.ts';
import { send, toMessage } from './message.ts';
import type { JetStreamPublisher, Message } from './message.ts';
import { requireSubject } from './subject.ts';

/** The options of {@link publishChanges}. */
export interface PublishOptions<T extends object = AnyFields> extends Omit<
  ConsumeOptions<T>,
  'attempts' | 'name' | 'style'
> {
  /**
   * The publisher's name. The checkpoint is stored under it, and it is a part of the message ids: two
   * publishers of different names publish each change twice.
   */
  readonly name: string;
  /**
   * The subject of all messages, or a function that returns the subject of a change. Each subject must
   * belong to a stream. `subjectToken` encodes an id as a part of a subject.
   */
  readonly subject: string | ((change: Change<T>) => string);
  /**
   * How many changes one request reads, and memory holds, at most.
   * @defaultValue 500
   */
  readonly batchSize?: number;
  /**
   * How many messages wait for their acknowledgement at the same time. Changes of one document are
   * published one after the other, in order.
   * @defaultValue 250
   */
  readonly concurrency?: number;
  /**
   * Which leaf revisions `changes` lists: the winner, or all of them with the winner first. They are a
   * part of the message id, so all of them tell two changes with the same winner apart.
   * @defaultValue `'all_docs'`; `'main_only'` with `filter`, `view` or `selector`, because CouchDB would
   * also match leaves that are not the winner
   */
  readonly style?: 'main_only' | 'all_docs';
  /**
   * Takes a change that cannot be published: its message is too large, or its subject is invalid. The
   * publisher then continues. Without it, the publisher errors. Other errors do not reach it.
   */
  readonly deadLetter?: DeadLetterHandler<T>;
}

const OPTIONS: Readonly<Record<keyof PublishOptions, true>> = {
  name: true,
  subject: true,
  since: true,
  includeDocs: true,
  conflicts: true,
  attachments: true,
  attEncodingInfo: true,
  style: true,
  docIds: true,
  selector: true,
  view: true,
  filter: true,
  query: true,
  slice: true,
  batchSize: true,
  concurrency: true,
  checkpoint: true,
  checkpointInterval: true,
  deadLetter: true,
  heartbeat: true,
  backoff: true,
  errorTolerance: true,
};

const WHAT = 'publishChanges';

/**
 * Publishes each change of a database as a message to NATS JetStream: `publishChanges` returns it.
 *
 * - **Temperature:** cold. Each subscription starts another publisher, so subscribe once.
 * - **Emits** the progress after each write of the checkpoint. `handled` counts the messages that
 *   JetStream has acknowledged.
 * - **Completes** after `stop`, when JetStream has acknowledged the messages in hand and the checkpoint is
 *   written.
 * - **Errors** with a {@link PublishError} that a retry cannot repair, with permanent errors of CouchDB,
 *   and with an error of `deadLetter`. Outages of NATS and of CouchDB are retried, and `state$` shows
 *   them.
 * - **On unsubscribe** it waits for no acknowledgement. The changes in hand come again after the next start.
 *
 * @see https://docs.couchdb.org/en/stable/api/database/changes.html
 */
export class Publisher extends Observable<ConsumeProgress> {
  /**
   * Emits the state of the publisher: the present one at once, then each new one. Hot. While NATS does
   * not acknowledge, it is `'waiting'` with a {@link PublishError}, then `'connecting'`; else it is the
   * state of the connection to CouchDB. It never errors, and a subscription to it sends nothing.
   */
  readonly state$: Observable<FeedState>;
  readonly #consumer: Pick<Consumer, 'seq' | 'stop'>;

  /** @internal */
  constructor(consumer: Consumer, outage: Outage, restart: () => void) {
    super((subscriber) => {
      restart();
      outage.restart();
      const failed = (error: unknown): void => {
        if (isPublishError(error)) outage.fail(error);
      };
      return consumer.pipe(tap({ error: failed })).subscribe(subscriber);
    });
    this.#consumer = consumer;
    this.state$ = combineLatest([consumer.state$, outage.state$]).pipe(
      map(([feed, broker]) => broker ?? feed),
      distinctUntilChanged(),
    );
  }

  /** The sequence up to which all changes are published; null before the first. */
  get seq(): Sequence | null {
    return this.#consumer.seq;
  }

  /**
   * Reads no more changes. The publisher completes when the messages in hand are acknowledged and the
   * checkpoint is written. During an outage of NATS it waits: unsubscribe to end it at once.
   */
  stop(): void {
    this.#consumer.stop();
  }
}

/**
 * Publishes each change of a database as a message to NATS JetStream, so that workers share the changes
 * through a durable consumer of JetStream.
 *
 * - **Message.** Its data is the change as JSON, as CouchDB sent it. Its headers are `Nats-Msg-Id`,
 *   `Couchdb-Id` (the id, percent-encoded) and `Couchdb-Rev` (the winning revision).
 * - **Delivery** is at least once. The checkpoint moves after JetStream has acknowledged. A message that is
 *   published again, after a crash or an outage, has the same `Nats-Msg-Id`: JetStream drops it within the
 *   `duplicate_window` of the stream, 2 minutes by default. A later one is in the stream twice.
 * - **Order.** The messages of one document are in order; those of two documents may not be.
 * - **Outages** of NATS are retried for `errorTolerance`, with `backoff`. All messages wait together, and an
 *   outage never counts against a message.
 *
 * The returned {@link Publisher} documents when it completes and errors.
 *
 * @param jetstream - The client that `jetstream(connection)` returns. Connect with
 * `maxReconnectAttempts: -1`, or the client of NATS closes the connection after ten attempts.
 * @throws TypeError or RangeError for invalid arguments, before anything is sent.
 * @example
 * const js = jetstream(await connect({ maxReconnectAttempts: -1 }));
 * publishChanges(orders, js, { name: 'orders', subject: 'orders', since: 0 }).subscribe();
 * @see https://docs.nats.io/nats-concepts/jetstream
 */
export function publishChanges<T extends object, Out extends object = JsonFields<T>>(
  db: CoreDatabase<T, Out>,
  jetstream: JetStreamPublisher,
  options: PublishOptions<JsonFields<T>>,
): Publisher {
  if (!(db instanceof CoreDatabase)) throw invalidArgument(`${WHAT}: db`, 'a Database', db);
  requireClient(jetstream);
  requireOptions(options, WHAT, Object.keys(OPTIONS));
  const { name, subject, deadLetter, backoff = {}, errorTolerance = 'always', ...rest } = options;
  if (typeof name !== 'string' || name === '')
    throw invalidArgument(`${WHAT}: name`, 'a string that is not empty', name);
  encodeText(name, `${WHAT}: name`);
  if (typeof subject !== 'function') requireSubject(subject, `${WHAT}: subject`);
  if (deadLetter !== undefined && typeof deadLetter !== 'function')
    throw invalidArgument(`${WHAT}: deadLetter`, 'a function', deadLetter);
  // Messages hold what CouchDB sent: a schema of this program must not decide what workers receive.
  const scope: DatabaseScope = { ...scopeOf(db), rules: null };
  const outage = new Outage(scope.connection, { backoff, errorTolerance });
  const { heartbeat = 30_000, batchSize = 500, concurrency = 250 } = rest;
  const { style = hasFilter(rest) ? 'main_only' : 'all_docs' } = rest;
  const source = databaseSource(scope, {});
  // Reads it once, with the first change.
  const identify = (): Observable<string | null> =>
    defer(() => source.identity(longestSilence(heartbeat))).pipe(
      shareReplay({ bufferSize: 1, refCount: true }),
    );
  let identity$ = identify();
  const publish = (change: Change<JsonFields<T>>): Observable<unknown> => {
    let message: Message | undefined;
    return outage.retried(() =>
      identity$.pipe(
        mergeMap((created) => {
          message ??= toMessage(change, scope, { created: created ?? '', name, subject });
          return send(jetstream, message);
        }),
      ),
    );
  };
  const onlyPoison: DeadLetterHandler<JsonFields<T>> | undefined =
    deadLetter &&
    ((change, error) => (isPoison(error) ? deadLetter(change, error) : throwError(() => error)));
  const consumer = new Consumer<JsonFields<T>>(
    scope,
    publish,
    {
      ...rest,
      batchSize,
      concurrency,
      style,
      name,
      backoff,
      errorTolerance,
      // Outages are retried here. Every other failure is permanent.
      attempts: 1,
      ...(onlyPoison !== undefined && { deadLetter: onlyPoison }),
    },
    WHAT,
  );
  return new Publisher(consumer as unknown as Consumer, outage, () => (identity$ = identify()));
}

function requireClient(jetstream: unknown): void {
  const { publish, jetstreamManager } = Object(jetstream) as Partial<JetStreamPublisher>;
  if (typeof publish === 'function' && typeof jetstreamManager === 'function') return;
  throw invalidArgument(
    `${WHAT}: jetstream`,
    'a JetStream client: jetstream(connection)',
    jetstream,
  );
}

const hasFilter = ({ filter, view, selector }: Partial<PublishOptions<never>>): boolean =>
  filter !== undefined || view !== undefined || selector !== undefined;
