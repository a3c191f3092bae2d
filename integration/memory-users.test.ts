import { describe, expect, it } from '@jest/globals';
import { Couch } from 'corduroy';
import type { HTTPError, Session } from 'corduroy';
import { memoryServer } from 'corduroy/testing';
import { firstValueFrom, map } from 'rxjs';
import type { Observable } from 'rxjs';
import { deleteAtEnd, needs, server, uniqueName } from './helpers/server.ts';

// Users, sessions and permissions: the in-memory server and CouchDB answer alike.

type Connect = (auth?: { readonly username: string; readonly password: string }) => Couch;

async function heard(source: Observable<unknown>): Promise<unknown> {
  try {
    return await firstValueFrom(source);
  } catch (error) {
    const { status, error: code, reason } = error as HTTPError;
    return { status, code, reason };
  }
}

const nameAndRoles = map(({ name, roles }: Session) => ({ name, roles: [...roles] }));

async function scenario(connect: Connect, names: readonly [ann: string, bob: string, db: string]) {
  const [ann, bob, database] = names;
  const admin = connect({ username: server.username, password: server.password });
  const as = (username: string, password: string): Couch => connect({ username, password });
  const answers: unknown[] = [];
  const hear = async (source: Observable<unknown>): Promise<unknown> =>
    answers.push(await heard(source));
  await hear(
    admin.users.create(ann, 'secret', { roles: ['editor'] }).pipe(map(({ roles }) => roles)),
  );
  await hear(admin.users.create(bob, 'hidden').pipe(map(({ roles }) => roles)));
  await hear(admin.create(database).pipe(map(() => 'created')));
  const security = {
    admins: { names: [], roles: ['chief'] },
    members: { names: [], roles: ['editor'] },
  };
  await hear(admin.use(database).upkeep.security(security));
  const doc = { _id: 'a', n: 1 };
  const design = { _id: '_design/d', views: {} };
  // CouchDB locks an account after five wrong passwords.
  await hear(as(ann, 'wrong').use(database).get('a'));
  for (const couch of [as(ann, 'secret'), as(bob, 'hidden'), connect()]) {
    await hear(couch.session().pipe(nameAndRoles));
    await hear(couch.use(database).get('a'));
    await hear(
      couch
        .use(database)
        .save({ ...doc })
        .pipe(map(() => 'saved')),
    );
    await hear(
      couch
        .use(database)
        .save({ ...design })
        .pipe(map(() => 'saved')),
    );
    await hear(couch.delete(database));
    await hear(couch.use(database).upkeep.security({}));
  }
  const session = connect();
  await hear(session.login(ann, 'wrong').pipe(nameAndRoles));
  await hear(session.login(ann, 'secret').pipe(nameAndRoles));
  await hear(session.session().pipe(nameAndRoles));
  await hear(session.logout());
  await hear(admin.users.changePassword(ann, 'new').pipe(map(() => 'changed')));
  await hear(admin.users.delete(ann));
  await hear(admin.users.delete(bob));
  return answers;
}

describe('the users of an in-memory server', () => {
  needs('recorded-answers')('have the rights, and get the refusals, of CouchDB', async () => {
    const suffix = uniqueName('user');
    const names = [`ann-${suffix}`, `bob-${suffix}`, deleteAtEnd(uniqueName())] as const;
    const onServer = await scenario((auth) => new Couch(server.url, auth && { auth }), names);
    const memory = memoryServer({ admins: { [server.username]: server.password } });
    const inMemory = await scenario((auth) => memory.couch(auth && { auth }), names);
    expect(inMemory).toEqual(onServer);
    expect(inMemory.length).toBe(30);
  });

  it('are seeded, and a wrong password fails also without admins', async () => {
    const memory = memoryServer({ users: { ann: { password: 'secret', roles: ['editor'] } } });
    const as = (username: string, password: string): Couch =>
      memory.couch({ auth: { username, password } });
    expect(await heard(as('ann', 'secret').session().pipe(nameAndRoles))).toEqual({
      name: 'ann',
      roles: ['editor'],
    });
    expect(await heard(as('ann', 'wrong').session())).toEqual({
      status: 401,
      code: 'unauthorized',
      reason: 'Name or password is incorrect.',
    });
    expect(
      await heard(
        memory
          .couch()
          .create('orders')
          .pipe(map(() => 'created')),
      ),
    ).toBe('created');
  });
});
