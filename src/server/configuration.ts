import { concatMap, from, map, reduce } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Connection } from '../http/connection.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation, operation } from '../http/operation.ts';
import { endpoint, nodeAt, segment } from '../http/url.ts';
import { invalidArgument, requireOptions } from '../model/invalid-argument.ts';

/** A section of a node's configuration. All values are strings. */
export type ConfigSection = Readonly<Record<string, string>>;

/** A value to write. Corduroy converts numbers and booleans to strings. */
export type ConfigValue = string | number | boolean;

/** The options of `node().config`. */
export interface NodeConfigOptions {
  /** Deletes the value instead of reading it. @defaultValue false */
  readonly delete?: boolean;
  /** Whether the change survives a restart of the node. @defaultValue true */
  readonly persist?: boolean;
}

/** The options of `couch.config`. */
export interface ConfigOptions extends NodeConfigOptions {
  /** The node's name. @defaultValue '_local', the node that answers */
  readonly node?: string;
}

/** The sections whose values are passwords or keys, and the names of such values in others. */
const SECRET_SECTION = /^(?:admins|jwt_keys)$/;
const SECRET_KEY = /hmac|key|pass|secret|token/i;

/** The routes below `_config`: of all sections, a section, and a value. */
const LEVELS = ['', '/{section}', '/{section}/{key}'];

export function configuration(
  connection: Connection,
  name: string | undefined,
  value: ConfigValue | Readonly<Record<string, ConfigValue>> | undefined,
  options: ConfigOptions,
): Operation<unknown> {
  requireOptions(options, 'config', ['delete', 'persist', 'node']);
  if (name !== undefined && typeof name !== 'string')
    throw invalidArgument('config: name', "'section' or 'section/key'", name);
  const node = nodeAt(options.node ?? '_local', 'config: node');
  const parts = name === undefined ? [] : splitOnce(name);
  const [section = '', key] = parts;
  const names = parts.map((part) => segment(part, 'config: name'));
  const headers: Record<string, string> =
    options.persist === false ? { 'x-couch-persist': 'false' } : {};
  const request = (method: string, json?: string, each?: string): Operation<unknown> => {
    const isSecret = SECRET_SECTION.test(section) || SECRET_KEY.test(each ?? key ?? '');
    const secrets = json !== undefined && isSecret ? [json] : [];
    connection.hide(secrets, 'request');
    const values = each === undefined ? names : [...names, segment(each, 'config: key')];
    return operation(
      connection,
      () => ({
        ...endpoint(node, `/_config${LEVELS[values.length]}`, '', ...values),
        method,
        headers,
        secrets,
        ...(json !== undefined && { json }),
      }),
      (body) => body,
    );
  };
  if (options.delete === true) {
    requireKey(name, key, 'delete');
    return request('DELETE');
  }
  if (value === undefined) return request('GET');
  if (typeof value === 'object' && value !== null) {
    if (names.length !== 1) throw invalidArgument('config: name', "'section'", name);
    const texts = Object.entries(value).map(([each, one]) => [each, toText(one)] as const);
    return writeInOrder(texts.map(([each, text]) => [each, request('PUT', text, each)]));
  }
  requireKey(name, key, 'write');
  return request('PUT', toText(value));
}

/** Writes the keys of a section one after the other. Emits their previous values. */
function writeInOrder(
  writes: readonly (readonly [string, Operation<unknown>])[],
): Operation<unknown> {
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

function splitOnce(name: string): readonly string[] {
  const slash = name.indexOf('/');
  return slash === -1 ? [name] : [name.slice(0, slash), name.slice(slash + 1)];
}

function requireKey(name: string | undefined, key: string | undefined, verb: string): void {
  if (!key) throw invalidArgument('config: name', `'section/key' to ${verb} a value`, name);
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || Number.isFinite(value)) return String(value);
  throw invalidArgument('config: value', 'a string, a number or a boolean', value);
}
