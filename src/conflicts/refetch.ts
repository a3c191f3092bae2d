import { map } from 'rxjs';
import type { Observable } from 'rxjs';
import { getDocuments } from '../documents/read.ts';
import { arrayField, asArray, asObject, stringField } from '../http/decode.ts';
import type { DatabaseScope } from '../http/scope.ts';
import type { Document } from '../model/document.ts';
import { byWinner } from '../model/document.ts';
import type { ServerCopy } from './merge.ts';

/** A document whose server's copy is wanted, and the revision that the local one was made of. */
export interface Wanted {
  readonly id: string;
  readonly base: string | undefined;
}

/**
 * Reads what the server has of documents, in their order, with one request: the winners, and where
 * that is asked for the revisions that the local copies were made of.
 */
export function refetch<T extends object>(
  db: DatabaseScope,
  wanted: readonly Wanted[],
  withBase: boolean,
): Observable<readonly ServerCopy<T>[]> {
  if (!withBase) {
    return getDocuments<T>(
      db,
      wanted.map(({ id }) => id),
      {},
    ).pipe(map((servers) => servers.map((server) => ({ server, base: null }))));
  }
  const asked = wanted.flatMap(({ id, base }) =>
    base === undefined ? [{ id }] : [{ id }, { id, rev: base }],
  );
  return db.connection
    .json(
      () => ({ method: 'POST', path: `${db.path}/_bulk_get`, json: { docs: asked } }),
      (body) => arrayField(body, 'results'),
    )
    .pipe(
      map(({ value }) => {
        let place = 0;
        return wanted.map(({ base }): ServerCopy<T> => {
          const server = winnerOf<T>(value[place++]);
          const [old = null] = base === undefined ? [] : documentsOf<T>(value[place++]);
          return { server, base: old };
        });
      }),
    );
}

/** Without a revision every open leaf is answered; the winner is the one that CouchDB picks. */
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
