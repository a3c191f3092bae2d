import { CorduroyError, isKind } from './corduroy-error.ts';

/** A fault that a schema found in a document. */
export interface SchemaIssue {
  readonly message: string;
  /** The path in the document: `['owner', 'name']`; empty for the document itself. */
  readonly path: readonly (string | number)[];
}

/** Thrown if a document does not fit the schema of its database. */
export class SchemaError extends CorduroyError {
  override readonly name = 'SchemaError' as const;
  /** The id of the document; null if it has none yet. */
  readonly id: string | null;
  /** Whether the document was read, or is to be written. */
  readonly direction: 'read' | 'write';
  /** All faults that the schema found. */
  readonly issues: readonly SchemaIssue[];

  /** @param what - The place of the document among the arguments, such as `docs[3]`. */
  constructor(
    id: string | null,
    direction: 'read' | 'write',
    issues: readonly SchemaIssue[],
    what = 'The document',
  ) {
    const shown = issues.slice(0, 3).map(({ path, message }) => {
      const at = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`)).join('');
      return at === '' ? message : `${at.replace(/^\./, '')}: ${message}`;
    });
    const more = issues.length > 3 ? `; and ${issues.length - 3} more` : '';
    const name = id === null ? what : `${what} ${JSON.stringify(id)}`;
    super(`${name} does not fit the schema of the database: ${shown.join('; ')}${more}`);
    this.id = id;
    this.direction = direction;
    this.issues = issues;
  }
}

/** Tells whether an error is a {@link SchemaError}. */
export function isSchemaError(error: unknown): error is SchemaError {
  return isKind(error, 'SchemaError');
}
