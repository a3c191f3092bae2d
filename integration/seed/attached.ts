import type { Database, Draft } from 'corduroy';
import { rawFetch } from '../helpers/server.ts';
import { emptyDatabase, value } from './steps.ts';

// What the specifications of attachments begin with.

export type Owner = Draft & { _id: string };

export const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** So many bytes, of all values. */
export const bytesOf = (length: number): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length }, (_, i) => i % 256);

export interface Begun {
  readonly db: Database;
  readonly doc: Owner;
  /** The media type that the server tells of an attachment. */
  readonly typeOf: (name: string) => Promise<string | null>;
}

/** A database with a document to hang things on. */
export async function begin(): Promise<Begun> {
  const db = await emptyDatabase();
  const doc: Owner = { _id: 'owner', kept: true };
  await value(db.save(doc));
  const typeOf = async (name: string): Promise<string | null> => {
    const response = await rawFetch(`/${db.name}/owner/${encodeURIComponent(name)}`);
    await response.arrayBuffer();
    return response.headers.get('content-type');
  };
  return { db, doc, typeOf };
}
