import { canonical } from '../../model/json.ts';
import { Refusal, isRecord } from '../reply.ts';

/** A function of a design document. */
export type DesignFunction = (...args: readonly unknown[]) => unknown;

/** The functions that CouchDB's query server gives to the functions of design documents. */
const GLOBALS = ['emit', 'log', 'sum', 'toJSON', 'isArray', 'require'] as const;

/**
 * Compiles the JavaScript source of a design document's function. `emit` collects the rows of map
 * functions. Throws a `SyntaxError` for a source that is no function.
 */
export function compileFunction(
  source: unknown,
  emit: (key: unknown, value: unknown) => void = notInThisFunction,
): DesignFunction {
  if (typeof source !== 'string') throw new SyntaxError('the source is not a string');
  const body = source.trim().replace(/;+$/, '');
  const globals = [emit, log, sum, toJson, Array.isArray, notInThisFunction];
  // The source is the test's own design document.
  // oxlint-disable-next-line no-implied-eval
  const made: unknown = new Function(...GLOBALS, `return (${body}\n);`)(...globals);
  if (typeof made !== 'function') throw new SyntaxError('the source is not a function');
  return made as DesignFunction;
}

function notInThisFunction(): never {
  throw new Error('this function is not available here');
}

function log(): void {
  // CouchDB writes to its log.
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function toJson(value: unknown): string {
  return JSON.stringify(value);
}

/** Copies a value as JSON carries it to a design function, or from it. Undefined becomes null. */
export function throughJson(value: unknown): unknown {
  const text = JSON.stringify(value) as string | undefined;
  return text === undefined ? null : (JSON.parse(text) as unknown);
}

/** Runs a `validate_doc_update`. Throws a `Refusal` if the function throws. */
export function runValidation(source: unknown, args: readonly unknown[]): void {
  try {
    compileFunction(source)(...args.map(throughJson));
  } catch (error) {
    throw refusalOf(error);
  }
}

function refusalOf(error: unknown): Refusal {
  if (isRecord(error)) {
    const { forbidden, unauthorized } = error;
    if (forbidden !== undefined) return new Refusal(403, 'forbidden', reasonOf(forbidden));
    if (unauthorized !== undefined) return new Refusal(401, 'unauthorized', reasonOf(unauthorized));
    return new Refusal(500, 'unknown_error', canonical(error));
  }
  if (error instanceof Error) return new Refusal(500, error.name, error.message);
  return new Refusal(500, 'unknown_error', String(error));
}

function reasonOf(value: unknown): string {
  return typeof value === 'string' ? value : canonical(value);
}
