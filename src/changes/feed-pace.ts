/** How long a feed waits, and how long it is patient: pure functions of its state. */
import type { FeedConnection, FeedCore } from './feed-model.ts';

/** The head of a stream is late after this time, in milliseconds: a poll then races it. */
const RACE_DELAY = 1000;
/** How long the first poll waits for an item, in milliseconds: a proxy may hold back its head until then. */
const FIRST_POLL = 250;
/** How long after it has opened a feed looks for items that the server holds back, in milliseconds. */
export const LOOK_DELAY = 500;
/** How long items that a look has found may be under way, in milliseconds. */
export const ARRIVAL_DELAY = 100;
/** How often a quiet feed with a filter looks how far the filter has come, in milliseconds. */
const FILTER_LOOK_INTERVAL = 300_000;
/** How long a feed polls before it tries again whether a stream passes, in milliseconds. */
const POLLING_PERIOD = 600_000;
/** How often a feed polls that has no connection for waiting, in milliseconds. */
export const CROWDED_INTERVAL = 2000;
/** How long such a poll waits for an item, in milliseconds. */
const CROWDED_WAIT = 10;
/** The longest silence beyond a heartbeat, in milliseconds. */
const GRACE = 15_000;
const LONGEST_SILENCE = 600_000;
/** Heartbeats are never shortened below this, in milliseconds. */
const SHORTEST_HEARTBEAT = 5000;
/** After so many heartbeats of silence a feed is overdue. */
const OVERDUE = 1.25;
/** The shortest time between connections that bring few items, after a burst of them. */
const MIN_INTERVAL = 250;
const MANY_ITEMS = 100;
const BURST = 10;

/** When the feed has something to do by itself. */
export function deadline({ connectAt, raceAt, lookAt, giveUpAt, demand }: FeedCore): number {
  return Math.min(demand ? connectAt : Infinity, raceAt, lookAt, giveUpAt);
}

/** Whether the next connection is a poll. */
export function nextIsPoll(
  { options: { kind }, bufferedAt, crowded }: FeedCore,
  now: number,
): boolean {
  if (crowded || kind === 'longpoll' || kind === 'normal') return true;
  return kind === 'auto' && bufferedAt !== null && now - bufferedAt < POLLING_PERIOD;
}

/** The longest silence of a connection that has this heartbeat, in milliseconds. */
export function longestSilence(heartbeat: number): number {
  return heartbeat + Math.min(heartbeat, GRACE);
}

/** The longest silence of a poll. A proxy may hold back all that the server sends while a filter works. */
export function pollPatience(core: FeedCore): number {
  return Math.min(longestSilence(core.heartbeat) * 2 ** core.patience, LONGEST_SILENCE);
}

/** How long a poll waits for an item, in milliseconds. */
export function pollWait({ phase, rival, heartbeat, options, crowded }: FeedCore): number {
  if (crowded) return CROWDED_WAIT;
  const isFirst = phase !== 'live' || rival !== null || options.kind === 'normal';
  return isFirst ? shortWait(heartbeat) : heartbeat;
}

export function shortWait(heartbeat: number): number {
  return Math.min(FIRST_POLL, heartbeat);
}

/**
 * Whether something that should have happened has not: the timers stand still, as in a page that the
 * browser has frozen.
 */
export function isOverdue(core: FeedCore, now: number): boolean {
  const { main, connectAt, heartbeat, patience } = core;
  if (connectAt < Infinity) return now > connectAt + heartbeat;
  const limit = patience === 0 ? OVERDUE * heartbeat : pollPatience(core);
  return main !== null && now - (main.heardAt ?? main.requestedAt) > limit;
}

/** How long the head of a stream may take before a poll races it; `Infinity` if none may. */
export function raceDelay({ options, heartbeat }: FeedCore): number {
  return options.kind === 'auto' ? Math.min(RACE_DELAY, heartbeat) : Infinity;
}

/** How long after a stream has opened, or after the last look, the feed looks. */
export function lookDelay({ options }: FeedCore): number {
  return options.filtered ? FILTER_LOOK_INTERVAL : LOOK_DELAY;
}

/** Whether a look at the server may find items that the main connection holds back. */
export function mayBeHeldBack({ main, reopened, options }: FeedCore): boolean {
  return main?.received === 0 && reopened < (options.kind === 'auto' ? 2 : 1);
}

/**
 * Returns how many connections in a row ended soon without progress, and how many ended soon with few
 * items, after one that has ended.
 */
export function paceAfter(
  core: FeedCore,
  { requestedAt, received, startedAfter }: FeedConnection,
  now: number,
): Pick<FeedCore, 'fruitless' | 'quick' | 'patience'> & { readonly pause: number } {
  const duration = now - requestedAt;
  const isFull = received >= Math.min(MANY_ITEMS, core.options.pollLimit);
  // A dead connection is noticed as late as the patience says, so it must not last.
  const isShort = duration <= longestSilence(core.heartbeat);
  const patience = isShort ? Math.max(0, core.patience - 1) : core.patience;
  if (core.crowded) {
    const rest = isFull ? 0 : Math.max(0, CROWDED_INTERVAL - duration);
    return { fruitless: 0, quick: 0, patience, pause: rest };
  }
  const isFruitful = core.seq !== startedAfter || duration > core.heartbeat / 2;
  const rest = MIN_INTERVAL - duration;
  const quick = rest <= 0 ? 0 : isFull ? core.quick : core.quick + 1;
  return {
    fruitless: isFruitful ? 0 : core.fruitless + 1,
    quick,
    patience,
    pause: quick > BURST && !isFull ? rest : 0,
  };
}

/**
 * Returns a shorter heartbeat if two connections in a row died after the same silence: proxies and
 * balancers end what is silent for a fixed time.
 */
export function heartbeatAfter(
  { heartbeat, lastSilence }: FeedCore,
  silence: number,
): Pick<FeedCore, 'heartbeat' | 'lastSilence'> {
  if (silence < heartbeat / 2) return { heartbeat, lastSilence: null };
  const isSame = lastSilence !== null && Math.abs(silence - lastSilence) <= silence / 10;
  if (!isSame || heartbeat <= SHORTEST_HEARTBEAT) return { heartbeat, lastSilence: silence };
  const shorter = Math.floor(Math.min(silence, heartbeat) / 2);
  return { heartbeat: Math.max(SHORTEST_HEARTBEAT, shorter), lastSilence: null };
}
