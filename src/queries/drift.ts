import { catchError, defer, map, of, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { isNotFound } from '../errors/http-error.ts';
import { asObject, requireSameId } from '../http/decode.ts';
import type { Answer } from '../http/exchange.ts';
import { Operation } from '../http/operation.ts';
import type { DatabaseScope } from '../http/scope.ts';
import { documentAt, requireId } from '../http/url.ts';
import { invalidArgument } from '../model/invalid-argument.ts';
import { assertJson, canonical } from '../model/json.ts';
import type { JsonCodec } from '../model/json.ts';
import type { DesignDocument } from './design-document.ts';

/** How a design document differs from the server's. */
export interface DesignDrift {
  /** The paths of what differs, such as `'views.byLegs.map'`; empty if the server has the same document. */
  readonly differences: readonly string[];
  /** The current revision, or null if the server has no such document. */
  readonly rev: string | null;
}

/** Compares a design document with the server's. */
export function drift(db: DatabaseScope, design: DesignDocument): Operation<DesignDrift> {
  const { codec } = db.connection;
  requireDesign(design, 'drift', codec);
  return new Operation(
    defer(() => {
      requireDesign(design, 'drift', codec);
      return readDesign(db, design._id).pipe(
        map(({ value, ...answer }) => {
          const { _id, ...stored } = value === null ? { _id: '' } : contentOf(value);
          const { _id: _own, ...wanted } = contentOf(design);
          return {
            ...answer,
            value: {
              differences: [...differences(stored, wanted)].sort(),
              rev: value?._rev ?? null,
            },
          };
        }),
      );
    }),
  );
}

/** Returns the paths at which two JSON values differ. */
function* differences(
  stored: unknown,
  wanted: unknown,
  path: readonly string[] = [],
): Iterable<string> {
  if (isSameJson(stored, wanted)) return;
  if (!isObject(stored) || !isObject(wanted)) {
    yield path.join('.');
    return;
  }
  for (const name of new Set([...Object.keys(stored), ...Object.keys(wanted)]))
    yield* differences(stored[name], wanted[name], [...path, name]);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws a TypeError for a value that is not a design document. */
export function requireDesign(
  design: unknown,
  what: string,
  codec: JsonCodec,
): asserts design is DesignDocument {
  if (typeof design !== 'object' || design === null)
    throw invalidArgument(`${what}: design`, 'a design document', design);
  const { _id: id } = design as { _id?: unknown };
  if (typeof id !== 'string' || !/^_design\/./.test(id))
    throw invalidArgument(`${what}: the _id of the design document`, "'_design/…'", id);
  requireId(id, `${what}: the _id of the design document`);
  assertJson(design, `The design document ${JSON.stringify(id)}`, codec);
}

/** Reads a design document; null if there is none. */
export function readDesign(
  db: DatabaseScope,
  id: string,
): Observable<Answer<DesignDocument | null>> {
  const address = documentAt(db, id);
  return db.connection
    .json(
      () => address,
      (body) => {
        const design = asObject(body) as DesignDocument;
        requireSameId(id, design._id);
        return design;
      },
    )
    .pipe(
      catchError((error: unknown) =>
        isNotFound(error)
          ? of({ value: null, code: error.status, headers: error.headers })
          : throwError(() => error),
      ),
    );
}

/** Returns the content of a design document, without the fields that the server adds. */
export function contentOf({
  _rev: _1,
  _attachments: _2,
  ...content
}: DesignDocument): DesignDocument {
  return content;
}

/** Compares JSON values, and ignores the order of their fields. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}
