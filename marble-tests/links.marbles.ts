import { describe, expect, it } from '@jest/globals';
import { of } from 'rxjs';
import { Redactor } from '../src/errors/redact.ts';
import { ANONYMOUS } from '../src/http/auth.ts';
import { RequestContext, SentRequest, chain, databaseOf } from '../src/http/link.ts';
import type { Link, LinkRequest, RequestSpec } from '../src/http/link.ts';
import { requireRetry } from '../src/http/retry.ts';
import { response } from './helpers/marble-transport.ts';

const contextOf = (own: Partial<RequestSpec>, redactor = new Redactor([])): RequestContext =>
  new RequestContext({ route: '/{db}', path: '/db', ...own }, false, true, redactor);

describe('the links of a request', () => {
  it('are passed from the first to the last', () => {
    const passed: string[] = [];
    const link =
      (name: string): Link =>
      (request, next) => {
        passed.push(name);
        return next({ ...request, path: `${request.path}/${name}` });
      };
    const send = chain([link('a'), link('b')], ({ path }) => {
      passed.push(path);
      return of(response(of()));
    });
    send({ path: '' } as LinkRequest).subscribe();
    expect(passed).toEqual(['a', 'b', '/a/b']);
  });

  it.each([
    ['/{db}', '/a%2Fb?x=/y', 'a/b'],
    ['/{db}/{docid}', '/db/doc', 'db'],
    ['/_all_dbs', '/_all_dbs', null],
    ['/_x/{db}', '/_x/db', null],
  ])('with the route %s and the path %s concern the database %p', (route, path, name) => {
    expect(databaseOf({ route, path })).toBe(name);
  });
});

describe('the context of a request', () => {
  it('masks its secrets, those of its headers in texts alone, and its credentials', () => {
    const redactor = new Redactor([]);
    const context = contextOf({ secrets: ['body1'], secretHeaders: ['head1'] }, redactor);
    expect(context.redact('body1 head1 login')).toBe('*** *** login');
    expect(context.redact('body1', 2)).toBe('***');
    context.authorize({ headers: {}, secrets: ['login'] });
    expect(context.redact('body1 head1 login')).toBe('*** *** ***');
    expect(context.redactions.path('body1/head1/login')).toBe('***/head1/***');
    // Other requests of the connection mask what this one has sent.
    expect(contextOf({}, redactor).redact('body1 head1 login')).toBe('*** *** login');
  });

  it('masks its own secrets after many others', () => {
    const redactor = new Redactor([]);
    const context = contextOf({ secrets: ['body1'], secretHeaders: ['head1'] }, redactor);
    context.authorize({ headers: {}, secrets: ['login'] });
    for (const kind of ['credential', 'request', 'header'] as const)
      redactor.hide(
        Array.from({ length: 200 }, (_, i) => `${kind}-${i}`),
        kind,
      );
    expect(context.redact('body1 head1 login')).toBe('*** *** ***');
    expect(context.redactions).toBe(context.redactions);
    const { redactions } = context;
    context.authorize(context.authorization);
    expect(context.redactions).toBe(redactions);
  });

  it('hides nothing if it has no secrets', () => {
    const redactor = new Redactor([]);
    const { text } = redactor;
    const context = contextOf({}, redactor);
    expect([context.authorization, context.redactions]).toEqual([ANONYMOUS, redactor]);
    expect(text('Stryker was here')).toBe('Stryker was here');
  });

  it('tells all observers what happens, until they leave', () => {
    const context = contextOf({});
    const seen: unknown[] = [];
    const observer = (name: string): Parameters<RequestContext['observe']>[0] => ({
      sent: ({ path }) => seen.push(`${name} ${path}`),
      answered: (status) => seen.push(`${name} ${status}`),
      retry: (error, delay) => seen.push(`${name} ${String(error)} ${delay}`),
    });
    const [one, two] = [observer('1'), observer('2')];
    context.unobserve(one);
    expect(context.activity).toBeNull();
    context.observe(one);
    context.observe(two);
    context.activity?.sent({ path: '/db' } as LinkRequest);
    context.unobserve(one);
    context.activity?.answered(200);
    context.activity?.retry('e', 5);
    expect(seen).toEqual(['1 /db', '2 /db', '2 200', '2 e 5']);
  });

  it('shows the URL of its request without credentials', () => {
    const context = contextOf({ secrets: ['body1'] });
    const sent = new SentRequest({
      method: 'PUT',
      server: 'http://a',
      path: '/db/body1',
      context,
    } as LinkRequest);
    expect([sent.method, sent.url]).toEqual(['PUT', 'http://a/db/***']);
  });
});

describe('the option retry', () => {
  it.each([[false], [{}], [{ attempts: 1 }], [{ attempts: Infinity, maxDelay: 0 }]])(
    'may be %j',
    (option) => {
      expect(requireRetry(option as false, 'retry')).toBe(option);
    },
  );

  it.each([
    [true, 'retry must be false, or options (received true)', TypeError],
    [null, 'retry must be false, or options', TypeError],
    [3, 'retry must be false, or options', TypeError],
    [{ attempts: 0 }, 'retry: attempts must be a whole number from 1', RangeError],
    [{ attempts: 1.5 }, 'retry: attempts must be a whole number from 1', RangeError],
    [{ attempts: '1' }, 'retry: attempts must be a whole number from 1', RangeError],
    [{ attempts: 1, maxDelay: -1 }, 'retry.maxDelay must be milliseconds from 0', RangeError],
    [{ attempt: 1 }, "unknown option 'attempt'", TypeError],
  ])('is not %j', (option, message, Class) => {
    expect(() => requireRetry(option as never, 'retry')).toThrow(Class);
    expect(() => requireRetry(option as never, 'retry')).toThrow(message);
  });
});
