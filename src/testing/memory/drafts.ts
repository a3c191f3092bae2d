import { byId } from '../../model/document.ts';
import { Refusal } from '../reply.ts';
import type { Draft } from './draft.ts';

/** Returns drafts in the order in which CouchDB writes them, with their indexes. */
export function inOrder(
  drafts: readonly Draft[],
): readonly (readonly [draft: Draft, index: number])[] {
  const order = drafts.map((draft, i) => [draft, i] as const);
  return order.sort(([a, i], [b, k]) => byId(a.id, b.id) || i - k);
}

/** Without the attachment of a stub, CouchDB writes none of the documents of a request. */
export function refusesAll({ error }: Refusal): boolean {
  return error === 'missing_stub' || error === 'unknown_error';
}

export function hasStub({ attachments }: Draft): boolean {
  return attachments.some(([, one]) => one === 'stub');
}

export function withoutStubs(draft: Draft): Draft {
  return { ...draft, attachments: draft.attachments.filter(([, one]) => one !== 'stub') };
}

/** Design documents and attachments are always checked. */
export function needsCheck({ id, attachments }: Draft): boolean {
  return id.startsWith('_design/') || attachments.length > 0;
}

/** Returns what a function returns, or the refusal that it throws. */
export function capture<T>(make: () => T): T | Refusal {
  try {
    return make();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}
