import { collate } from '../../model/collation.ts';
import type { Normal } from './mango-selector.ts';
import { conditionsOn, indexableFields } from './mango-selector.ts';

/** The keys of an index between which all matches of a condition are. Undefined is no bound. */
export interface KeyRange {
  readonly low: unknown;
  readonly high: unknown;
  readonly includesLow: boolean;
  readonly includesHigh: boolean;
}

/** Conditions that contradict each other. */
export const EMPTY_RANGE = 'empty' as const;

export type FieldRange = readonly [field: string, range: KeyRange | typeof EMPTY_RANGE];

const EVERYTHING: KeyRange = {
  low: undefined,
  high: undefined,
  includesLow: false,
  includesHigh: false,
};

/** Returns the ranges of the fields that an index can answer. A contradiction is the only one. */
export function fieldRanges(selector: Normal): readonly FieldRange[] {
  const ranges: FieldRange[] = [];
  for (const field of indexableFields(selector)) {
    const range = conditionsOn(selector, field).reduce<KeyRange | typeof EMPTY_RANGE>(
      (known, [operator, operand]) =>
        known === EMPTY_RANGE ? known : narrow(known, operator, operand),
      EVERYTHING,
    );
    if (range === EMPTY_RANGE) return [[field, EMPTY_RANGE]];
    ranges.push([field, range]);
  }
  return ranges;
}

function narrow(
  range: KeyRange,
  operator: string,
  operand: unknown,
): KeyRange | typeof EMPTY_RANGE {
  switch (operator) {
    case '$eq':
      return above(range, operand, true, (one) => below(one, operand, true));
    case '$gt':
      return above(range, operand, false);
    case '$gte':
      return above(range, operand, true);
    case '$lt':
      return below(range, operand, false);
    case '$lte':
      return below(range, operand, true);
    case '$beginsWith':
      return above(range, operand, true, (one) => below(one, `${String(operand)}\uffff`, true));
    default:
      return range;
  }
}

type Narrowed = KeyRange | typeof EMPTY_RANGE;

function above(
  range: KeyRange,
  operand: unknown,
  includes: boolean,
  then: (range: KeyRange) => Narrowed = (one) => one,
): Narrowed {
  const { low, includesLow } = range;
  const order = low === undefined ? 1 : collate(operand, low);
  if (order < 0 || (order === 0 && (includes || !includesLow))) return checked(range, then);
  return checked({ ...range, low: operand, includesLow: includes }, then);
}

function below(range: KeyRange, operand: unknown, includes: boolean): Narrowed {
  const { high, includesHigh } = range;
  const order = high === undefined ? -1 : collate(operand, high);
  if (order > 0 || (order === 0 && (includes || !includesHigh))) return checked(range);
  return checked({ ...range, high: operand, includesHigh: includes });
}

function checked(range: KeyRange, then: (range: KeyRange) => Narrowed = (one) => one): Narrowed {
  const { low, high, includesLow, includesHigh } = range;
  if (low === undefined || high === undefined) return then(range);
  const order = collate(low, high);
  if (order > 0 || (order === 0 && !(includesLow && includesHigh))) return EMPTY_RANGE;
  return then(range);
}
