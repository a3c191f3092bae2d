/**
 * Every public name, by layer. Both main entry points re-export this list, and choose their
 * transport.
 */

// The facades
export { Couch } from './couch.ts';
export type { CouchOptions } from './couch.ts';
export type { OpenOptions } from './core-couch.ts';
export { Database } from './database.ts';
export type { DatabaseOptions } from './database.ts';
export type { Users } from './groups/users.ts';
export { localCheckpoint } from './core-database.ts';

// Operations
export { Operation } from './http/operation.ts';
export type { Status } from './http/operation.ts';
export { lastOf, relax } from './relax.ts';
export type { RelaxedMethod, RelaxGenerator } from './relax.ts';

// Documents
export type {
  AnyFields,
  AttachmentStub,
  Attachments,
  Document,
  DocumentRef,
  Draft,
  DraftAttachment,
  DraftAttachments,
  InlineAttachment,
  Json,
  JsonFields,
  LiveDocument,
  ReadonlyDeep,
  Saved,
  StoredFields,
  Tombstone,
} from './model/document.ts';
export { isTombstone } from './model/document.ts';
export type { GetManyOptions, GetOptions } from './documents/read.ts';
export type { SaveOptions } from './conflicts/save.ts';
export type { DocumentSource } from './conflicts/batch-reader.ts';
export type { SaveAllOptions, SaveItemsOptions, SaveProgress } from './conflicts/save-all.ts';
export type {
  DocumentSchema,
  InvalidDocumentHandler,
  SchemaOptions,
} from './documents/document-rules.ts';
export { SchemaError, isSchemaError } from './errors/schema-error.ts';
export type { SchemaIssue } from './errors/schema-error.ts';
export type { WriteOptions } from './documents/write.ts';
export { AttachmentRead } from './documents/attachment-read.ts';
export type {
  AttachmentChunk,
  AttachmentInfo,
  AttachmentOwner,
  AttachmentProgress,
  AttachmentUrlOptions,
  GetAttachmentOptions,
} from './documents/attachment-read.ts';
export type { AttachmentContent } from './documents/attachment-upload.ts';
export type { AttachmentWritten, PutAttachmentOptions } from './documents/attachment-write.ts';
export type { Revs } from './groups/revs.ts';
export type {
  BulkGetRef,
  BulkGetResult,
  OpenRevsOptions,
  OpenRevsWithAttachmentsOptions,
  RevisionOutcome,
} from './documents/revision-bodies.ts';
export type { RevisionsById, RevsDifference } from './documents/revision-bodies.ts';
export type {
  LocalDocsOptions,
  LocalDocument,
  LocalDocuments,
  LocalDraft,
} from './groups/local.ts';
export type { CopyRef, PurgeResult, WriteResult } from './documents/revisions.ts';
export type { DeleteResult } from './documents/revisions.ts';
export { ConflictResolution } from './conflicts/resolution.ts';
export { resolveConflicts } from './conflicts/resolution.ts';
export { resolveAllLeaves } from './conflicts/resolve-all-leaves.ts';
export type {
  ConflictedDocument,
  LeavesOutcome,
  ResolveAllLeavesOptions,
} from './conflicts/resolve-all-leaves.ts';
export type { ResolveConflictsOptions } from './conflicts/resolution.ts';
export { counter, fields, newest, ours, theirs, union } from './conflicts/merge.ts';
export type { DeletionOptions, FieldResolver } from './conflicts/merge.ts';
export type { MergedAttachments } from './conflicts/merge-attachments.ts';
export type { DocumentChange } from './conflicts/upsert.ts';
export type { Merge, MergeResult } from './conflicts/merge.ts';
export type { PendingWrite, ResolveOptions } from './conflicts/resolution.ts';

// Views
export { Row, View } from './model/view.ts';
export type { RowWithDoc, ViewHead } from './model/view.ts';
export type { ViewOptions } from './queries/view.ts';
export type { FindSummary } from './queries/find.ts';
export { RowStream } from './http/row-stream.ts';
export { Page } from './queries/pages.ts';
export { Pages } from './queries/pages.ts';
export type { PagesOptions } from './queries/pages.ts';
export type {
  DesignInfo,
  FunctionParameters,
  RenderOptions,
  RenderResult,
  UpdateResult,
} from './queries/design-functions.ts';

export type { AllDocsOptions, AllDocsRow, RevisionValue } from './queries/all-docs.ts';
export type { Partition, PartitionInfo } from './partition.ts';

