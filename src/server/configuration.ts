import { concatMap, from, map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { segment } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/** A section of a node's configuration: all values are strings. */
export type ConfigSection = Readonly<Record<string, string>>;

/** What can be written: numbers and booleans are written as strings. */
export type ConfigValue = string | number | boolean;

/** What is done with the configuration of a node. */
export interface NodeConfigOptions {
  /** Removes the value instead of reading it. @defaultValue false */
  readonly delete?: boolean;
  /** With false the change is forgotten when the node restarts. @defaultValue true */
  readonly persist?: boolean;
}

/** Which configuration is meant, and what is done with it. */
export interface ConfigOptions extends NodeConfigOptions {
  /** The node. @defaultValue '_local', the one that answers */
  readonly node?: string;
}

export function configuration(
  connection: Connection,
  name: string | undefined,
  value: ConfigValue | Readonly<Record<string, ConfigValue>> | undefined,
  options: ConfigOptions,
): Operation<unknown> {
  if (name === '') throw invalidArgument('config: name', "'section' or 'section/key'", name);
  const base = `/_node/${segment(options.node ?? '_local')}/_config`;
  const [section = '', key] = name === undefined ? [] : splitOnce(name);
  const path = base + [section, key].map((part) => (part ? `/${segment(part)}` : '')).join('');
  const headers = options.persist === false ? { 'x-couch-persist': 'false' } : {};
  const request = (method: string, json?: string, below = ''): Operation<unknown> =>
    operation(
      connection,
      () => ({ method, path: path + below, headers, ...(json !== undefined && { json }) }),
      (body) => body,
    );
  if (options.delete === true) {
    requireKey(key, 'removed');
    return request('DELETE');
  }
  if (value === undefined) return request('GET');
  if (typeof value === 'object' && value !== null) {
    if (section === '' || key !== undefined)
      throw invalidArgument('config: name', "'section'", name);
    const written = Object.entries(value).map(([each, one]) => ({ each, text: toText(one) }));
    return serialize(
      written.map(({ each, text }) => [each, request('PUT', text, `/${segment(each)}`)]),
    );
  }
  requireKey(key, 'written');
  return request('PUT', toText(value));
}

/** Writes a section key by key; emits the values that were there before. */
function serialize(writes: readonly (readonly [string, Operation<unknown>])[]): Operation<unknown> {
  const answers: Observable<Answer<Record<string, unknown>>> = from(writes).pipe(
    concatMap(([key, write]) =>
      write.status().pipe(
        map((status) => {
          if (!status.ok) throw status.exception;
          return { key, status };
        }),
      ),
    ),
    reduce(
      (all, { key, status }) => ({
        value: { ...all.value, [key]: status.value },
        code: status.code,
        headers: status.headers,
      }),
      { value: {}, code: 200, headers: {} } as Answer<Record<string, unknown>>,
    ),
  );
  return new Operation(answers);
}

function splitOnce(name: string): [string, string | undefined] {
  const slash = name.indexOf('/');
  return slash === -1 ? [name, undefined] : [name.slice(0, slash), name.slice(slash + 1)];
}

function requireKey(key: string | undefined, what: string): void {
  if (!key) throw new TypeError(`config: only a value can be ${what}: name it 'section/key'`);
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || Number.isFinite(value)) return String(value);
  throw invalidArgument('config: value', 'a string, a number or a boolean', value);
}
