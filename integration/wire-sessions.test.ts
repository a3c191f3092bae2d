import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { Auth } from 'corduroy';
import { createHmac } from 'node:crypto';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import { startStub } from './helpers/stub-server.ts';
import type { StubServer } from './helpers/stub-server.ts';

// The requests of sessions, users and rights, and the decoding of their responses.

let stub: StubServer;
beforeAll(async () => {
  stub = await startStub();
});
afterAll(() => stub.close());
beforeEach(() => {
  stub.requests.length = 0;
});

/** Sends one response after another, and repeats the last one. */
function answer(...answers: readonly unknown[]): void {
  let count = 0;
  stub.answer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.setHeader('set-cookie', 'AuthSession=token; Version=1; Max-Age=600; Path=/; HttpOnly');
    response.end(JSON.stringify(answers[Math.min(count++, answers.length - 1)]));
  });
}

const sent = (): string[] =>
  stub.requests.map(({ method, url, body }) => `${method} ${url} ${body.toString()}`.trim());

const user = { _id: 'org.couchdb.user:ada', _rev: '1-a', name: 'ada', roles: ['a'], type: 'user' };
const written = { ok: true, id: user._id, rev: '2-b' };
const stored = { ...user, _rev: '2-b', age: 36, salt: 's', derived_key: 'k' };
const session = {
  ok: true,
  userCtx: { name: 'ada', roles: ['a'] },
  info: { authenticated: 'jwt' },
};

interface Exchange {
  readonly sends: readonly string[];
  readonly answers: readonly unknown[];
  readonly emits: unknown;
}

