import { describe, expect, it } from '@jest/globals';
import { NEVER, Observable, of } from 'rxjs';
import { RedirectRefused } from 'corduroy';
import type { LinkRequest } from 'corduroy';
import {
  hiddenRedirect,
  redirectLink,
  requireSameOrigin,
  switchedProtocols,
} from '../src/http/redirect.ts';
import { response } from './helpers/marble-transport.ts';

const HEADERS = { 'content-type': 'application/json', 'content-length': '2', accept: '*/*' };

/** Sends a request whose responses are redirects, and then a 200. Returns what was sent, and the outcome. */
function follow(
  redirects: readonly (readonly [status: number, location?: string])[],
  given: Partial<LinkRequest> & { readonly isAnswer?: () => boolean } = {},
): { readonly sent: LinkRequest[]; readonly end: unknown; readonly cancelled: number } {
  const { isAnswer, ...own } = given;
  const spec = isAnswer === undefined ? {} : { isAnswer };
  const request = {
    method: 'GET',
    server: 'http://a/prefix',
    path: '/db?x=1',
    headers: HEADERS,
    body: undefined,
    context: { spec },
    ...own,
  } as unknown as LinkRequest;
  const sent: LinkRequest[] = [];
  let cancelled = 0;
  let end: unknown = 'open';
  redirectLink(request, (one) => {
    const [status, location] = redirects[sent.length] ?? [200];
    sent.push(one);
    const headers = location === undefined ? {} : { location };
    return new Observable((subscriber) => {
      subscriber.next(response(NEVER, status, headers));
      if (status === 200) subscriber.complete();
      return () => {
        if (status !== 200) cancelled += 1;
      };
    });
  }).subscribe({
    next: ({ status }) => (end = status),
    complete: () => (end = `${String(end)}, complete`),
    error: (error: unknown) => (end = error),
  });
  return { sent, end, cancelled };
}

describe('a redirect', () => {
  it.each([301, 302, 303, 307, 308])('of status %d is followed within one origin', (status) => {
    const { sent, end, cancelled } = follow([[status, '/other/db?y=2#z']]);
    expect(sent.map(({ method, server, path }) => `${method} ${server}${path}`)).toEqual([
      'GET http://a/prefix/db?x=1',
      'GET http://a/other/db?y=2',
    ]);
    expect([end, cancelled, sent[1]?.headers]).toEqual(['200, complete', 1, HEADERS]);
  });

  it.each<[status: number, location: string | undefined]>([
    [300, '/b'],
    [304, '/b'],
    [309, '/b'],
    [301, undefined],
    [201, '/b'],
  ])('is not a response of status %d with the location %s', (status, location) => {
    const { sent, end } = follow([location === undefined ? [status] : [status, location]]);
    expect([sent.length, end]).toEqual([1, status]);
  });

  it('is passed on if the request takes it as an answer', () => {
    expect(follow([[302, '/b']], { isAnswer: () => true })).toMatchObject({ end: 302 });
  });

  it.each([
    ['b', '/prefix/b'],
    ['../c', '/c'],
    ['http://u:p@a/d', '/d'],
    ['?q', '/prefix/db?q'],
  ])('to %s leads to %s, without userinfo', (location, path) => {
    const [, next] = follow([[307, location]]).sent;
    expect([next?.server, next?.path]).toEqual(['http://a', path]);
  });

  it.each([301, 302, 307, 308])('of status %d keeps the method and the body', (status) => {
    const [, next] = follow([[status, '/b']], { method: 'POST', body: '{}' }).sent;
    expect(next).toMatchObject({ method: 'POST', body: '{}', headers: HEADERS });
  });

  it.each([
    ['POST', 'GET', { accept: '*/*' }],
    ['PUT', 'GET', { accept: '*/*' }],
    ['GET', 'GET', HEADERS],
    ['HEAD', 'HEAD', HEADERS],
  ])('of status 303 makes of %s a %s', (method, asked, headers) => {
    const body = method === 'POST' || method === 'PUT' ? '{}' : undefined;
    const [, next] = follow([[303, '/b']], { method, body }).sent;
    expect([next?.method, next?.headers, next?.body]).toEqual([asked, headers, undefined]);
  });

  it('of status 303 needs no body that can be sent twice, and others do', () => {
    const given = { method: 'PUT', body: of(new Uint8Array(1)) } as unknown as Partial<LinkRequest>;
    expect(follow([[303, '/b']], given).end).toBe('200, complete');
    const { end } = follow([[307, '/b']], given);
    expect(end).toBeInstanceOf(RedirectRefused);
    expect(end).toMatchObject({
      problem: 'the body is a stream, which cannot be sent twice',
      to: 'http://a',
    });
  });

  it('is followed ten times in a row', () => {
    const times = (count: number): ReturnType<typeof follow> =>
      follow(Array.from({ length: count }, () => [302, '/b'] as const));
    expect([times(10).end, times(10).sent.length]).toEqual(['200, complete', 11]);
    expect(times(11).end).toMatchObject({
      problem: 'it is the 11th in a row',
      from: 'http://a',
      to: 'http://a',
    });
    expect([times(11).sent.length, times(11).cancelled]).toEqual([11, 11]);
  });

  it.each([
    ['http://b/', 'it leads to another origin', 'http://b'],
    ['https://a/', 'it leads to another origin', 'https://a'],
    ['http://a:81/', 'it leads to another origin', 'http://a:81'],
    ['ftp://a/', 'its Location is not an http or https URL', null],
    ['data:,x', 'its Location is not an http or https URL', null],
    ['http://[', 'its Location is not a URL', null],
  ])('to %s is refused', (location, problem, to) => {
    const { sent, end, cancelled } = follow([[302, location]]);
    expect(end).toBeInstanceOf(RedirectRefused);
    const request = { method: 'GET', url: 'http://a/prefix/db?x=1' };
    expect(end).toMatchObject({ problem, to, from: 'http://a', request });
    expect([sent.length, cancelled]).toEqual([1, 1]);
  });

  it.each([
    [null, true],
    ['', true],
    ['http://a/other', true],
    ['/relative', true],
    ['http://b/', false],
    ['https://a/', false],
  ])('that a browser followed to %p is accepted: %p', (answered, accepted) => {
    const request = { method: 'GET', url: 'http://a/db' } as Parameters<
      typeof requireSameOrigin
    >[1];
    const check = (): void => requireSameOrigin(answered, request);
    if (accepted) expect(check).not.toThrow();
    else expect(check).toThrow(RedirectRefused);
    expect(hiddenRedirect(request)).toMatchObject({ from: 'http://a', to: null, request });
    expect(switchedProtocols().message).toContain('status 101');
  });
});
