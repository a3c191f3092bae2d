import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import { withState } from 'corduroy';
import type { LiveQuery, WithState } from 'corduroy';
import { liveServer } from './helpers/live-server.ts';
import { marbles } from './helpers/run.ts';

// Reads that fail, while the feed is live.

const rows = { total_rows: 0, offset: 0, rows: [] };

type Server = ReturnType<typeof liveServer>;

const queries: Readonly<Record<string, (server: Server) => LiveQuery<unknown>>> = {
  doc$: ({ db }) => db.doc$('a'),
  docs$: ({ db }) => db.docs$(['a', 'b']),
  allDocs$: ({ db }) => db.allDocs$(),
  find$: ({ db }) => db.find$({ selector: { n: 1 } }),
  view$: ({ db }) => db.view$('d/v'),
};

const describeState = ({ loading, stale, error, since }: WithState<unknown>): string =>
  [
    loading ? 'loading' : 'value',
    stale ? `stale since ${since}` : '',
    error === null ? '' : error.name,
  ]
    .filter((part) => part !== '')
    .join(', ');

describe.each(Object.keys(queries))('a failing read of %s', (name) => {
  it(
    'shows its error within one attempt, and until an attempt succeeds',
    marbles(({ expectObservable }, scheduler) => {
      const server = liveServer(scheduler);
      server.answerOther = (path) => (path.includes('_find') ? { docs: [] } : rows);
      server.failReads = 500;
      server.at(30, () => {
        server.failReads = null;
      });
      const query = (queries[name] as (server: Server) => LiveQuery<unknown>)(server);
      const states$ = query.pipe(withState(), map(describeState));
      // The attempts begin at 1, 13, and 35: the delays are 10 and 20.
      expectObservable(states$, '100ms !').toBe('l--f 11ms f 21ms (vu)', {
        l: 'loading',
        f: 'loading, stale since 3, ServerError',
        v: 'loading',
        u: 'value',
      });
      expectObservable(query.state$.pipe(map(({ status }) => status)), '90ms !').toBe(
        'cl-w 11ms w 21ms l',
        { c: 'connecting', l: 'live', w: 'waiting' },
      );
    }),
  );

  it(
    'ends the query after the error tolerance',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = liveServer(scheduler, {}, { live: { errorTolerance: 100 } });
      server.failReads = 500;
      const query = (queries[name] as (server: Server) => LiveQuery<unknown>)(server);
      // The tolerance begins with the read, and its last attempt takes two frames.
      expectObservable(query).toBe('103ms #', {}, expect.objectContaining({ name: 'ServerError' }));
      flush();
      expect(server.openFeeds()).toBe(0);
    }),
  );
});
