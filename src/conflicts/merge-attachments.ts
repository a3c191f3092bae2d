import type { AttachmentStub, Attachments, InlineAttachment } from '../model/document.ts';
import { generation } from '../model/document.ts';

type Attachment = AttachmentStub | InlineAttachment;

/** The attachments that a merge returns: null removes one, and one that it does not mention stays. */
export type MergedAttachments = Readonly<Record<string, Attachment | null>>;

/** The attachments of the copies that are merged. */
export interface AttachmentCopies {
  readonly local: Attachments | undefined;
  readonly server: Attachments | undefined;
  readonly base: Attachments | undefined;
  /**
   * The revision that the local copy was read from: a stub in it means "unchanged since then".
   * Null for a leaf, whose attachments are all stored.
   */
  readonly readFrom: string | null;
}

/**
 * Merges the attachments of two copies of a document.
 *
 * An attachment that only one copy has stays. If both have one with the same name, the copy in which it
 * changed wins. If it changed in both, the merge must mention it.
 *
 * @param merged - The `_attachments` that the merge returned.
 * @throws Error that names the attachment that the merge must decide.
 */
export function mergeAttachments(
  merged: MergedAttachments | undefined,
  copies: AttachmentCopies,
): Attachments {
  const names = [merged, copies.server, copies.local].flatMap((side) => Object.keys(side ?? {}));
  const result: Record<string, Attachment> = {};
  for (const name of new Set(names)) {
    const mentioned = attachmentOf(merged, name);
    const kept =
      mentioned === undefined ? unmentioned(name, copies) : decided(name, mentioned, copies);
    if (kept !== undefined) result[name] = kept;
  }
  return result;
}

/** Tells whether two attachments are known to have the same bytes. */
export function isSameAttachment(a: Attachment | undefined, b: Attachment | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  if (a === b) return true;
  if ('data' in a && 'data' in b) return a.data === b.data;
  return a.digest !== undefined && a.digest === b.digest;
}

/** Returns an own field: attachments can be called `constructor`. */
export function attachmentOf<Value>(
  attachments: Readonly<Record<string, Value>> | undefined,
  name: string,
): Value | undefined {
  return attachments !== undefined && Object.hasOwn(attachments, name)
    ? attachments[name]
    : undefined;
}

/** Returns the attachment that wins although the merge does not mention it. */
function unmentioned(name: string, copies: AttachmentCopies): Attachment | undefined {
  const [local, server, base] = [copies.local, copies.server, copies.base].map((copy) =>
    attachmentOf(copy, name),
  );
  const { readFrom } = copies;
  if (local === undefined) return server;
  const isUnchanged = readFrom === null ? isSameAttachment(local, base) : !('data' in local);
  // The other copy has removed it, or this one has added it.
  if (server === undefined) return isUnchanged ? undefined : local;
  if (isSameAttachment(local, server)) return readFrom === null ? local : server;
  if (isUnchanged) return server;
  if (isSameAttachment(server, base) || (readFrom !== null && isOlder(server, readFrom)))
    return local;
  throw new Error(
    `the attachment ${JSON.stringify(name)} changed in both copies: ` +
      'the merge must return the one to keep in _attachments',
  );
}

/** Returns the attachment that the merge mentions, taken from the copy that has it. */
function decided(
  name: string,
  mentioned: Attachment | null,
  { local, server, readFrom }: AttachmentCopies,
): Attachment | undefined {
  if (mentioned === null) return undefined;
  if ('data' in mentioned) return mentioned;
  const [mine, theirs] = [attachmentOf(local, name), attachmentOf(server, name)];
  if (isSameAttachment(mentioned, theirs)) return theirs;
  if (mentioned === mine || isSameAttachment(mentioned, mine)) {
    // The bytes of a stub that was read earlier may be gone: the server's version is newer.
    return readFrom === null || (mine !== undefined && 'data' in mine) ? mine : theirs;
  }
  if (mentioned.digest === undefined && (theirs ?? mine) !== undefined) return theirs ?? mine;
  throw new Error(
    `the merge returned a stub of the attachment ${JSON.stringify(name)} that no copy has`,
  );
}

/** Tells whether an attachment was stored before, or with, a revision. */
function isOlder(attachment: Attachment, rev: string): boolean {
  return attachment.revpos !== undefined && attachment.revpos <= generation(rev);
}
