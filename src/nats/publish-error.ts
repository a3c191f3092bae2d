import { CorduroyError, isKind } from '../errors/corduroy-error.ts';
import { describeCause, redactor } from '../errors/redact.ts';

/**
 * Why a change was not published:
 *
 * - `'no-stream'`: JetStream answered that no stream takes the subject.
 * - `'size'`: the message is larger than the server or the stream allows.
 * - `'subject'`: the function for the subject threw, or returned a subject that NATS cannot publish to.
 * - `'forbidden'`: the user of the connection may not publish to the subject.
 * - `'closed'`: the connection was closed. A closed connection never reconnects.
 * - `'refused'`: JetStream refused the message for another reason, or its answer is unusable.
 * - `'full'`: the stream takes no more messages until some are removed. Retried.
 * - `'unavailable'`: no acknowledgement arrived. Retried.
 */
export type PublishFailure =
  'no-stream' | 'size' | 'subject' | 'forbidden' | 'closed' | 'refused' | 'full' | 'unavailable';

/** The change and the subject of a message that was not published. */
export interface Unpublished {
  readonly id: string;
  /** The subject; null if it is unknown. */
  readonly subject: string | null;
}

/** Reports that a change was not published. The message names the remedy. */
export class PublishError extends CorduroyError {
  override readonly name = 'PublishError' as const;
  readonly reason: PublishFailure;
  /** The id of the document. */
  readonly id: string;
  /** The subject of the message; null if the function for the subject failed. */
  readonly subject: string | null;
  /** The error code of JetStream, such as 10077; null if JetStream sent none. */
  readonly code: number | null;

  constructor(reason: PublishFailure, { id, subject }: Unpublished, thrown: unknown) {
    const cause = describeCause(thrown, redact);
    const target = subject === null ? '' : ` to ${JSON.stringify(subject)}`;
    super(
      `The change of ${JSON.stringify(id)} was not published${target}: ${TEXTS[reason](cause)}`,
      {
        cause,
        transient: isRetried(reason),
      },
    );
    this.reason = reason;
    this.id = id;
    this.subject = subject;
    this.code = apiCode(thrown);
  }
}

/** Tells whether an error is a {@link PublishError}. */
export function isPublishError(error: unknown): error is PublishError {
  return isKind(error, 'PublishError');
}

/** Tells whether only this message cannot be published: its size or its subject is invalid. */
export function isPoison(error: unknown): boolean {
  return isPublishError(error) && (error.reason === 'size' || error.reason === 'subject');
}

/** A message of NATS may contain the URL of a server. */
const redact = redactor([]);

const isRetried = (reason: PublishFailure): boolean =>
  reason === 'full' || reason === 'unavailable';

const TEXTS: Readonly<Record<PublishFailure, (cause: Error) => string>> = {
  'no-stream': () => 'no stream takes this subject. Add the subject to a stream',
  size: ({ message }) =>
    `it is too large (${message}). Raise max_payload of the server or max_msg_size of the stream, omit includeDocs, or pass deadLetter`,
  subject: ({ message }) => message,
  forbidden: ({ message }) =>
    `the user of the connection may not publish to it (${message}). Grant the permission`,
  closed: ({ message }) =>
    `the connection is closed (${message}). Connect with maxReconnectAttempts: -1, and publish over the new connection`,
  refused: ({ message }) => `JetStream refused it (${message})`,
  full: ({ message }) =>
    `the stream takes no more messages (${message}). Remove messages, or raise the limits of the stream`,
  unavailable: ({ message }) =>
    `JetStream did not acknowledge it (${message}). Check that the server runs, with JetStream enabled`,
};

/** Tells whether NATS or JetStream had no receiver for a request. A restarting server has none either. */
export function hasNoResponders(thrown: unknown): boolean {
  return namesOf(thrown).some((name) => name === 'NoResponders' || name === 'JetStreamNotEnabled');
}

/** Tells whether JetStream answered that there is no such stream. */
export function isStreamNotFound(thrown: unknown): boolean {
  return namesOf(thrown).includes('StreamNotFoundError');
}

/** The reasons of errors with a name. Names also work if there are two copies of the client. */
const REASONS: Readonly<Record<string, PublishFailure>> = {
  ClosedConnectionError: 'closed',
  DrainingConnectionError: 'closed',
  PermissionViolationError: 'forbidden',
  // The subject was validated, so it is the payload.
  InvalidArgumentError: 'size',
  NoResponders: 'unavailable',
  JetStreamNotEnabled: 'unavailable',
  TimeoutError: 'unavailable',
  RequestError: 'unavailable',
};

/** JetStream's codes for a message that is too large. */
const TOO_LARGE: ReadonlySet<number | null> = new Set([10054, 10097]);
/** JetStream's code for a message that was not stored, mostly because of the limits of the stream. */
const NOT_STORED = 10077;

/** Returns why a message was not published, from what the client of NATS threw. */
export function reasonOf(thrown: unknown): PublishFailure {
  const code = apiCode(thrown);
  if (TOO_LARGE.has(code)) return 'size';
  if (code === NOT_STORED) return 'full';
  if (code !== null) return numberField(thrown, 'status') >= 500 ? 'unavailable' : 'refused';
  // The innermost error comes last, and knows most.
  const reasons = namesOf(thrown).flatMap((name) => REASONS[name] ?? []);
  return reasons.at(-1) ?? 'refused';
}

function apiCode(thrown: unknown): number | null {
  const isAnswer = namesOf(thrown).some((name) => name === 'JetStreamApiError');
  const code = numberField(thrown, 'code');
  return isAnswer && !Number.isNaN(code) ? code : null;
}

function numberField(thrown: unknown, name: 'code' | 'status'): number {
  return Number((thrown as Partial<Record<string, unknown>> | null)?.[name]);
}

/** Returns the names of an error and of its causes. */
function namesOf(thrown: unknown): readonly string[] {
  const names: string[] = [];
  let error = thrown;
  while (error instanceof Error && names.length < 8) {
    names.push(error.name);
    error = error.cause;
  }
  return names;
}
