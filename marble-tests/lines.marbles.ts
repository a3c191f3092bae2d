import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { from } from 'rxjs';
import { lines } from '../src/operators/lines.ts';
import { bytes } from './helpers/marble-transport.ts';
import { marbles } from './helpers/run.ts';

const chunks = { a: bytes('one\ntw'), b: bytes('o\n'), c: bytes('three'), h: bytes('\n') };

describe('lines', () => {
  it(
    'emits whole lines when the chunk that ends them arrives',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold('-a--b--|', chunks);
      const sourceSubs = ' ^------!';
      const expected = '  -x--y--|';
      expectObservable(source.pipe(lines())).toBe(expected, { x: ['one'], y: ['two'] });
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    }),
  );

  it(
    'drops the text after the last newline',
    marbles(({ cold, expectObservable }) => {
      const source = cold('-a--c--|', chunks);
      const expected = '  -x-----|';
      expectObservable(source.pipe(lines())).toBe(expected, { x: ['one'] });
    }),
  );

  it(
    'keeps the text after the last newline, with "keep"',
    marbles(({ cold, expectObservable }) => {
      const source = cold('-a--c--|   ', chunks);
      const expected = '  -x-----(y|)';
      const values = { x: ['one'], y: ['twthree'] };
      expectObservable(source.pipe(lines('keep'))).toBe(expected, values);
    }),
  );

  it(
    'emits heartbeats as empty lines',
    marbles(({ cold, expectObservable }) => {
      const source = cold('-h-h-', chunks);
      const expected = '  -x-x-';
      expectObservable(source.pipe(lines())).toBe(expected, { x: [''] });
    }),
  );

  it(
    'passes an error on, without the unfinished line',
    marbles(({ cold, expectObservable }) => {
      const source = cold('-c-#', chunks);
      const expected = '  ---#';
      expectObservable(source.pipe(lines())).toBe(expected);
    }),
  );

  it(
    'unsubscribes from its source',
    marbles(({ cold, expectObservable, expectSubscriptions }) => {
      const source = cold('-a--b--|', chunks);
      const unsub = '      ---!';
      const sourceSubs = ' ^--!';
      const expected = '  -x--';
      expectObservable(source.pipe(lines()), unsub).toBe(expected, { x: ['one'] });
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    }),
  );

  it('emits the same lines for any division into chunks', () => {
    const line = fc.string({ unit: 'binary' }).map((text) => text.replace(/[\r\n]/g, ''));
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1 }),
        fc.constantFrom('\n', '\r\n'),
        fc.array(fc.nat({ max: 400 })),
        (wanted, end, cuts) => {
          const whole = bytes(wanted.map((text) => text + end).join(''));
          const places = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b)];
          const parts = places.map((start, i) => whole.subarray(start, places[i + 1]));
          const found: string[] = [];
          from(parts)
            .pipe(lines())
            .subscribe((block) => found.push(...block));
          expect(found).toEqual(
            wanted.map((text) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes(text))),
          );
        },
      ),
    );
  });
});
