import { expect, it } from '@jest/globals';
import { map } from 'rxjs';
import { memoryServer } from 'corduroy/testing';
import { Browser } from './helpers/tabs.ts';
import { marbles } from './helpers/run.ts';

it(
  'shares one connection between the live queries of two tabs, and keeps the second tab live when the first closes',
  marbles(({ expectObservable, flush }, scheduler) => {
    const server = memoryServer({ latency: 1, databases: { db: [{ _id: 'a', n: 1 }] } });
    const feeds: number[] = [];
    server.requestLines$.subscribe((line) => {
      if (line.includes('feed=continuous')) feeds.push(scheduler.now());
    });
    const browser = new Browser(scheduler);
    const tab = () =>
      server
        .couch({ live: { crossTab: browser.tab(), heartbeat: 100 } })
        .use<{ n: number }>('db')
        .doc$('a')
        .pipe(map((doc) => doc?.n ?? 0));
    const writer = server.couch().use<{ n: number }>('db');
    for (const [frame, n] of [
      [30, 2],
      [70, 3],
    ] as const) {
      scheduler.schedule(
        () => writer.save({ _id: 'a', n }, { force: true }).subscribe(),
        frame - 4,
      );
    }
    const seen: Record<string, number[]> = { first: [], second: [] };
    const first = tab().subscribe((n) => seen['first']?.push(n));
    const second = tab().subscribe((n) => seen['second']?.push(n));
    scheduler.schedule(() => first.unsubscribe(), 50);
    scheduler.schedule(() => second.unsubscribe(), 100);
    expectObservable(writer.get('a').pipe(map(({ n }) => n))).toBe('-(1|)', { 1: 1 });
    flush();
    expect(seen).toEqual({ first: [1, 2], second: [1, 2, 3] });
    expect(feeds).toHaveLength(2);
  }),
);
