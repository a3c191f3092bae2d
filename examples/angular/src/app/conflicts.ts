import { Injectable, signal } from '@angular/core';
import { fields } from 'corduroy';
import type { Document, Draft, Merge } from 'corduroy';
import { Observable } from 'rxjs';
import { FIELDS } from './order';
import type { Field, Order } from './order';

/** An order that two have edited at the same time, and the fields that both have changed. */
export interface OpenConflict {
  readonly mine: Draft<Order>;
  readonly theirs: Document<Order>;
  readonly fields: readonly Field[];
  readonly decide: (theirs: ReadonlySet<Field>) => void;
}

/** Merges by itself what can be merged, and has somebody decide on the rest. */
@Injectable()
export class Conflicts {
  readonly #open = signal<OpenConflict | null>(null);
  /** What is to be decided now. */
  readonly open = this.#open.asReadonly();

  /** For `db.edit$(id, { merge })`. What it returns is waited for. */
  readonly merge: Merge<Order> = (mine, theirs, base) => {
    const merged = fields<Order>()(mine, theirs, base);
    if (theirs === null) return merged;
    const contested = (Object.keys(FIELDS) as Field[]).filter(
      (field) =>
        mine[field] !== theirs[field] &&
        mine[field] !== base?.[field] &&
        theirs[field] !== base?.[field],
    );
    if (contested.length === 0) return merged;
    return new Observable<Draft<Order>>((subscriber) => {
      const decide = (chosen: ReadonlySet<Field>): void => {
        const kept = contested.filter((field) => chosen.has(field));
        const decided = Object.fromEntries(kept.map((field) => [field, theirs[field]]));
        subscriber.next({ ...(merged as Draft<Order>), ...decided });
        subscriber.complete();
      };
      this.#open.set({ mine, theirs, fields: contested, decide });
      // Also where the page is left before there is a decision.
      return () => this.#open.set(null);
    });
  };

  resolve(theirs: ReadonlySet<Field>): void {
    this.#open()?.decide(theirs);
  }
}
