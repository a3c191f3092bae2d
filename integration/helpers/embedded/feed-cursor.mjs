import { ordered } from './layout.mjs';
import { printSeq } from './sequences.mjs';

/** The sequence of one client in the changes of one database. */
export class Cursor {
  #db;
  #instance;
  #options;
  #seq;
  #left;

  constructor(db, instance, options) {
    this.#db = db;
    this.#instance = instance;
    this.#options = options;
    this.#seq = options.since;
    this.#left = options.limit;
  }

  get exhausted() {
    return this.#left <= 0;
  }

  get lastSeq() {
    return printSeq(this.#seq, this.#instance);
  }

  /** The rows after this sequence that pass the filter, up to the limit. */
  async read() {
    const { includeDocs, conflicts, attachments, style, descending, accepts } = this.#options;
    const { results, last_seq: end } = await this.#db.changes({
      since: descending ? 0 : this.#seq,
      // Filters need the documents even if the client does not request them.
      include_docs: true,
      conflicts: conflicts && includeDocs,
      attachments: attachments && includeDocs,
      style,
      descending,
      return_docs: true,
    });
    const rows = [];
    let pending = 0;
    for (const change of results) {
      if (this.#left <= 0) {
        pending += 1;
        continue;
      }
      this.#seq = change.seq;
      if (!accepts(change)) continue;
      this.#left -= 1;
      rows.push(this.#row(change));
    }
    if (pending === 0 && !descending) this.#seq = Math.max(this.#seq, end);
    return { rows, pending };
  }

  #row({ seq, id, changes, deleted, doc }) {
    return {
      seq: printSeq(seq, this.#instance),
      id,
      changes,
      ...(deleted && { deleted: true }),
      ...(this.#options.includeDocs && { doc: ordered(doc) }),
    };
  }
}
