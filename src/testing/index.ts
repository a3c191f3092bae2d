/**
 * The entry point for tests: servers for the tests of programs that use Corduroy, without a
 * network. It depends on no test runner and on no platform.
 */
export { fault } from './reply.ts';
export type { Fault } from './reply.ts';
export { marbleServer } from './marble-server.ts';
export type { MarbleServer } from './marble-server.ts';
export type { FeedMarble, MarbleFeed } from './marble-feed.ts';
export { marbleTests } from './marbles.ts';
export type { MarbleHelpers, Marbles, MarblesOptions } from './marbles.ts';
export { raw, status } from './reply.ts';
export type { RawOptions, Reply } from './reply.ts';
export type { ServerRequest } from './route.ts';
export type { Answer, Answering, PathParameters, Route, RoutedRequest } from './route.ts';
export { memoryServer } from './memory-server.ts';
export type { MemoryServer, MemoryServerOptions } from './memory-server.ts';
