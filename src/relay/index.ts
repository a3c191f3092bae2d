/** The entry point for the relay, for Node. */
export { relay } from './relay.ts';
export type { Relay } from './relay.ts';
export type { RelayOptions } from './relay-options.ts';
export type { RelayFeedStats, RelayStats } from './stats.ts';
