import { describe, expect, it } from '@jest/globals';
import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { resolveAllLeaves } from 'corduroy';
import type { AnyFields, ConflictedDocument, Document, LeavesOutcome, Merge } from 'corduroy';
import { marbles } from './helpers/run.ts';

/** Resolves the leaves of each document as the test answers. Records which documents it is asked for. */
function resolver(answer: (id: string) => Observable<Document>): {
  readonly db: Parameters<typeof resolveAllLeaves<AnyFields>>[0];
  readonly asked: string[];
} {
  const asked: string[] = [];
  const resolveLeaves = (id: string): Observable<Document> => {
    asked.push(id);
    return answer(id);
  };
  return { db: { revs: { resolveLeaves } }, asked };
}

const conflicted = (id: string, rev: string): ConflictedDocument => ({
  id,
  rev,
  conflicts: ['2-a'],
});
const x = conflicted('x', '2-b');
const y = conflicted('y', '2-b');
const lists = { 0: [], x: [x], y: [y], b: [x, y], n: [conflicted('x', '3-n')] };
const resolved = (id: string): Document => ({ _id: id, _rev: '3-m' });
const keep: Merge = (local) => local;
const shown = map((outcome: LeavesOutcome) => (outcome.ok ? outcome.id : `${outcome.id}!`));
const values = { x: 'x', y: 'y', X: 'x!' };

describe('resolveAllLeaves', () => {
  it(
    'resolves each document once, and not again while a list shows the same leaves',
    marbles(({ hot, cold, expectObservable, flush }) => {
      const { db, asked } = resolver((id) => cold('--(r|)', { r: resolved(id) }));
      const source = hot('  -x-b-b---|', lists);
      const expected = '    ---x-y---|';
      expectObservable(source.pipe(resolveAllLeaves(db, keep), shown)).toBe(expected, values);
      flush();
      expect(asked).toEqual(['x', 'y']);
    }),
  );

  it(
    'retries a failed document when its leaves have changed',
    marbles(({ hot, cold, expectObservable, flush }) => {
      const { db, asked } = resolver(() => cold('-#'));
      const source = hot('  -x-x-n-n-|', lists);
      const expected = '    --X---X--|';
      expectObservable(source.pipe(resolveAllLeaves(db, keep), shown)).toBe(expected, values);
      flush();
      expect(asked).toEqual(['x', 'x']);
    }),
  );

  it(
    'tries a document again that left the list and comes back with the same leaves',
    marbles(({ hot, cold, expectObservable, flush }) => {
      const { db, asked } = resolver((id) => cold('-(r|)', { r: resolved(id) }));
      const source = hot('  -x-0-x---|', lists);
      const expected = '    --x---x--|';
      expectObservable(source.pipe(resolveAllLeaves(db, keep), shown)).toBe(expected, values);
      flush();
      expect(asked).toEqual(['x', 'x']);
    }),
  );

  it(
    'tries a document again that left the list during its attempt',
    marbles(({ hot, cold, expectObservable, flush }) => {
      const { db, asked } = resolver(() => cold('--#'));
      const source = hot('  -x0--x---|', lists);
      const expected = '    ---X---X-|';
      expectObservable(source.pipe(resolveAllLeaves(db, keep), shown)).toBe(expected, values);
      flush();
      expect(asked).toEqual(['x', 'x']);
    }),
  );

  it(
    'resolves `concurrency` documents at the same time, and aborts them on unsubscribe',
    marbles(({ hot, cold, expectObservable, expectSubscriptions }) => {
      const first = cold('   --(r|)', { r: resolved('x') });
      const second = cold<Document>('  ------');
      const { db } = resolver((id) => (id === 'x' ? first : second));
      const source = hot('  -b-------', lists);
      const outcomes$ = source.pipe(resolveAllLeaves(db, keep, { concurrency: 1 }), shown);
      expectObservable(outcomes$, '------!').toBe('---x', values);
      expectSubscriptions(first.subscriptions).toBe('-^-!');
      expectSubscriptions(second.subscriptions).toBe('---^--!');
    }),
  );
});
