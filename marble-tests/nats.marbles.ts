import { describe, expect, it } from '@jest/globals';
import { Couch, TimeoutError, memoryCheckpoint } from 'corduroy';
import type { Change, ConsumeProgress, Database, FeedState, Link } from 'corduroy';
import { PublishError, isPublishError, publishChanges, subjectToken } from 'corduroy/nats';
import type { JetStreamPublisher, PublishOptions, Publisher } from 'corduroy/nats';
import { memoryServer } from 'corduroy/testing';
import type { MsgHdrs } from '@nats-io/nats-core';
import { NEVER, defer, distinctUntilChanged, map, of, retry, throwError } from 'rxjs';
import type { Observable, SchedulerLike } from 'rxjs';
import { z } from 'zod';
import { reasonOf } from '../src/nats/publish-error.ts';
import { marbles } from './helpers/run.ts';

// The client of NATS answers with Observables here, because Promises do not wait for virtual time.

interface Sent {
  readonly subject: string;
  readonly data: string;
  readonly msgID: string;
  readonly headers: MsgHdrs;
}

/** Returns an error as the client of NATS throws it. */
const natsError = (name: string, fields: object = {}): Error =>
  Object.assign(new Error(name), { name, ...fields });
const TIMED_OUT = natsError('TimeoutError');
const NO_RESPONDERS = natsError('JetStreamNotEnabled');

/** A client whose acknowledgements a test chooses, by the message and the number of its attempt. */
function client(
  acknowledge: (message: Sent, attempt: number) => Observable<unknown> = () => of({}),
  find: () => Observable<unknown> = () => of('stream'),
): { readonly js: JetStreamPublisher; readonly sent: Sent[] } {
  const sent: Sent[] = [];
  const publish = (subject: string, data: string, options: Pick<Sent, 'msgID' | 'headers'>) =>
    defer(() => {
      const message = { subject, data, ...options };
      sent.push(message);
      return acknowledge(message, sent.filter(({ msgID }) => msgID === options.msgID).length);
    });
  const jetstreamManager = () => of({ streams: { find } });
  return { js: { publish, jetstreamManager } as never, sent };
}

function database(total: number): Database {
  const orders = Array.from({ length: total }, (_, i) => ({ _id: `doc-${i + 1}`, n: i + 1 }));
  return memoryServer({ latency: 0, databases: { orders } }).couch().use('orders');
}

const options: PublishOptions = {
  name: 'test',
  subject: 'orders',
  since: 0,
  checkpoint: memoryCheckpoint(),
  backoff: { initialDelay: 10, random: () => 0.999 },
};
const fresh = (others: Partial<PublishOptions> = {}): PublishOptions => ({
  ...options,
  checkpoint: memoryCheckpoint(),
  ...others,
});
const number = ({ data }: Sent): string => (JSON.parse(data) as Change).id.slice(4);
const handled = (progress$: Observable<ConsumeProgress>): Observable<string> =>
  progress$.pipe(map((progress) => String(progress.handled)));

const UNAVAILABLE: unknown = expect.objectContaining({ reason: 'unavailable' });

/** Collects the states with their times. */
function watch({ state$ }: Publisher, scheduler: SchedulerLike): readonly string[] {
  const states: string[] = [];
  state$.pipe(distinctUntilChanged((a, b) => textOf(a) === textOf(b))).subscribe((state) => {
    states.push(`${scheduler.now()} ${textOf(state)}`);
  });
  return states;
}
function textOf(state: FeedState): string {
  if (state.status === 'waiting') return `waiting ${state.attempt}: ${state.delay}`;
  return state.status === 'connecting' ? `connecting ${state.attempt}` : state.status;
}

