/**
 * Tests of the types of a server, its nodes, its cluster and its replications. `npm test` compiles
 * this file and does not run it.
 */
import { Database } from 'corduroy';
import type {
  Change,
  ChangesOfFeed,
  DatabasesConsumer,
  Cluster,
  ClusterState,
  Couch,
  CouchNode,
  DatabaseInfo,
  DbUpdatesResult,
  Membership,
  NodeSystem,
  NodeVersions,
  Operation,
  ReplicationState,
  ReplicationStatus,
  ReshardJob,
  ReshardJobState,
  ReshardOutcome,
  ReshardState,
  Scheduler,
  SchedulerDocs,
  SchedulerJob,
  SchedulerJobs,
  ServerInfo,
  SmooshChannel,
  Statistics,
} from 'corduroy';
import { expectTypeOf } from 'expect-type';
import type { Observable } from 'rxjs';

declare const couch: Couch;
declare const names: readonly string[];

// The server
expectTypeOf(couch.info()).toEqualTypeOf<Operation<ServerInfo>>();
expectTypeOf(couch.up()).toEqualTypeOf<Operation<boolean>>();
expectTypeOf(couch.dbsInfo()).toEqualTypeOf<Operation<DatabaseInfo[]>>();
expectTypeOf(couch.dbsInfo({ startKey: 'a' })).toEqualTypeOf<Operation<DatabaseInfo[]>>();
expectTypeOf(couch.dbsInfo(names)).toEqualTypeOf<Operation<(DatabaseInfo | null)[]>>();
// @ts-expect-error -- an option in wire spelling
couch.dbsInfo({ start_key: 'a' });
expectTypeOf(couch.dbUpdates({ since: 0 })).toEqualTypeOf<Operation<DbUpdatesResult>>();
// @ts-expect-error -- a one-shot request has no feed option
couch.dbUpdates({ feed: 'continuous' });
interface Pet {
  readonly legs: number;
}
expectTypeOf(couch.changesOf$<Pet>(/^a/)).toEqualTypeOf<ChangesOfFeed<Pet>>();
couch.changesOf$<Pet>(names, { since: { a: '1-a', b: 0 } }).subscribe(({ database, changes }) => {
  expectTypeOf(database).toEqualTypeOf<string>();
  expectTypeOf(changes).toEqualTypeOf<readonly Change<Pet>[]>();
});
// @ts-expect-error -- a sequence belongs to one database
couch.changesOf$(names, { since: '5-a' });
expectTypeOf(
  couch.consumeOf<Pet>(
    (name) => name !== 'a',
    () => {},
    { name: 'a' },
  ),
).toEqualTypeOf<DatabasesConsumer<Pet>>();
// @ts-expect-error -- a consumer needs a name
couch.consumeOf(names, () => {}, {});
expectTypeOf(couch.use('db').search.analyze('english', 'a')).toEqualTypeOf<Operation<string[]>>();
expectTypeOf(couch.use('db').search.nouveau.analyze('english', 'a')).toEqualTypeOf<
  Operation<string[]>
>();
expectTypeOf(couch.reloadQueryServers()).toEqualTypeOf<Operation<true>>();

