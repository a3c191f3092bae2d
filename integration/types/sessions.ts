/**
 * Tests of the types of credentials, sessions and users. `npm test` compiles this file and does not
 * run it.
 */
import { Couch } from 'corduroy';
import type {
  AnyFields,
  Auth,
  Credentials,
  Database,
  Document,
  Operation,
  Security,
  Session,
  User,
  UserFields,
  Users,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import { BehaviorSubject, of } from 'rxjs';
import type { Observable } from 'rxjs';

declare const couch: Couch;
declare const db: Database;

// Sessions
expectTypeOf(couch.session()).toEqualTypeOf<Operation<Session>>();
expectTypeOf(couch.session$).toEqualTypeOf<Observable<Session>>();
expectTypeOf(couch.login('ada', 'secret')).toEqualTypeOf<Operation<Session>>();
expectTypeOf(couch.logout()).toEqualTypeOf<Operation<{ readonly ok: true }>>();
expectTypeOf<Session['name']>().toEqualTypeOf<string | null>();
// @ts-expect-error -- a login needs a password
couch.login('ada');

// Credentials
const accepted: Auth[] = [
  { username: 'ada', password: 'secret' },
  ['ada', 'secret'],
  { bearer: 'a.b.c' },
  { session: { username: 'ada', password: 'secret' }, loginInterval: 0 },
  { session: ['ada', 'secret'] },
  { proxy: { username: 'ada', roles: ['a'], secret: 's' } },
  () => null,
  () => ['ada', 'secret'],
  () => Promise.resolve({ bearer: 'a.b.c' }),
  () => of({ bearer: 'a.b.c' }),
  Promise.resolve(null),
  new BehaviorSubject<Credentials | null>(null),
  of({ session: ['ada', 'secret'] as const }),
];
const open = (...args: ConstructorParameters<typeof Couch>): Couch => new Couch(...args);
for (const auth of accepted) open('http://host', { auth });
// @ts-expect-error -- a name without a password
open('http://host', { auth: { username: 'ada' } });
// @ts-expect-error -- only null means anonymous
open('http://host', { auth: null });
// @ts-expect-error -- a cookie is set as a header, not as credentials
open('http://host', { auth: { cookie: 'AuthSession=x' } });

// Several nodes
open(['http://a', 'http://b'] as const, { nodeBackoff: { initialDelay: 100 } });
// @ts-expect-error -- each node must be a URL
open([{ url: 'http://a' }]);

// Users
expectTypeOf(couch.users).toEqualTypeOf<Users<Database<UserFields>>>();
expectTypeOf(couch.users.db).toEqualTypeOf<Database<UserFields>>();
declare const user: User;
expectTypeOf(couch.users.save(user)).toEqualTypeOf<Operation<User>>();
// @ts-expect-error -- a user is deleted by name
couch.users.delete({ _id: 'org.couchdb.user:ada', _rev: '1-a' });
expectTypeOf(couch.users.get('ada')).toEqualTypeOf<Operation<User>>();
expectTypeOf(couch.users.list()).toEqualTypeOf<Operation<User[]>>();
expectTypeOf(couch.users.create('ada', 's', { roles: ['a'], fields: { age: 36 } })).toEqualTypeOf<
  Operation<User>
>();
expectTypeOf(couch.users.get('org.couchdb.user:ada')).toEqualTypeOf<
  Operation<Document<UserFields>>
>();
expectTypeOf<User['roles']>().toEqualTypeOf<string[]>();
expectTypeOf<User['age']>().toEqualTypeOf<AnyFields[string]>();
// @ts-expect-error -- roles are a list
couch.users.setRoles('ada', 'a');

// Rights
expectTypeOf(db.upkeep.grant({ members: { roles: ['staff'] } })).toEqualTypeOf<
  Operation<Security>
>();
expectTypeOf(db.upkeep.revoke({ admins: { names: ['ada'] } })).toEqualTypeOf<Operation<Security>>();
// @ts-expect-error -- only members and admins exist
db.upkeep.grant({ readers: { names: ['ada'] } });
