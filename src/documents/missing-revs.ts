import { asArray, asObject } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { text } from '../http/query.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { requireId } from '../http/url.ts';
import { mustBe } from '../model/must-be.ts';

/** Revisions by the id of their document. */
export type RevisionsById =
  Readonly<Record<string, readonly string[]>> | ReadonlyMap<string, readonly string[]>;

/** What a database lacks of a document. */
export interface RevsDifference {
  readonly missing: readonly string[];
  /** Revisions that it has, of which the missing ones may have come. */
  readonly possibleAncestors: readonly string[];
}

export function revsDiff(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, RevsDifference>> {
  const write = writer(revs, 'revsDiff');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_revs_diff`, json: write() }),
    (body) =>
      new Map(
        Object.entries(asObject(body)).map(([id, raw]) => {
          const { missing, possible_ancestors: ancestors = [] } = asObject(raw);
          return [id, { missing: strings(missing), possibleAncestors: strings(ancestors) }];
        }),
      ),
  );
}

export function missingRevs(
  db: DatabaseScope,
  revs: RevisionsById,
): Operation<ReadonlyMap<string, readonly string[]>> {
  const write = writer(revs, 'missingRevs');
  return operation(
    db.connection,
    () => ({ method: 'POST', path: `${db.path}/_missing_revs`, json: write() }),
    (body) => {
      const missing = asObject(asObject(body)['missing_revs']);
      return new Map(Object.entries(missing).map(([id, raw]) => [id, strings(raw)]));
    },
  );
}

function writer(revs: unknown, what: string): () => Readonly<Record<string, readonly string[]>> {
  const write = (): Readonly<Record<string, readonly string[]>> => {
    if (typeof revs !== 'object' || revs === null || Array.isArray(revs))
      throw mustBe(`${what}: revs`, 'an object or a Map of revisions by id', revs);
    const entries: [unknown, unknown][] =
      revs instanceof Map ? [...revs.entries()] : Object.entries(revs);
    return Object.fromEntries(
      entries.map(([id, list]) => {
        requireId(id, `${what}: the id`);
        if (!Array.isArray(list)) throw mustBe(`${what}: ${id}`, 'a list of revisions', list);
        return [id, list.map((rev, i) => text(rev, `${what}: ${id}[${i}]`))];
      }),
    );
  };
  write();
  return write;
}

const strings = (list: unknown): string[] => asArray(list).map(String);