// Design documents
export { designDocument } from './queries/design-document.ts';
export type {
  BuiltInReduce,
  DesignDefinition,
  DesignDocument,
  FunctionRequest,
  IndexField,
  MapFunction,
  ReduceFunction,
  UserContext,
  ViewDefinition,
} from './queries/design-document.ts';
export type { DesignRef, Designs } from './groups/designs.ts';
export type { DeployResult, DeployOptions } from './queries/deploy.ts';
export type { DesignDrift } from './queries/drift.ts';
export type { ServerFunction } from './queries/server-function.ts';
export { validateDocUpdate } from './queries/validate-doc-update.ts';
export { defineDesign } from './queries/define-design.ts';
export type {
  AnyDesign,
  Design,
  TypedDesignDefinition,
  ViewDefinitions,
} from './queries/define-design.ts';
export type {
  AnyViewName,
  Emit,
  Emitted,
  InferringEmit,
  Stats,
  TypedOptions,
  TypedRow,
  ViewName,
  ViewNameOf,
} from './queries/typed-view.ts';

// Search
export type { NouveauSearch, Search } from './groups/search.ts';
export type {
  Facets,
  SearchGroup,
  SearchHit,
  SearchInfo,
  SearchQuery,
  SearchResult,
} from './queries/search.ts';
export type { NouveauHit, NouveauQuery, NouveauRange, NouveauResult } from './queries/nouveau.ts';

// Mango
export type {
  ExecutionStats,
  Explanation,
  FindQuery,
  FindResult,
  FoundDocument,
  IndexCandidate,
  SortField,
} from './queries/find.ts';
export type { FieldPath, Projected } from './queries/field-path.ts';
export type {
  AnySelector,
  ArrayOperators,
  AnyOperators,
  Combinations,
  Condition,
  NumberOperators,
  ObjectOperators,
  Operators,
  Selector,
  TextOperators,
} from './queries/selector.ts';
export type {
  DeleteIndexOptions,
  IndexCreated,
  IndexDefinition,
  IndexesDeleted,
  IndexRef,
  JsonIndexDefinition,
  MangoIndex,
  TextIndexDefinition,
} from './queries/indexes.ts';
export type { IndexListOptions, Indexes } from './groups/indexes.ts';

// Changes
export type { Change, ChangesBatch, ChangesResult, Sequence } from './model/change.ts';
export type { ChangesSummary } from './changes/changes-request.ts';
export type { ChangesOptions } from './changes/changes-request.ts';
export type { ChangesParameters } from './changes/changes-request.ts';
export { ChangesFeed } from './changes/changes-feed.ts';
export type { ChangesFeedOptions, FeedOptions } from './changes/changes-feed.ts';
export { memoryCheckpoint, storageCheckpoint } from './changes/checkpoint.ts';
export type { CheckpointStore } from './changes/checkpoint.ts';
export type { ValueOrAsync } from './operators/to-observable.ts';
export { Consumer } from './changes/consume.ts';
export type {
  ChangeHandler,
  ConsumeProgress,
  ConsumeOptions,
  ConsumerSlice,
  DeadLetterHandler,
} from './changes/consume.ts';
export { ChangesOfFeed } from './changes/changes-of.ts';
export type {
  ChangesOfOptions,
  DatabaseChanges,
  DatabaseErrorHandler,
  DatabaseSelection,
  ManyDatabasesOptions,
  UpdatesOptions,
} from './changes/changes-of.ts';
export { DatabasesConsumer } from './changes/consume-of.ts';
export type {
  ConsumeOfOptions,
  DatabaseChangeHandler,
  DatabaseDeadLetterHandler,
  DatabaseProgress,
} from './changes/consume-of.ts';
export { DbUpdatesFeed } from './changes/db-updates.ts';
export type { DbUpdatesBatch, DbUpdatesOptions } from './changes/db-updates.ts';
export type { DbUpdate } from './changes/db-updates.ts';
export type { ErrorTolerance } from './operators/retry-policy.ts';
export type { CrossTab, FeedKind } from './changes/feed-model.ts';
export { offline, pageHidden } from './operators/to-observable.ts';
export type { FeedState } from './changes/feed-model.ts';
export type { BackoffOptions } from './operators/retry-policy.ts';

// Live queries
export { LiveQuery } from './live/live-query.ts';
export type { LiveAllDocsOptions } from './live/live-rows.ts';
export type { DocumentConflict } from './live/live-documents.ts';
export { LiveEdit } from './live/live-edit.ts';
export { asPatches } from './live/as-patches.ts';
export type { ListPatch, Moved, Positioned } from './live/as-patches.ts';
export type { EditOptions, EditProgress, EditState, EditStatus } from './live/live-edit.ts';
export type { LiveFindQuery } from './live/live-find.ts';
export type { LiveOptions } from './live/live-database.ts';
export type { LiveViewOptions } from './live/live-rows.ts';
export { withState } from './live/live-query.ts';
export type { WithState } from './live/live-query.ts';