describe('publishChanges', () => {
  it(
    'stores the checkpoint only after JetStream has acknowledged',
    marbles(({ cold, expectObservable, flush }) => {
      const db = database(3);
      const { js, sent } = client((message) => cold(number(message) === '1' ? '-----|' : '-|'));
      const [early, late] = [fresh(), fresh()];
      expectObservable(publishChanges(db, js, early), '----!').toBe('----');
      expectObservable(handled(publishChanges(db, js, late)), '------!').toBe('-----3');
      flush();
      expect(sent.map(number)).toEqual(['1', '2', '3', '1', '2', '3']);
      expect(early.checkpoint?.read()).toBeNull();
      expect(late.checkpoint?.read()).toBe('3-memory');
    }),
  );

  it(
    'publishes `concurrency` messages at the same time',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const starts: string[] = [];
      const { js } = client((message) => {
        starts.push(`${number(message)}@${scheduler.now()}`);
        return cold('--|');
      });
      const two = fresh({ concurrency: 2 });
      expectObservable(handled(publishChanges(database(3), js, two)), '9ms !').toBe('----3');
      flush();
      expect(starts).toEqual(['1@0', '2@0', '3@2']);
    }),
  );

  it(
    'lets all messages of an outage wait for one delay, and shows it in state$',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const attempts: string[] = [];
      // NATS is out of reach for 30 ms. Each attempt times out after 5 ms.
      const { js } = client((message) => {
        attempts.push(`${number(message)}@${scheduler.now()}`);
        return scheduler.now() < 30 ? cold('-----#', {}, TIMED_OUT) : of({});
      });
      const publisher = publishChanges(database(3), js, fresh());
      const states = watch(publisher, scheduler);
      expectObservable(handled(publisher), '50ms !').toBe('40ms 3');
      flush();
      const all = (time: number): readonly string[] => ['1', '2', '3'].map((n) => `${n}@${time}`);
      expect(attempts).toEqual([...all(0), ...all(15), ...all(40)]);
      expect(states).toEqual([
        '0 idle',
        '0 connecting 0',
        '0 live',
        '5 waiting 1: 10',
        '15 connecting 1',
        '20 waiting 2: 20',
        '40 connecting 2',
        '40 live',
        '50 idle',
      ]);
    }),
  );

  it(
    'sends a message again at once if its attempt began before the delay that has ended',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const attempts: string[] = [];
      const { js } = client((message, attempt) => {
        attempts.push(`${number(message)}@${scheduler.now()}`);
        if (attempt > 1) return of({});
        return cold(number(message) === '1' ? '-#' : '50ms #', {}, TIMED_OUT);
      });
      expectObservable(handled(publishChanges(database(2), js, fresh())), '60ms !').toBe('50ms 2');
      flush();
      // The first waits from 1 to 11 ms. The second has failed with the delay long over.
      expect(attempts).toEqual(['1@0', '2@0', '1@11', '2@50']);
    }),
  );

  it(
    'publishes nothing while it waits, not even another change',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const attempts: string[] = [];
      const { js } = client((message, attempt) => {
        attempts.push(`${number(message)}@${scheduler.now()}`);
        if (number(message) === '1' && attempt === 1) return cold('--#', {}, TIMED_OUT);
        return cold('----|');
      });
      const two = fresh({ concurrency: 2 });
      expectObservable(handled(publishChanges(database(3), js, two)), '30ms !').toBe('16ms 3');
      flush();
      expect(attempts).toEqual(['1@0', '2@0', '1@12', '3@12']);
    }),
  );

  it(
    'ends an outage with the first acknowledgement, while other messages are on their way',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      // The first waits 80 ms for its acknowledgement. Each other message fails once.
      const { js } = client((message, attempt) => {
        if (number(message) === '1') return cold('80ms |');
        return attempt === 1 ? cold('-#', {}, TIMED_OUT) : cold('--|');
      });
      const publisher = publishChanges(database(3), js, fresh({ concurrency: 2 }));
      const states = watch(publisher, scheduler);
      expectObservable(handled(publisher), '90ms !').toBe('80ms 3');
      flush();
      expect(states.slice(2)).toEqual([
        '0 live',
        '1 waiting 1: 10',
        '11 connecting 1',
        '13 live',
        '14 waiting 1: 10',
        '24 connecting 1',
        '26 live',
        '90 idle',
      ]);
    }),
  );

  it(
    'gives up when an outage has lasted for errorTolerance, and then shows the failure',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { js } = client(() => cold('--#', {}, TIMED_OUT));
      const publisher = publishChanges(database(1), js, fresh({ errorTolerance: 25 }));
      const states = watch(publisher, scheduler);
      // The tolerance counts from the first failure, at 2 ms.
      expectObservable(publisher).toBe('29ms #', {}, UNAVAILABLE);
      flush();
      expect(states.slice(3)).toEqual([
        '2 waiting 1: 10',
        '12 connecting 1',
        '14 waiting 2: 13',
        '27 connecting 2',
        '29 failed',
      ]);
    }),
  );

  it(
    'ends the delay when the last subscriber leaves',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      const { js, sent } = client(() => cold('#', {}, TIMED_OUT));
      const slow = fresh({ backoff: { initialDelay: 30_000, random: () => 0.999 } });
      const publisher = publishChanges(database(2), js, slow);
      const states = watch(publisher, scheduler);
      expectObservable(publisher, '5ms !').toBe('-');
      flush();
      expect(sent).toHaveLength(2);
      expect(states.slice(3)).toEqual(['0 waiting 1: 29971', '5 idle']);
      // The timer is gone: virtual time has not reached its end.
      expect(scheduler.now()).toBeLessThan(29_971);
    }),
  );

  it(
    'errors at once if JetStream says that no stream takes the subject, and can start again',
    marbles(({ cold, expectObservable, flush }, scheduler) => {
      let exists = false;
      const { js } = client(
        () => (exists ? of({}) : cold('-#', {}, NO_RESPONDERS)),
        () => cold('-#', {}, natsError('StreamNotFoundError')),
      );
      const publisher = publishChanges(database(1), js, fresh());
      const states = watch(publisher, scheduler);
      const missing = expect.objectContaining({ reason: 'no-stream', transient: false });
      expectObservable(publisher).toBe('--#', {}, missing);
      flush();
      exists = true;
      expectObservable(handled(publisher), '11ms !').toBe('--1');
      flush();
      expect(states).toEqual([
        '0 idle',
        '0 connecting 0',
        '0 live',
        '2 failed',
        '2 idle',
        '2 connecting 0',
        '2 live',
        '13 idle',
      ]);
    }),
  );

  it(
    'waits if the stream exists, or if JetStream does not answer',
    marbles(({ expectObservable, flush }) => {
      const finds = [() => of('stream'), () => throwError(() => NO_RESPONDERS), () => NEVER];
      const { js, sent } = client(
        (_message, attempt) => (attempt < 3 ? throwError(() => NO_RESPONDERS) : of({})),
        () => defer(() => (finds.shift() as (typeof finds)[0])()),
      );
      const publisher = publishChanges(database(1), js, fresh());
      expectObservable(handled(publisher), '99ms !').toBe('30ms 1');
      flush();
      expect(sent).toHaveLength(3);
      expect(finds).toHaveLength(1);
    }),
  );

  it(
    'reads the creation of the database once, and again if that fails',
    marbles(({ expectObservable, flush }, scheduler) => {
      const server = memoryServer({
        latency: 0,
        databases: { orders: ['a', 'b', 'c', 'd'].map((_id) => ({ _id })) },
      });
      const reads: number[] = [];
      // The feed reads it with each of its two polls, to notice a database that replaces this one.
      const flaky: Link = (request, next) =>
        request.route === '/{db}' && reads.push(scheduler.now()) === 2
          ? throwError(() => new TimeoutError(5, { method: 'GET', url: '/orders' }))
          : next(request);
      const db: Database = server.couch({ links: [flaky] }).use('orders');
      const { js, sent } = client();
      expectObservable(handled(publishChanges(db, js, fresh())), '30ms !').toBe('10ms 4');
      flush();
      expect(sent).toHaveLength(4);
      expect(reads).toEqual([0, 0, 10, 10]);
    }),
  );
});

