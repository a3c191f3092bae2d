import { describe, expect, it } from '@jest/globals';
import { BehaviorSubject, concat, ignoreElements, throwError, timer } from 'rxjs';
import { Unauthorized } from 'corduroy';
import type { Credentials } from 'corduroy';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

describe('edit$, when news overtake each other', () => {
  it(
    'does not go back to a revision that its own save replaced',
    marbles((_, scheduler) => {
      const server = liveServer(scheduler, { feedDelay: 30 });
      server.put('a', { n: 1, m: 1 });
      const edit = server.db.edit$('a', { debounce: 10, backoff: { initialDelay: 1 } });
      const generations: number[] = [];
      const subscription = edit.subscribe(({ value }) =>
        generations.push(Number.parseInt(value?._rev ?? '0', 10)),
      );
      server.at(40, () => edit.patch({ n: 2 }));
      server.at(41, () => server.put('a', { n: 1, m: 7 }));
      server.at(200, () => subscription.unsubscribe());
      scheduler.flush();
      expect(generations.at(-1)).toBe(3);
      expect(generations).toEqual([...generations].sort((a, b) => a - b));
    }),
  );

  it(
    'saves again if a login happened while the server refused the former credentials',
    marbles((_, scheduler) => {
      const old: Credentials = { username: 'ada', password: 'old' };
      const auth = new BehaviorSubject<Credentials>(old);
      const request = { method: 'PUT', url: 'http://127.0.0.1:5984/db/a' };
      const refusal = new Unauthorized({
        status: 401,
        error: 'unauthorized',
        reason: 'wrong password',
        headers: {},
        request,
      });
      const server = liveServer(
        scheduler,
        {},
        {
          auth,
          links: [
            (sent, next) =>
              sent.method === 'PUT' && auth.value === old
                ? concat(
                    timer(2, scheduler).pipe(ignoreElements()),
                    throwError(() => refusal),
                  )
                : next(sent),
          ],
        },
      );
      server.put('a', { n: 1 });
      const edit = server.db.edit$('a', { debounce: 10 });
      const subscription = edit.subscribe();
      server.at(10, () => edit.patch({ n: 2 }));
      server.at(21, () => auth.next({ username: 'ada', password: 'new' }));
      server.at(90, () => {
        expect(edit.pending).toBe(false);
        subscription.unsubscribe();
      });
      scheduler.flush();
      expect(server.requests.filter((line) => line.startsWith('put'))).toHaveLength(1);
    }),
  );
});
