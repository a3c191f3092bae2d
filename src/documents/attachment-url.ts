import { Observable, mergeMap, tap, toArray } from 'rxjs';
import type { Observer } from 'rxjs';
import type { DatabaseScope } from '../http/scope.ts';
import { openAttachment } from './attachments.ts';
import type { AttachmentOwner, AttachmentProgress, GetAttachmentOptions } from './attachments.ts';

/** How an attachment is read for a page to show. */
export interface AttachmentUrlOptions extends GetAttachmentOptions {
  /** Is told as the bytes arrive; never errors, completes with the last. */
  readonly progress?: Partial<Observer<AttachmentProgress>>;
}

export function attachmentUrl(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  { progress, ...options }: AttachmentUrlOptions,
): Observable<string> {
  if (typeof URL.createObjectURL !== 'function') {
    throw new TypeError('attachmentUrl$: a service worker has no object URLs');
  }
  return openAttachment(db, owner, filename, options, 'attachmentUrl$').pipe(
    mergeMap(({ chunks, type }) =>
      chunks.pipe(
        tap({
          next: ({ done, total }) => progress?.next?.({ done, total }),
          complete: () => progress?.complete?.(),
        }),
        toArray(),
        mergeMap((pieces) => {
          const parts = pieces.map(({ bytes }) => bytes as Uint8Array<ArrayBuffer>);
          return objectUrl(new Blob(parts, { type }));
        }),
      ),
    ),
  );
}

/** A URL that lasts until it is unsubscribed from. */
function objectUrl(blob: Blob): Observable<string> {
  return new Observable((subscriber) => {
    const url = URL.createObjectURL(blob);
    subscriber.add(() => URL.revokeObjectURL(url));
    subscriber.next(url);
  });
}
