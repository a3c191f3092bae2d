import { map, mergeMap, of, toArray } from 'rxjs';
import type { Observable } from 'rxjs';
import type { Sequence } from '../model/change.ts';
import { eventually } from '../operators/eventually.ts';
import type { CheckpointStore } from './checkpoint.ts';
import type { FeedSource, Sequenced } from './feed-source.ts';

/**
 * Emits where to begin: where the checkpoint says, and else where `since` does. A `'now'` is made a
 * place that stays, and noted: who leaves before the first change came must not miss it.
 */
export function beginning<Item extends Sequenced>(
  source: FeedSource<Item>,
  checkpoint: CheckpointStore,
  since: Sequence,
  silence: number,
): Observable<Sequence> {
  return eventually(() => checkpoint.read()).pipe(
    mergeMap((noted) => {
      if (noted !== null || since !== 'now') return of(noted ?? since);
      return source.now(silence).pipe(
        mergeMap((place) =>
          eventually(() => checkpoint.write(place)).pipe(
            toArray(),
            map(() => place),
          ),
        ),
      );
    }),
  );
}