const exchanges: [name: string, call: (couch: Couch) => Observable<unknown>, Exchange][] = [
  [
    'couch.session',
    (c) => c.session(),
    {
      sends: ['GET /_session'],
      answers: [session],
      emits: { name: 'ada', roles: ['a'], authenticated: 'jwt' },
    },
  ],
  [
    'couch.session of an anonymous user',
    (c) => c.session(),
    {
      sends: ['GET /_session'],
      answers: [{ ok: true, userCtx: { name: null, roles: [] }, info: {} }],
      emits: { name: null, roles: [], authenticated: null },
    },
  ],
  [
    'couch.login',
    (c) => c.login('ada', 'pässword'),
    {
      sends: ['POST /_session {"name":"ada","password":"pässword"}'],
      answers: [{ ok: true, name: 'ada', roles: ['a'] }],
      emits: { name: 'ada', roles: ['a'], authenticated: 'cookie' },
    },
  ],
  [
    'couch.login of an administrator without a name',
    (c) => c.login('root', 'x'),
    {
      sends: ['POST /_session {"name":"root","password":"x"}'],
      answers: [{ ok: true, name: null, roles: ['_admin'] }],
      emits: { name: 'root', roles: ['_admin'], authenticated: 'cookie' },
    },
  ],
  [
    'couch.logout',
    (c) => c.logout(),
    { sends: ['DELETE /_session'], answers: [{ ok: true }], emits: { ok: true } },
  ],
  [
    'couch.users.list',
    (c) => c.users.list(),
    {
      sends: [
        'GET /_users/_all_docs?startkey=%22org.couchdb.user%3A%22&endkey=%22org.couchdb.user%3B%22&include_docs=true',
      ],
      answers: [{ total_rows: 1, offset: 0, rows: [{ id: user._id, key: user._id, doc: user }] }],
      emits: [user],
    },
  ],
  [
    'couch.users.get',
    (c) => c.users.get('a/b'),
    {
      sends: ['GET /_users/org.couchdb.user%3Aa%2Fb'],
      answers: [{ ...user, _id: 'org.couchdb.user:a/b', name: 'a/b' }],
      emits: { ...user, _id: 'org.couchdb.user:a/b', name: 'a/b' },
    },
  ],
  [
    'couch.users.create',
    (c) => c.users.create('ada', 'secret', { roles: ['a'], fields: { age: 36 } }),
    {
      sends: [
        'PUT /_users/org.couchdb.user%3Aada {"age":36,"name":"ada","type":"user","roles":["a"],"password":"secret"}',
        'GET /_users/org.couchdb.user%3Aada',
      ],
      answers: [written, stored],
      emits: stored,
    },
  ],
  [
    'couch.users.changePassword',
    (c) => c.users.changePassword('ada', 'new'),
    {
      sends: [
        'GET /_users/org.couchdb.user%3Aada',
        'PUT /_users/org.couchdb.user%3Aada {"_id":"org.couchdb.user:ada","_rev":"1-a","name":"ada","roles":["a"],"type":"user","password":"new"}',
        'GET /_users/org.couchdb.user%3Aada',
      ],
      answers: [user, written, stored],
      emits: stored,
    },
  ],
  [
    'couch.users.setRoles',
    (c) => c.users.setRoles('ada', ['b']),
    {
      sends: [
        'GET /_users/org.couchdb.user%3Aada',
        'PUT /_users/org.couchdb.user%3Aada {"_id":"org.couchdb.user:ada","_rev":"1-a","name":"ada","roles":["b"],"type":"user"}',
        'GET /_users/org.couchdb.user%3Aada',
      ],
      answers: [user, written, stored],
      emits: stored,
    },
  ],
  [
    'couch.users.delete',
    (c) => c.users.delete('ada'),
    {
      sends: [
        'GET /_users/org.couchdb.user%3Aada',
        'DELETE /_users/org.couchdb.user%3Aada?rev=1-a',
      ],
      answers: [user, written],
      emits: true,
    },
  ],
  [
    'db.upkeep.grant',
    (c) => c.use('db').upkeep.grant({ members: { roles: ['b', 'a'] } }),
    {
      sends: [
        'GET /db/_security',
        'PUT /db/_security {"members":{"roles":["a","b"]},"cloudant":{}}',
        'GET /db/_security',
      ],
      answers: [
        { members: { roles: ['a'] }, cloudant: {} },
        { ok: true },
        { members: { roles: ['a', 'b'] }, cloudant: {} },
      ],
      emits: { members: { roles: ['a', 'b'] }, cloudant: {} },
    },
  ],
  [
    'db.upkeep.grant of an existing right',
    (c) => c.use('db').upkeep.grant({ admins: { names: ['ada'] } }),
    {
      sends: ['GET /db/_security'],
      answers: [{ admins: { names: ['ada'] } }],
      emits: { admins: { names: ['ada'] } },
    },
  ],
  [
    'db.upkeep.revoke',
    (c) => c.use('db').upkeep.revoke({ admins: { names: ['ada'], roles: ['x'] } }),
    {
      sends: [
        'GET /db/_security',
        'PUT /db/_security {"admins":{"names":["bob"],"roles":[]}}',
        'GET /db/_security',
      ],
      answers: [
        { admins: { names: ['ada', 'bob'] } },
        { ok: true },
        { admins: { names: ['bob'], roles: [] } },
      ],
      emits: { admins: { names: ['bob'], roles: [] } },
    },
  ],
];

describe('on the wire', () => {
  it.each(exchanges)('%s', async (_, call, { sends, answers, emits }) => {
    answer(...answers);
    expect(await firstValueFrom(call(new Couch(stub.url)))).toEqual(emits);
    expect(sent()).toEqual(sends);
  });

  const decoded = exchanges.filter(([name]) => /^couch\.(session|login|users)/.test(name));
  it.each(decoded)('%s errors if the response is not in the expected format', async (_, call) => {
    answer({ ok: true });
    await expect(firstValueFrom(call(new Couch(stub.url)))).rejects.toMatchObject({
      name: 'ProtocolError',
    });
  });

  it('db.upkeep.grant errors if concurrent writes overwrite it each time', async () => {
    answer({ members: { names: [] } });
    const granted = new Couch(stub.url).use('db').upkeep.grant({ members: { names: ['ada'] } });
    await expect(firstValueFrom(granted)).rejects.toMatchObject({
      name: 'Conflict',
      request: { method: 'PUT', url: `${stub.url}/db/_security` },
    });
    expect(stub.requests.filter(({ method }) => method === 'PUT')).toHaveLength(10);
  });
});

