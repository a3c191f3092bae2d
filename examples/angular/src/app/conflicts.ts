import { Injectable, signal } from '@angular/core';
import type { OnDestroy } from '@angular/core';
import { fields } from 'corduroy';
import type { Document, Draft, Merge } from 'corduroy';
import { Observable } from 'rxjs';
import { FIELD_LABELS } from './order';
import type { EditableField, Order } from './order';

/** A conflict that waits for a decision of the user. */
export interface PendingConflict {
  /** The order that the other user saved. */
  readonly theirs: Document<Order>;
  /** The revision that both users started from. */
  readonly base: Document<Order> | null;
  /** Takes the given fields from `theirs`, and keeps the other fields. */
  readonly decide: (fromTheirs: ReadonlySet<EditableField>) => void;
}

/** Returns the fields that both users changed to different values. */
export function contestedFields(
  mine: Draft<Order>,
  theirs: Document<Order>,
  base: Document<Order> | null,
): EditableField[] {
  return (Object.keys(FIELD_LABELS) as EditableField[]).filter(
    (field) =>
      mine[field] !== theirs[field] &&
      mine[field] !== base?.[field] &&
      theirs[field] !== base?.[field],
  );
}

/** Merges an order field by field, and asks the user about fields that both users changed. */
@Injectable()
export class Conflicts implements OnDestroy {
  readonly #pending = signal<PendingConflict | null>(null);
  #lastDecision: { rev: string; fromTheirs: ReadonlySet<EditableField> } | null = null;
  #isDestroyed = false;

  /** The conflict that waits for a decision; null if there is none. */
  readonly pending = this.#pending.asReadonly();

  /** The merge function for `edit$`, which waits until the returned Observable emits. */
  readonly merge: Merge<Order> = (mine, theirs, base) => {
    const merged = fields<Order>()(mine, theirs, base) as Draft<Order>;
    if (theirs === null || contestedFields(mine, theirs, base).length === 0) return merged;
    // No user can decide after the page is closed.
    if (this.#isDestroyed) return merged;
    // `edit$` merges again if the user typed before the decision, which still holds.
    const last = this.#lastDecision;
    if (last?.rev === theirs._rev) return takeFields(merged, theirs, last.fromTheirs);
    return new Observable<Draft<Order>>((subscriber) => {
      const decide = (chosen: ReadonlySet<EditableField>): void => {
        this.#lastDecision = { rev: theirs._rev, fromTheirs: chosen };
        subscriber.next(takeFields(merged, theirs, chosen));
        subscriber.complete();
      };
      this.#pending.set({ theirs, base, decide });
      return () => this.#pending.set(null);
    });
  };

  decide(fromTheirs: ReadonlySet<EditableField>): void {
    this.#pending()?.decide(fromTheirs);
  }

  ngOnDestroy(): void {
    this.#isDestroyed = true;
    this.decide(new Set());
  }
}

function takeFields(
  merged: Draft<Order>,
  theirs: Document<Order>,
  names: ReadonlySet<EditableField>,
): Draft<Order> {
  const taken = Object.fromEntries([...names].map((field) => [field, theirs[field]]));
  return { ...merged, ...taken };
}