// The server
export type { AllDbsOptions, CreateOptions } from './server/databases.ts';
export type { DatabaseInfo } from './server/databases.ts';
export type {
  ConfigOptions,
  ConfigSection,
  ConfigValue,
  NodeConfigOptions,
} from './server/configuration.ts';
export type { CompactOptions } from './server/upkeep.ts';
export type {
  Replicable,
  ReplicateOptions,
  ReplicationResult,
  ReplicationSide,
} from './server/replication.ts';
export type { AutoPurge, PurgedInfo, ShardLocation, Upkeep } from './server/upkeep.ts';
export type { ActiveTask, Statistics } from './server/server-info.ts';
export type { ServerInfo } from './server/server-info.ts';
export type { DbUpdatesResult, ReadDbUpdatesOptions } from './changes/db-updates.ts';
export type { Cluster, Membership } from './server/cluster.ts';
export type {
  AddNode,
  ClusterSetup,
  ClusterState,
  ClusterStateOptions,
  EnableCluster,
  EnableSingleNode,
  FinishCluster,
} from './server/cluster.ts';
export type {
  Resharding,
  ReshardJob,
  ReshardJobState,
  ReshardOutcome,
  ReshardState,
  ReshardSummary,
  ReshardTarget,
} from './server/resharding.ts';
export type { CouchNode } from './server/couch-node.ts';
export type { NodeSystem, NodeVersions, SmooshChannel } from './server/couch-node.ts';
export type {
  Scheduler,
  SchedulerDocs,
  SchedulerDocsOptions,
  SchedulerEvent,
  SchedulerJob,
  SchedulerJobs,
  SchedulerJobsOptions,
} from './server/scheduler.ts';
export type {
  ReplicationCounts,
  ReplicationState,
  ReplicationStatus,
} from './server/replication-states.ts';
export type { ReplicationStatesOptions } from './server/replication-states.ts';
export type { Grant, NamesAndRoles, Security } from './server/security.ts';
export type { Session } from './server/session.ts';
export type { CreateUserOptions, User, UserFields } from './server/users.ts';

// Errors
export { CorduroyError, isCorduroyError } from './errors/corduroy-error.ts';
export type { RequestSummary } from './errors/corduroy-error.ts';
export { ConnectionError, isConnectionError } from './errors/connection-error.ts';
export { DatabaseReplaced, isDatabaseReplaced } from './errors/connection-error.ts';
export { InvalidCheckpoint, isInvalidCheckpoint } from './errors/connection-error.ts';
export { HTTPError, isHTTPError } from './errors/http-error.ts';
export { isProtocolError, ProtocolError } from './errors/connection-error.ts';
export { isRedirectRefused, RedirectRefused } from './errors/connection-error.ts';
export { isTimeoutError, TimeoutError } from './errors/connection-error.ts';
export { isTransient } from './errors/corduroy-error.ts';
export {
  AccountLocked,
  BadRequest,
  Conflict,
  Forbidden,
  isAccountLocked,
  isBadRequest,
  isConflict,
  isForbidden,
  isNotFound,
  isPayloadTooLarge,
  isPreconditionFailed,
  isServerError,
  isTooManyRequests,
  isUnauthorized,
  NotFound,
  PayloadTooLarge,
  PreconditionFailed,
  ServerError,
  TooManyRequests,
  Unauthorized,
} from './errors/http-error.ts';
export type { Resolvable } from './errors/corduroy-error.ts';

// Reaching a server
export type {
  Auth,
  BasicCredentials,
  Credentials,
  NameAndPassword,
  ProxyCredentials,
  SessionCredentials,
} from './http/auth.ts';
export type { CoalesceOptions } from './http/connection-options.ts';
export type { ConnectionOptions, JsonCodec } from './http/connection-options.ts';
export type { AdaptiveConcurrency, Concurrency } from './http/concurrency.ts';
export type { RequestDefaults } from './http/prepare-request.ts';
export type { UseOptions } from './core-couch.ts';
export { withDefaults } from './with-defaults.ts';
export { logRequests } from './http/events.ts';
export type { RequestEvent } from './http/events.ts';
export type { Link, LinkRequest, Next, Priority } from './http/link.ts';
export type { RetryOptions } from './operators/retry-policy.ts';
export type { RequestOptions } from './http/request.ts';
export type { ConnectionBudget, ConnectionShare } from './http/connection-budget.ts';
export { fetchTransport } from './http/fetch-transport.ts';
export type { FetchTransportOptions } from './http/fetch-transport.ts';
export type {
  RequestBody,
  ResponseHeaders,
  Transport,
  TransportRequest,
  TransportResponse,
} from './http/transport.ts';
