import { readField } from '../queries/document-field.ts';
import { compileSelector } from '../queries/matcher.ts';
import { Refusal } from './refusal.ts';

/** Tells whether a document is what a Mango selector describes. */
export type Matcher = (selector: object, doc: object) => boolean;

/**
 * Matches as `_find` does, by the matcher of live queries. Throws a `Refusal` for what is no operator,
 * and where only a CouchDB can tell.
 */
export const matches: Matcher = (selector, doc) => {
  const verdict = compileSelector(selector)(doc as Record<string, unknown>);
  if (verdict !== undefined) return verdict;
  const unknown = unknownOperator(selector);
  if (unknown !== undefined) {
    throw new Refusal(400, 'invalid_operator', `Invalid operator: ${unknown}`);
  }
  const text = JSON.stringify(selector);
  throw new Refusal(
    501,
    'not_implemented',
    `The in-memory server of corduroy/testing cannot tell whether ${JSON.stringify(doc)} matches ${text}`,
  );
};

export { readField as fieldOf };

const OPERATORS =
  /^\$(?:and|or|nor|not|eq|ne|gte?|lte?|in|nin|exists|type|size|mod|regex|beginsWith|all|elemMatch|allMatch|keyMapMatch|text)$/;

function unknownOperator(selector: unknown): string | undefined {
  if (typeof selector !== 'object' || selector === null) return undefined;
  for (const [name, operand] of Object.entries(selector)) {
    if (name.startsWith('$') && !OPERATORS.test(name)) return name;
    const inner = unknownOperator(operand);
    if (inner !== undefined) return inner;
  }
  return undefined;
}