describe('a message', () => {
  it(
    'has an id that names the server, the database, the leaves and the publisher',
    marbles(({ expectObservable, flush }) => {
      const orders = [{ _id: 'größe/1 ?', n: 1 }];
      const db: Database = memoryServer({ latency: 0, databases: { orders } })
        .couch()
        .use('orders');
      const { js, sent } = client();
      expectObservable(handled(publishChanges(db, js, fresh({ name: 'a&b' }))), '5ms !').toBe('1');
      flush();
      const [message] = sent;
      const { id, changes } = JSON.parse(message?.data ?? '') as Change;
      expect(id).toBe('größe/1 ?');
      const rev = changes[0]?.rev ?? '';
      expect(message?.msgID).toMatch(
        /^http:\/\/[^/]+\/orders\/gr%C3%B6%C3%9Fe%2F1%20%3F\?rev=1-\w+&created=\d*&publisher=a%26b$/,
      );
      expect(message?.msgID).toContain(`?rev=${rev}&`);
      expect(message?.headers.get('Couchdb-Id')).toBe('gr%C3%B6%C3%9Fe%2F1%20%3F');
      expect(message?.headers.get('Couchdb-Rev')).toBe(rev);
    }),
  );

  it(
    'has the document as CouchDB sent it, whatever the schema of this program is',
    marbles(({ expectObservable, flush }) => {
      const orders = [{ _id: 'a', n: 'five' }];
      const couch = memoryServer({ latency: 0, databases: { orders } }).couch();
      const schema = z.object({ n: z.number() });
      const { js, sent } = client();
      const db = couch.use('orders', { schema });
      const documents = { ...fresh({ includeDocs: true }), deadLetter: undefined };
      expectObservable(handled(publishChanges(db, js, documents as never)), '5ms !').toBe('1');
      flush();
      expect(JSON.parse(sent[0]?.data ?? '')).toMatchObject({ doc: { _id: 'a', n: 'five' } });
    }),
  );
});

