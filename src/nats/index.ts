/** The entry point for NATS JetStream, whose client is an optional peer dependency. */
export { Publisher, publishChanges } from './publish-changes.ts';
export type { PublishOptions } from './publish-changes.ts';
export type { JetStreamPublisher, MessageHeaders } from './message.ts';
export { PublishError, isPublishError } from './publish-error.ts';
export type { PublishFailure } from './publish-error.ts';
export { subjectToken } from './subject.ts';
