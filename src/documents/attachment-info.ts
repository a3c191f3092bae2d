import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { attachmentPath, idOf } from './attachments.ts';
import type { AttachmentOwner } from './attachments.ts';

/** What an attachment is, without its bytes. */
export interface AttachmentInfo {
  readonly contentType: string;
  /** In bytes; null where the server does not say, as of what it keeps compressed. */
  readonly length: number | null;
  /** As the stub in the document has it: `'md5-…'`. Null where the server does not say. */
  readonly digest: string | null;
  /** Whether a part of it can be read by `range`. */
  readonly acceptsRanges: boolean;
}

export function attachmentInfo(
  db: DatabaseScope,
  owner: AttachmentOwner,
  filename: string,
  { rev }: { readonly rev?: string },
): Operation<AttachmentInfo> {
  const path = attachmentPath(db, idOf(owner), filename, rev);
  return operation(
    db.connection,
    () => ({ method: 'HEAD', path, headers: { accept: '*/*' } }),
    (_, { headers }) => {
      const { etag, 'content-length': length, 'content-encoding': encoding } = headers;
      const digest = headers['content-md5'] ?? etag?.replace(/^(?:W\/)?"(.*)"$/, '$1');
      return {
        contentType: headers['content-type'] ?? 'application/octet-stream',
        length: length === undefined || encoding !== undefined ? null : Number(length),
        digest: digest === undefined ? null : `md5-${digest}`,
        acceptsRanges: headers['accept-ranges'] === 'bytes',
      };
    },
  );
}
