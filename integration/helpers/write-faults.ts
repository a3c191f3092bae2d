import type { FaultyProxy, Match, SeenRequest } from './faulty-proxy.ts';
import type { Rival } from './write-rival.ts';
import type { Step } from './write-schedule.ts';

// The faults of a step, put on the proxy for the requests of one schedule.

/** Tells the requests of one schedule from those of others. */
export const SCHEDULE_HEADER = 'x-schedule';

/** A longer `pad` is too much for the proxy, which answers as CouchDB does above its limit. */
export const LONGEST_PAD = 1000;

/** Faults in force, and what they did. */
export interface FaultsInForce {
  /** How many requests they struck so that the client cannot know what the server did. */
  readonly strikes: number;
  /** Another client came between a write and its answer. */
  readonly rivalBetween: boolean;
  /** Calls them off. */
  end(): void;
}

export function plan(
  proxy: FaultyProxy,
  schedule: string,
  { faults, do: operation }: Step,
  rival: Rival,
  idOf: (name: string) => string,
): FaultsInForce {
  const places = new WeakMap<SeenRequest, number>();
  let seen = 0;
  let strikes = 0;
  let rivalBetween = false;
  const placeOf = (request: SeenRequest): number => {
    const known = places.get(request);
    if (known !== undefined) return known;
    places.set(request, (seen += 1) - 1);
    return seen - 1;
  };
  const undo = faults.map((fault) => {
    let met = false;
    const match: Match = (request) => {
      if (met || request.headers[SCHEDULE_HEADER] !== schedule) return false;
      if (placeOf(request) !== fault.at) return false;
      met = true;
      if (fault.kind !== 'delay') strikes += 1;
      return true;
    };
    const limits = { match, times: 1 };
    switch (fault.kind) {
      case 'drop':
        return proxy.drop(limits);
      case 'lose': {
        const act = fault.rival;
        const [id] = idsOf(operation);
        const meanwhile = async (): Promise<void> => {
          if (act === undefined || id === undefined) return;
          rivalBetween = true;
          await rival.act(idOf(id), act);
        };
        return proxy.lose({ ...limits, meanwhile });
      }
      case 'lose, and answer':
        return proxy.lose({ ...limits, answer: { status: fault.status, body: '<html>' } });
      case 'cut':
        return proxy.cutAfter(fault.bytes, { ...limits, of: fault.of });
      case 'truncate':
        return proxy.truncate(match, fault.bytes, { times: 1 });
      case 'delay':
        return proxy.delay(fault.milliseconds, limits);
      case 'answer':
        return proxy.answer({ ...limits, status: fault.status, body: fault.body });
      default:
        throw new Error('An unknown fault');
    }
  });
  return {
    get strikes() {
      return strikes;
    },
    get rivalBetween() {
      return rivalBetween;
    },
    end() {
      for (const one of undo) one();
    },
  };
}

/** Those documents of an operation that other clients know too. */
function idsOf(operation: Step['do']): readonly string[] {
  switch (operation.op) {
    case 'save':
      return [operation.edit.id];
    case 'save list':
    case 'save coalesced':
      return operation.edits.filter(({ id }) => !id.includes('.')).map(({ id }) => id);
    case 'upsert list':
      return operation.ids;
    default:
      return [operation.id];
  }
}

/** Makes the proxy refuse documents that are too large, as CouchDB does: the whole request. */
export function refuseLarge(proxy: FaultyProxy): void {
  const large = `"pad":"${'x'.repeat(LONGEST_PAD)}`;
  proxy.answer({
    status: 413,
    match: ({ method, body }) => (method === 'PUT' || method === 'POST') && body.includes(large),
    body: ({ url, body }) => {
      const { docs } = JSON.parse(body) as { docs?: { _id: string; pad?: string }[] };
      const named = docs?.find(({ pad = '' }) => pad.length >= LONGEST_PAD)?._id;
      const reason =
        named ?? decodeURIComponent(new URL(url, 'http://x').pathname.split('/')[2] ?? '');
      return JSON.stringify({ error: 'document_too_large', reason });
    },
  });
}
