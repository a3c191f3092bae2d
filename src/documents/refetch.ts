import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { BULK_GET, endpoint, readByPost } from '../http/url.ts';
import { byWinner } from '../model/document.ts';
import type { Document } from '../model/document.ts';
import { getDocuments, readOne } from './read.ts';

/** The server's copy of a document in conflict, and the revision that the local copy was read from. */
export interface ServerCopy<T extends object> {
  readonly server: Document<T> | null;
  readonly base: Document<T> | null;
}

/** A document to refetch, and the revision that the local copy was read from. */
export interface RefetchRequest {
  readonly id: string;
  readonly base: string | undefined;
}

/**
 * Reads the server's copies of documents in one request, in their order. With `withBase`, it also reads
 * the revisions that the local copies were read from.
 */
export function refetch<T extends object>(
  db: DatabaseScope,
  requests: readonly RefetchRequest[],
  withBase: boolean,
): Observable<readonly ServerCopy<T>[]> {
  if (!withBase) {
    return getDocuments<T>(
      db,
      requests.map(({ id }) => id),
      {},
    ).pipe(map((servers) => servers.map((server) => ({ server, base: null }))));
  }
  const { rules } = db;
  const decode = (doc: Document<T> | null): Document<T> | null =>
    rules === null || doc === null ? doc : readOne(rules, doc);
  const refs = requests.flatMap(({ id, base }) =>
    base === undefined ? [{ id }] : [{ id }, { id, rev: base }],
  );
  return db.connection
    .json(
      () => readByPost(endpoint(db, BULK_GET), { docs: refs }),
      (body) => arrayField(body, 'results'),
    )
    .pipe(
      map(({ value }) => {
        let next = 0;
        return requests.map(({ base }): ServerCopy<T> => {
          const server = decode(winnerOf<T>(value[next++]));
          const [baseDoc = null] = base === undefined ? [] : documentsOf<T>(value[next++]);
          return { server, base: decode(baseDoc) };
        });
      }),
    );
}

/** Picks the winner as CouchDB does: `_bulk_get` without a revision answers with every leaf. */
function winnerOf<T extends object>(result: unknown): Document<T> | null {
  const [winner = null] = documentsOf<T>(result).sort((a, b) => byWinner(a._rev, b._rev));
  return winner;
}

function documentsOf<T extends object>(result: unknown): Document<T>[] {
  return asArray(asObject(result)['docs']).flatMap((answer) => {
    const { ok } = asObject(answer) as { readonly ok?: Document<T> };
    if (ok === undefined || '_deleted' in ok) return [];
    stringField(ok, '_rev');
    return [ok];
  });
}
