import { headers } from '@nats-io/nats-core';
import { catchError, map, mergeMap, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import type { CorduroyError } from '../errors/corduroy-error.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Change } from '../model/change.ts';
import { toObservable } from '../operators/to-observable.ts';
import { PublishError, hasNoResponders, isStreamNotFound, reasonOf } from './publish-error.ts';
import { requireSubject } from './subject.ts';

/**
 * The methods of a JetStream client that `publishChanges` calls: `jetstream(connection)` returns one. The
 * types of the client are not used, so that programs compile with any of its versions.
 */
export interface JetStreamPublisher {
  publish(
    subject: string,
    data?: string,
    options?: { readonly msgID?: string; readonly headers?: MessageHeaders },
  ): Promise<unknown>;
  jetstreamManager(checkAPI?: boolean): Promise<{
    readonly streams: { find(subject: string): Promise<unknown> };
  }>;
}

/** The part of the headers of NATS that `publishChanges` uses. */
export interface MessageHeaders {
  set(name: string, value: string): void;
}

/** The parts of a message that all changes share. */
export interface Envelope<T extends object> {
  /** The time of the creation of the database; empty if CouchDB does not tell it. */
  readonly created: string;
  readonly name: string;
  readonly subject: string | ((change: Change<T>) => string);
}

/** A message for JetStream. */
export interface Message {
  readonly id: string;
  readonly subject: string;
  readonly data: string;
  readonly messageId: string;
  readonly rev: string;
}

/**
 * Makes the message of a change. Its id is the same whenever CouchDB sends the change again, unlike a
 * sequence: a cluster may send the same change with another sequence. All leaf revisions are in the id,
 * because the winner alone may come back, when the leaf that had beaten it is deleted.
 *
 * @throws PublishError if the function for the subject fails.
 */
export function toMessage<T extends object>(
  change: Change<T>,
  { connection, path }: DatabaseScope,
  { created, name, subject }: Envelope<T>,
): Message {
  const { id } = change;
  const revisions = change.changes.map(({ rev }) => rev);
  const leaves = [...revisions].sort().join();
  const place = `${connection.url}${path}/${encodeURIComponent(id)}`;
  return {
    id,
    subject: subjectOf(change, subject),
    data: connection.codec.stringify(change),
    messageId: `${place}?rev=${leaves}&created=${created}&publisher=${encodeURIComponent(name)}`,
    rev: change.doc?._rev ?? revisions[0] ?? '',
  };
}

function subjectOf<T extends object>(change: Change<T>, subject: Envelope<T>['subject']): string {
  if (typeof subject === 'string') return subject;
  try {
    const chosen = subject(change);
    requireSubject(chosen, 'publishChanges: subject(change)');
    return chosen;
  } catch (thrown) {
    throw new PublishError('subject', { id: change.id, subject: null }, thrown);
  }
}

/** Publishes a message once. Completes when JetStream has acknowledged it. */
export function send(jetstream: JetStreamPublisher, message: Message): Observable<unknown> {
  const { id, subject, data, messageId, rev } = message;
  return toObservable(() => {
    const fields = headers();
    fields.set('Couchdb-Id', encodeURIComponent(id));
    fields.set('Couchdb-Rev', rev);
    return jetstream.publish(subject, data, { msgID: messageId, headers: fields });
  }).pipe(
    catchError((thrown: unknown) =>
      (hasNoResponders(thrown) ? lacksStream(jetstream, subject) : of(false)).pipe(
        mergeMap((isMissing) => {
          const reason = isMissing ? 'no-stream' : reasonOf(thrown);
          return throwError((): CorduroyError => new PublishError(reason, message, thrown));
        }),
      ),
    ),
  );
}

/**
 * Emits whether JetStream answers that no stream takes a subject. A server that starts, or a stream
 * without a leader, takes no message either: then JetStream knows the stream, or does not answer.
 */
function lacksStream(jetstream: JetStreamPublisher, subject: string): Observable<boolean> {
  return toObservable(() => jetstream.jetstreamManager(false)).pipe(
    mergeMap((manager) => toObservable(() => manager.streams.find(subject))),
    map(() => false),
    catchError((thrown: unknown) => of(isStreamNotFound(thrown))),
  );
}