// The cluster: each step has separate options
expectTypeOf(couch.cluster).toEqualTypeOf<Cluster>();
expectTypeOf(couch.cluster.membership()).toEqualTypeOf<Operation<Membership>>();
expectTypeOf(couch.cluster.setup()).toEqualTypeOf<Operation<ClusterState>>();
expectTypeOf(couch.cluster.setup({ action: 'finish_cluster' })).toEqualTypeOf<Operation<true>>();
couch.cluster.setup({ action: 'enable_cluster', nodeCount: 3 });
// @ts-expect-error -- add_node needs a host
couch.cluster.setup({ action: 'add_node', username: 'a', password: 'b' });
// @ts-expect-error -- an option of another step
couch.cluster.setup({ action: 'finish_cluster', nodeCount: 3 });
// @ts-expect-error -- an unknown step
couch.cluster.setup({ action: 'receive_cookie' });
const { reshard } = couch.cluster;
expectTypeOf(reshard.state()).toEqualTypeOf<Operation<ReshardState>>();
expectTypeOf(reshard.jobs()).toEqualTypeOf<Operation<ReshardJob[]>>();
expectTypeOf(reshard.job('j')).toEqualTypeOf<Operation<ReshardJob>>();
expectTypeOf(reshard.jobState('j')).toEqualTypeOf<Operation<ReshardState<ReshardJobState>>>();
expectTypeOf(reshard.create({ db: 'a' })).toEqualTypeOf<Operation<ReshardOutcome[]>>();
// @ts-expect-error -- either db or shard, not both
reshard.create({ db: 'a', shard: 's' });
// @ts-expect-error -- a shard already has a range
reshard.create({ shard: 's', range: '00000000-7fffffff' });
declare const outcome: ReshardOutcome;
if (outcome.ok) expectTypeOf(outcome.id).toEqualTypeOf<string>();
else expectTypeOf(outcome.error).toEqualTypeOf<string>();

// A node
expectTypeOf(couch.node()).toEqualTypeOf<CouchNode>();
const node = couch.node('couchdb@127.0.0.1');
expectTypeOf(node.name()).toEqualTypeOf<Operation<string>>();
expectTypeOf(node.config('log/level')).toEqualTypeOf<Operation<string>>();
expectTypeOf(node.stats()).toEqualTypeOf<Operation<Statistics>>();
expectTypeOf(node.prometheus()).toEqualTypeOf<Operation<string>>();
expectTypeOf(node.smoosh()).toEqualTypeOf<Operation<Readonly<Record<string, SmooshChannel>>>>();
expectTypeOf(node.system()).toEqualTypeOf<Operation<NodeSystem>>();
expectTypeOf(node.versions()).toEqualTypeOf<Operation<NodeVersions>>();
expectTypeOf(node.restart()).toEqualTypeOf<Operation<true>>();
// @ts-expect-error -- the node is already selected
node.config('log/level', 'debug', { node: 'another@host' });

// Replications
expectTypeOf(couch.scheduler).toEqualTypeOf<Scheduler>();
expectTypeOf(couch.scheduler.jobs({ limit: 1 })).toEqualTypeOf<Operation<SchedulerJobs>>();
expectTypeOf(couch.scheduler.job('j')).toEqualTypeOf<Operation<SchedulerJob>>();
expectTypeOf(couch.scheduler.docs()).toEqualTypeOf<Operation<SchedulerDocs>>();
expectTypeOf(couch.scheduler.doc('_replicator', 'r')).toEqualTypeOf<Operation<ReplicationStatus>>();
// @ts-expect-error -- an unknown state
couch.scheduler.docs({ states: ['triggered'] });
expectTypeOf(couch.replication$('r')).toEqualTypeOf<Observable<ReplicationStatus>>();
couch.replication$('r', { interval: 500 }).subscribe(({ state, counts }) => {
  expectTypeOf(state).toEqualTypeOf<ReplicationState>();
  expectTypeOf(counts?.changesPending).toEqualTypeOf<number | null | undefined>();
  // @ts-expect-error -- counts can be null
  void counts.docsWritten;
  // @ts-expect-error -- an unknown state of a replication
  void (state === 'done');
});

// Requests
expectTypeOf(couch.request({ path: '/' })).toEqualTypeOf<Operation<unknown>>();
expectTypeOf(couch.request<{ ok: true }>({ path: '/' })).toEqualTypeOf<Operation<{ ok: true }>>();
expectTypeOf(new Database('a').request({ path: '/' })).toEqualTypeOf<Operation<unknown>>();
expectTypeOf(node.request({ path: '/_dbs' })).toEqualTypeOf<Operation<unknown>>();
// @ts-expect-error -- a request needs a path
couch.request({ method: 'GET' });
// @ts-expect-error -- an unknown option
couch.request({ path: '/', qs: {} });
