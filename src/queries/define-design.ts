import { encodeDesign } from './design-document.ts';
import type {
  BuiltInReduce,
  DesignDefinition,
  DesignDocument,
  ReduceFunction,
} from './design-document.ts';
import type { InferringEmit, ViewNameOf } from './typed-view.ts';

/** The views of a design document, by name. */
export type ViewDefinitions = Readonly<
  Record<
    string,
    {
      /** Maps a document to rows. Give the document a type: `(doc: Pet, emit) => …`. */
      // oxlint-disable-next-line typescript/no-explicit-any -- the function names the type of its documents
      readonly map: ((doc: any, emit: InferringEmit) => unknown) | string;
      /** A built-in function, a function, or the source text of one. */
      readonly reduce?: BuiltInReduce | ReduceFunction | (string & Record<never, never>);
    }
  >
>;

/** The definition of a design document, apart from its name. */
export interface TypedDesignDefinition<Views extends ViewDefinitions> extends Omit<
  // oxlint-disable-next-line typescript/no-explicit-any -- each function names the type of its documents
  DesignDefinition<any>,
  'name' | 'views'
> {
  readonly views?: Views;
}

/** The key under which a design holds its document. */
export const DOCUMENT: unique symbol = Symbol('corduroy.document');

/** A design document that {@link defineDesign} has made, whatever its views. */
export interface AnyDesign {
  /** @internal */
  readonly [DOCUMENT]: DesignDocument;
}

/**
 * A design document with the names of its views, which know their rows: the result of
 * {@link defineDesign}.
 */
export type Design<Views extends ViewDefinitions> = AnyDesign & {
  readonly [Name in keyof Views]: ViewNameOf<Views[Name]>;
};

/**
 * Defines a design document, and returns the names of its views, which know their rows.
 *
 * The map functions say which rows a view has: give the document a type, and return what `emit` returns.
 * A function that emits several rows returns them in an array; one with a body in braces may give `emit` a
 * type instead: `(doc: Pet, emit: Emit<string, number>) => { … }`. Otherwise keys and values are unknown.
 *
 * `db.designs.deploy(design)` writes it, and `db.designs.drift(design)` tells whether the server has
 * another one. `JSON.stringify(design)` shows what is written. The functions are those of
 * {@link designDocument}, with the same limits.
 *
 * @param name - The name of the design document, with or without `_design/`.
 * @throws TypeError for a function that CouchDB cannot run, and for an unknown option.
 * @example
 * const design = defineDesign('pets', {
 *   views: { byLegs: { map: (doc: Pet, emit) => emit(doc.legs, doc.name), reduce: '_count' } },
 * });
 * pets.designs.deploy(design).subscribe();
 * pets.view(design.byLegs, { startKey: 2, reduce: false }); // rows with numbers as keys, names as values
 * pets.view(design.byLegs, { group: true });                // the number of pets for each number of legs
 * @see https://docs.couchdb.org/en/stable/ddocs/ddocs.html
 */
export function defineDesign<Views extends ViewDefinitions>(
  name: string,
  definition: TypedDesignDefinition<Views>,
): Design<Views> {
  const isObject = typeof definition === 'object' && definition !== null;
  const all = isObject ? { ...definition, name } : definition;
  const document = encodeDesign(all as object as DesignDefinition, 'defineDesign');
  const ddoc = document._id.slice('_design/'.length);
  const design: Record<string | symbol, unknown> = {};
  for (const view of Object.keys(definition.views ?? {})) design[view] = `${ddoc}/${view}`;
  Object.defineProperty(design, DOCUMENT, { value: document });
  if (!Object.hasOwn(design, 'toJSON'))
    Object.defineProperty(design, 'toJSON', { value: () => document });
  return design as Design<Views>;
}

/** Returns the document of a design; other values as they are. */
export function documentOf(design: unknown): unknown {
  const { [DOCUMENT]: document = design } = Object(design) as { readonly [DOCUMENT]?: unknown };
  return document;
}
