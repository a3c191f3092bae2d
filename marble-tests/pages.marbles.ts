import { describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Page, Row } from 'corduroy';
import { map, of } from 'rxjs';
import { bytes, marbleTransport, response } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const row = (key: string): unknown => ({ id: key, key, value: null });
const answers = [['a', 'b'], ['b', 'c'], ['c']].map((keys) =>
  bytes(JSON.stringify({ total_rows: 3, offset: 0, rows: keys.map(row) })),
);
const key = ({ rows }: Page<Row>): unknown => rows[0]?.key;

describe('viewPages', () => {
  it(
    'requests the next page when it has emitted one',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const head = (count: number) =>
        cold('--h', { h: response(of(answers[count - 1] as Uint8Array)) });
      const transport = marbleTransport((_, count) => head(count));
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const pages = db.viewPages('d/v', { pageSize: 1 }).pipe(map(key));
      expectObservable(pages).toBe('--a-b-(c|)');
      flush();
      expect(transport.requests).toHaveLength(3);
    }),
  );

  it(
    'requests the next page when `when` emits or completes',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const head = (count: number) =>
        cold('--h', { h: response(of(answers[count - 1] as Uint8Array)) });
      const transport = marbleTransport((_, count) => head(count));
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const ready = [cold('   ---r--r--'), cold('        ----|')];
      const expected = '    --a----b-----(c|)';
      const when = ({ rows }: Page<Row>) => (rows[0]?.key === 'a' ? ready[0] : ready[1]) ?? of(1);
      expectObservable(db.viewPages('d/v', { pageSize: 1, when }).pipe(map(key))).toBe(expected);
      flush();
      expect(transport.requests).toHaveLength(3);
    }),
  );

  it(
    'requests nothing after an unsubscribe while it waits for `when`',
    marbles(({ cold, expectObservable, expectSubscriptions, flush }, scheduler) => {
      const head = cold('--h', { h: response(of(answers[0] as Uint8Array)) });
      const transport = marbleTransport(() => head);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const when = cold('  -------r');
      const unsub = '    ------!';
      expectObservable(
        db.viewPages('d/v', { pageSize: 1, when: () => when }).pipe(map(key)),
        unsub,
      ).toBe('--a---');
      expectSubscriptions(when.subscriptions).toBe('--^---!');
      flush();
      expect(transport.requests).toHaveLength(1);
    }),
  );

  it(
    'errors with the error of `when`',
    marbles(({ cold, expectObservable }, scheduler) => {
      const head = cold('--h', { h: response(of(answers[0] as Uint8Array)) });
      const transport = marbleTransport(() => head);
      const db = new Couch(undefined, { transport, scheduler }).use('db');
      const pages = db.viewPages('d/v', { pageSize: 1, when: () => cold('--#') });
      expectObservable(pages.pipe(map(key))).toBe('--a-#');
    }),
  );
});