describe('the headers of a request', () => {
  const token = createHmac('sha256', 'shared').update('ada').digest('hex');
  const cases: [name: string, auth: Auth, headers: Record<string, string>][] = [
    ['a name and a password', ['ada', 'secret'], { authorization: `Basic ${btoa('ada:secret')}` }],
    ['a JWT', { bearer: 'a.b.c' }, { authorization: 'Bearer a.b.c' }],
    ['a JWT of a function', () => ({ bearer: 'a.b.c' }), { authorization: 'Bearer a.b.c' }],
    ['a session', { session: ['ada', 'secret'] }, { cookie: 'AuthSession=token' }],
    [
      'a proxy',
      { proxy: { username: 'ada', roles: ['a', 'b'], token: 'hex' } },
      {
        'x-auth-couchdb-username': 'ada',
        'x-auth-couchdb-roles': 'a,b',
        'x-auth-couchdb-token': 'hex',
      },
    ],
    [
      'a proxy with its secret',
      { proxy: { username: 'ada', secret: 'shared' } },
      {
        'x-auth-couchdb-username': 'ada',
        'x-auth-couchdb-roles': '',
        'x-auth-couchdb-token': token,
      },
    ],
    ['an anonymous user', () => null, {}],
  ];
  it.each(cases)('of %s', async (_, auth, expected) => {
    answer({ version: '3', ok: true, name: 'ada', roles: [] });
    await firstValueFrom(new Couch(stub.url, { auth }).version());
    const { headers = {} } = stub.requests.at(-1) ?? {};
    const shown = Object.entries(headers).filter(([name]) =>
      /^(authorization|cookie|x-auth-.*)$/.test(name),
    );
    expect(Object.fromEntries(shown)).toEqual(expected);
  });

  it('contain no cookie without a session', async () => {
    answer({ version: '3' });
    const couch = new Couch(stub.url, { auth: ['ada', 'secret'] });
    await firstValueFrom(couch.version());
    await firstValueFrom(couch.version());
    expect(stub.requests.at(-1)?.headers['cookie']).toBeUndefined();
  });
});

describe('a replication', () => {
  const endpoints: [name: string, auth: Auth, endpoint: object][] = [
    ['a name and password', ['ada', 'x'], { auth: { basic: { username: 'ada', password: 'x' } } }],
    [
      'a session',
      { session: ['ada', 'x'] },
      { auth: { basic: { username: 'ada', password: 'x' } } },
    ],
    ['a JWT', { bearer: 'a.b.c' }, { headers: { authorization: 'Bearer a.b.c' } }],
    [
      'a proxy',
      { proxy: { username: 'ada', token: 'hex' } },
      {
        headers: {
          'x-auth-couchdb-username': 'ada',
          'x-auth-couchdb-roles': '',
          'x-auth-couchdb-token': 'hex',
        },
      },
    ],
    [
      'a function, called when the request is sent',
      () => Promise.resolve(['ada', 'x']),
      { auth: { basic: { username: 'ada', password: 'x' } } },
    ],
    ['an anonymous user', () => null, {}],
  ];
  it.each(endpoints)(
    'has a source and target with the credentials of %s',
    async (_, auth, endpoint) => {
      answer({ ok: true, name: 'ada', roles: [], history: [] });
      await firstValueFrom(new Couch(stub.url, { auth }).replicate('a', 'b'));
      const { body } = stub.requests.at(-1) ?? {};
      expect(JSON.parse(String(body))).toEqual({
        source: { url: `${stub.url}/a`, ...endpoint },
        target: { url: `${stub.url}/b`, ...endpoint },
      });
    },
  );
});
