/**
 * The entry point for tests: servers without a network, and faults, for the tests of programs
 * that use Corduroy. It depends on no test runner and on no platform.
 */
export { faults } from './faults.ts';
export type { ConnectionFault, FaultsLink, FaultsOptions } from './faults.ts';
export { fault } from './reply.ts';
export type { Fault } from './reply.ts';
export { marbleServer, marbleTests } from './marble-server.ts';
export type { MarbleHelpers, Marbles, MarblesOptions, MarbleServer } from './marble-server.ts';
export type { FeedMarble, MarbleFeed } from './marble-feed.ts';
export { raw, status } from './reply.ts';
export type { RawOptions, Reply } from './reply.ts';
export type { ServerRequest } from './route.ts';
export type { Answer, Answering, PathParameters, Route, RoutedRequest } from './route.ts';
export { memoryServer } from './memory-server.ts';
export type { MemoryServer, MemoryServerOptions, MemoryUser } from './memory-server.ts';
export type { DatabaseSeed } from './memory/seed.ts';
export type { TestServer } from './test-server.ts';
export { errorOf } from './error-of.ts';
