import { createHash } from 'node:crypto';
import type { Credentials, Origin } from './origin.ts';
import { passedBack } from './origin.ts';
import type { Refusal } from './refusal.ts';

/** The answer of CouchDB to the request of a listener. */
export interface Answer extends Refusal {
  /** When CouchDB was asked, in milliseconds of the relay's clock. */
  readonly askedAt: number;
}

/** A listener under a {@link Grant}. */
export interface Grantee {
  /** Ends the stream: the grant is gone. */
  readonly revoke: () => void;
}

/** The right of one user to read the changes of one database. */
export class Grant {
  readonly credentials: Credentials;
  readonly path: string;
  readonly holders: Set<Grantee> = new Set();
  confirmedAt: number;
  isChecking = false;

  constructor(credentials: Credentials, path: string, confirmedAt: number) {
    this.credentials = credentials;
    this.path = path;
    this.confirmedAt = confirmedAt;
  }

  revoke(): void {
    for (const holder of this.holders) holder.revoke();
  }
}

/** A question that was asked, so that CouchDB gets the same question of many listeners once. */
interface Asked {
  readonly answer: Promise<Answer>;
  readonly at: number;
  /** Null while CouchDB has not answered. */
  isGranted: boolean | null;
}

/** How long a refusal is repeated without asking CouchDB again, in milliseconds. */
const REFUSAL_TIME = 1000;

/**
 * Asks CouchDB itself who may read which changes, with the credentials of the listener: at the start, and
 * again as long as it listens.
 */
export class AccessControl {
  readonly #origin: Origin;
  readonly #recheck: number;
  readonly #now: () => number;
  readonly #asked = new Map<string, Asked>();
  readonly #grants = new Map<string, Grant>();

  /** @param recheck - The longest time for which an answer of CouchDB counts, in milliseconds. */
  constructor(origin: Origin, recheck: number, now: () => number) {
    this.#origin = origin;
    this.#recheck = recheck;
    this.#now = now;
  }

  /** How many users listen, counted once for each database. */
  get size(): number {
    return this.#grants.size;
  }

  /**
   * Asks CouchDB for no changes of a listener's query: the answer tells whether it may read them, and
   * whether the query is valid.
   *
   * @param path - The path of the changes, without a query.
   */
  async ask(
    credentials: Credentials,
    path: string,
    own: URLSearchParams,
    body: string | null,
  ): Promise<Answer> {
    // A list of ids may be long.
    const query = createHash('sha256').update(JSON.stringify([own.toString(), body]));
    const key = JSON.stringify([credentials.key, path, query.digest('base64')]);
    const known = this.#asked.get(key);
    if (known !== undefined && !this.#isStale(known)) return known.answer;
    const asked: Asked = {
      at: this.#now(),
      isGranted: null,
      answer: this.#probe(credentials, path, own, body),
    };
    this.#asked.set(key, asked);
    try {
      const answer = await asked.answer;
      asked.isGranted = answer.status === 200;
      return answer;
    } catch (error) {
      if (this.#asked.get(key) === asked) this.#asked.delete(key);
      throw error;
    }
  }

  /** Returns the grant of a user whose request CouchDB has answered. */
  grant(credentials: Credentials, path: string, { askedAt }: Answer, holder: Grantee): Grant {
    const key = JSON.stringify([credentials.key, path]);
    let grant = this.#grants.get(key);
    if (grant === undefined) {
      grant = new Grant(credentials, path, askedAt);
      this.#grants.set(key, grant);
    }
    grant.confirmedAt = Math.max(grant.confirmedAt, askedAt);
    grant.holders.add(holder);
    return grant;
  }

  /**
   * Asks again for the grants that are due, and forgets what is not needed any more. A grant that could not be
   * checked in time ends as one that was refused: the right may have been withdrawn.
   */
  sweep(): void {
    const now = this.#now();
    for (const [key, asked] of this.#asked)
      if (asked.isGranted !== null && this.#isStale(asked)) this.#asked.delete(key);
    for (const [key, grant] of this.#grants) {
      if (grant.holders.size === 0) this.#grants.delete(key);
      else if (now - grant.confirmedAt >= this.#recheck) grant.revoke();
      else if (!grant.isChecking && now - grant.confirmedAt >= this.#recheck * 0.6)
        void this.#recheckOne(grant);
    }
  }

  async #recheckOne(grant: Grant): Promise<void> {
    grant.isChecking = true;
    const askedAt = this.#now();
    const { path, credentials } = grant;
    try {
      // The head of the database costs CouchDB half of an answer without changes.
      const { status } = await this.#origin.text({
        method: 'HEAD',
        path: path.slice(0, -'/_changes'.length),
        headers: credentials.headers,
      });
      if (status === 200) grant.confirmedAt = askedAt;
      else if (status < 500) grant.revoke();
    } catch {
      // CouchDB is not there. The next sweep asks again, until the time is over.
    } finally {
      grant.isChecking = false;
    }
  }

  #isStale({ at, isGranted }: Asked): boolean {
    const age = this.#now() - at;
    return age >= (isGranted === false ? REFUSAL_TIME : this.#recheck * 0.6);
  }

  async #probe(
    { headers }: Credentials,
    path: string,
    own: URLSearchParams,
    body: string | null,
  ): Promise<Answer> {
    const askedAt = this.#now();
    const query = new URLSearchParams([...own, ['since', 'now'], ['limit', '0']]);
    const answer = await this.#origin.text({
      method: body === null ? 'GET' : 'POST',
      path: `${path}?${query.toString()}`,
      headers: { ...headers, ...(body !== null && { 'content-type': 'application/json' }) },
      body,
    });
    // A renewed cookie belongs to one listener, and this answer is for all who ask the same.
    const { 'set-cookie': _, ...others } = passedBack(answer.headers);
    return { status: answer.status, headers: others, text: answer.text, askedAt };
  }
}
