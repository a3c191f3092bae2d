import { asObject, stringField } from '../http/decode.ts';

/** A channel of the automatic compaction. */
export interface SmooshChannel {
  /** How many compactions run, and how many are about to. */
  readonly active: number;
  readonly starting: number;
  /** How many wait, and the lowest and highest priority among them. */
  readonly waiting: { readonly size: number; readonly min: number; readonly max: number };
}

/** The state of the virtual machine that a node runs in. */
export interface NodeSystem {
  /** In seconds. */
  readonly uptime: number;
  /** In bytes, by what it is for: `processes`, `binary`, `ets`… */
  readonly memory: Readonly<Record<string, number>>;
  /** How many processes of the virtual machine there are, and may be. */
  readonly processCount: number;
  readonly processLimit: number;
  /** How many wait to be run. */
  readonly runQueue: number;
  /** How many query servers there are. */
  readonly osProcCount: number;
  /** How many messages wait, by the name of the process; for some, how they are distributed. */
  readonly messageQueues: Readonly<Record<string, unknown>>;
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** What a node is made of. */
export interface NodeVersions {
  readonly erlang: string;
  /** What runs design functions; CouchDB tells no version of QuickJS. */
  readonly javascriptEngine: { readonly name: string; readonly version: string | null };
  /** The library that orders the keys of views. */
  readonly collation: { readonly name: string; readonly version: string | null };
  /** The answer as the server gave it. */
  readonly raw: Readonly<Record<string, unknown>>;
}

export function readSmoosh(body: unknown): Readonly<Record<string, SmooshChannel>> {
  const channels = Object.entries(asObject(asObject(body)['channels']));
  return Object.fromEntries(
    channels.map(([name, channel]) => {
      const { active, starting, waiting } = asObject(channel);
      const { size, min, max } = asObject(waiting);
      return [
        name,
        {
          active: Number(active),
          starting: Number(starting),
          waiting: { size: Number(size), min: Number(min), max: Number(max) },
        },
      ];
    }),
  );
}

export function readSystem(body: unknown): NodeSystem {
  const raw = asObject(body);
  return {
    uptime: Number(raw['uptime']),
    memory: asObject(raw['memory']) as NodeSystem['memory'],
    processCount: Number(raw['process_count']),
    processLimit: Number(raw['process_limit']),
    runQueue: Number(raw['run_queue']),
    osProcCount: Number(raw['os_proc_count']),
    messageQueues: asObject(raw['message_queues']),
    raw,
  };
}

export function readVersions(body: unknown): NodeVersions {
  const raw = asObject(body);
  const collation = asObject(raw['collation_driver']);
  const engine = asObject(raw['javascript_engine']);
  return {
    erlang: stringField(raw['erlang'], 'version'),
    javascriptEngine: { name: stringField(engine, 'name'), version: text(engine['version']) },
    collation: {
      name: stringField(collation, 'name'),
      version: text(collation['library_version']),
    },
    raw,
  };
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