describe('a publisher', () => {
  it(
    'lists the winner alone with a filter, because a filter would match other leaves',
    marbles(({ expectObservable, flush }) => {
      const server = memoryServer({ latency: 0, databases: { orders: [] } });
      const styles: string[] = [];
      server.requests$.subscribe(({ path, query }) => {
        if (path.endsWith('/_changes')) styles.push(`${query['style']} ${query['limit']}`);
      });
      const db: Database = server.couch().use('orders');
      const undefineds = { style: undefined, batchSize: undefined };
      const cases: readonly object[] = [
        {},
        undefineds,
        { docIds: ['a'] },
        { selector: { n: 1 } },
        { selector: {}, style: 'all_docs', batchSize: 7 },
      ];
      for (const others of cases)
        expectObservable(publishChanges(db, client().js, fresh(others)), '1ms !');
      flush();
      expect(styles).toEqual([
        'all_docs 500',
        'all_docs 500',
        'all_docs 500',
        'main_only 500',
        'all_docs 7',
      ]);
    }),
  );

  it(
    'gives the same change another id if the database was created again',
    marbles(({ cold, expectObservable, flush }) => {
      const orders = [{ _id: 'ada', n: 1 }];
      const server = memoryServer({ latency: 0, databases: { orders } });
      const { js, sent } = client();
      const db: Database = server.couch().use('orders');
      // The checkpoint is in the database, and is deleted with it.
      const { checkpoint: _, ...others } = options;
      const publisher = publishChanges(db, js, others);
      cold('2s x').subscribe(() => server.replaceDatabase('orders', orders));
      expectObservable(handled(publisher.pipe(retry(1))), '9s !').toBe('1 2009ms 1');
      flush();
      const [before, after] = sent.map(({ msgID }) => msgID);
      const withoutTime = (id = ''): string => id.replace(/created=\d+/, '');
      expect(sent).toHaveLength(2);
      expect(after).not.toBe(before);
      expect(withoutTime(after)).toBe(withoutTime(before));
    }),
  );
});

