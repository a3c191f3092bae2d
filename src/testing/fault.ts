/** Something that goes wrong with a feed, as a marble: see `fault`. */
export class Fault {
  readonly kind: 'cut' | 'silence' | 'replaced';

  /** @internal */
  constructor(kind: Fault['kind']) {
    this.kind = kind;
  }
}

/**
 * What can go wrong with a feed, to be given to marbles: `hot('-a--x', { a, x: fault.cut })`.
 *
 * - `cut`: the connections break. A `#` does the same, and is the last marble of its stream.
 * - `silence`: nothing comes over the connections that there are any more, not even a heartbeat.
 * - `replaced`: the database is deleted, and made again under the same name.
 */
export const fault: Readonly<Record<Fault['kind'], Fault>> = {
  cut: new Fault('cut'),
  silence: new Fault('silence'),
  replaced: new Fault('replaced'),
};
