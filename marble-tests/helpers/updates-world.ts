import { Subject, filter, map, merge, startWith, take, timer } from 'rxjs';
import type { Observable } from 'rxjs';
import { memoryServer, status } from 'corduroy/testing';
import type { MemoryServer } from 'corduroy/testing';

/** A server with databases of the given numbers of documents, and a script of `_db_updates`. */
export class UpdatesWorld {
  readonly server: MemoryServer;
  readonly #updates: { db_name: string; type: string; seq: string }[] = [];
  readonly #moved$ = new Subject<void>();

  constructor(sizes: Readonly<Record<string, number>>, hasUpdates = true) {
    const databases = Object.fromEntries(
      Object.entries(sizes).map(([name, size]) => [
        name,
        Array.from({ length: size }, (_, i) => ({ _id: `${name}${i + 1}` })),
      ]),
    );
    this.server = memoryServer({ databases });
    if (!hasUpdates) this.server.on('GET /_db_updates', status(404));
    else this.server.on('GET /_db_updates', (_params, { query }) => this.#poll(query));
  }

  #poll({ since = 'now', timeout = '0' }: Readonly<Record<string, string>>): Observable<object> {
    const from = since === 'now' ? this.#updates.length : Number(since);
    const results$ = this.#moved$.pipe(
      startWith(undefined),
      map(() => this.#updates.slice(from)),
      filter(({ length }) => length > 0),
    );
    return merge(results$, timer(Number(timeout)).pipe(map(() => []))).pipe(
      take(1),
      map((results) => ({ results, last_seq: String(from + results.length) })),
    );
  }

  announce(name: string, type = 'updated'): void {
    this.#updates.push({ db_name: name, type, seq: String(this.#updates.length + 1) });
    this.#moved$.next();
  }

  write(name: string, id: string): void {
    this.server.couch().use(name).save({ _id: id }).subscribe();
  }

  requests(pattern: RegExp): readonly string[] {
    return this.server.requestLines.filter((line) => pattern.test(line));
  }
}