describe('the reasons of failures', () => {
  const wrapped = (cause: Error): Error => natsError('RequestError', { cause });
  it.each<[thrown: unknown, reason: string]>([
    [TIMED_OUT, 'unavailable'],
    [wrapped(natsError('NoResponders')), 'unavailable'],
    [natsError('RequestError'), 'unavailable'],
    [natsError('ClosedConnectionError'), 'closed'],
    [wrapped(natsError('DrainingConnectionError')), 'closed'],
    [wrapped(natsError('PermissionViolationError')), 'forbidden'],
    [natsError('InvalidArgumentError'), 'size'],
    [natsError('JetStreamApiError', { code: 10054, status: 400 }), 'size'],
    [natsError('JetStreamApiError', { code: 10097, status: 400 }), 'size'],
    [natsError('JetStreamApiError', { code: 10077, status: 503 }), 'full'],
    [natsError('JetStreamApiError', { code: 10023, status: 503 }), 'unavailable'],
    [natsError('JetStreamApiError', { code: 10109, status: 400 }), 'refused'],
    [new SyntaxError('Unexpected token p in JSON at nats://ada:secret@host'), 'refused'],
    ['text', 'refused'],
    [null, 'refused'],
  ])('%s is %s', (thrown, reason) => {
    const error = new PublishError(reasonOf(thrown), { id: 'ada', subject: 'orders' }, thrown);
    expect(error.reason).toBe(reason);
    expect(error.transient).toBe(reason === 'unavailable' || reason === 'full');
    expect(error.code).toBe(Object(thrown).code ?? null);
    expect(isPublishError(error)).toBe(true);
    expect(error.message).not.toContain('secret');
  });
});

describe('subjects', () => {
  const db = new Couch('http://couch.test').use('pets');
  const { js } = client();
  it.each(['a', 'orders.eu.new', 'größe', '$KV.bucket.key', 'a-b_c:d', 'x'.repeat(1024)])(
    '%p is valid',
    (subject) => {
      expect(() => publishChanges(db, js, { name: 'a', subject })).not.toThrow();
    },
  );

  it.each([
    ['two words', 'have no spaces and no control characters'],
    ['a\n', 'have no spaces and no control characters'],
    ['a\u0000', 'have no spaces and no control characters'],
    ['a.*', 'have no wildcards (* and >)'],
    ['a.>', 'have no wildcards (* and >)'],
    ['.a', 'have no empty part between its dots'],
    ['a.', 'have no empty part between its dots'],
    ['a..b', 'have no empty part between its dots'],
    ['ö'.repeat(513), 'have at most 1024 bytes'],
    ['', 'be a string that is not empty'],
    [5, 'be a string that is not empty'],
    [undefined, 'be a string that is not empty'],
  ])('%p must %s', (subject, rule) => {
    expect(() => publishChanges(db, js, { name: 'a', subject: subject as string })).toThrow(
      `publishChanges: subject must ${rule} (received`,
    );
  });

  it.each([
    ['ada', 'ada'],
    ['a.b *>', 'a%2Eb%20%2A%3E'],
    ['org.couchdb.user:größe', 'org%2Ecouchdb%2Euser%3Agr%C3%B6%C3%9Fe'],
    ['100%', '100%25'],
  ])('subjectToken(%p) is %s', (text, token) => {
    expect(subjectToken(text)).toBe(token);
    expect(decodeURIComponent(token)).toBe(text);
    expect(() => publishChanges(db, js, { name: 'a', subject: `a.${token}` })).not.toThrow();
  });

  it.each(['', 5, undefined, '\ud800'])('subjectToken(%p) throws', (text) => {
    expect(() => subjectToken(text as string)).toThrow(TypeError);
  });
});
