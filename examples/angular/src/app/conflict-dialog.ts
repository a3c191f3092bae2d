import {
  ChangeDetectionStrategy,
  Component,
  ElementRef,
  effect,
  inject,
  signal,
  viewChild,
} from '@angular/core';
import { Conflicts } from './conflicts';
import { FIELDS } from './order';
import type { Field } from './order';

/** Shows what two have written into the same fields, and asks which of it is to stay. */
@Component({
  selector: 'app-conflict-dialog',
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <dialog #dialog aria-labelledby="conflict-title" (cancel)="$event.preventDefault()">
      @if (conflicts.open(); as conflict) {
        <h2 id="conflict-title">Somebody else was here</h2>
        <p>Both of you have changed this order. Which is to stay?</p>
        @for (field of conflict.fields; track field) {
          <fieldset>
            <legend>{{ names[field] }}</legend>
            <label>
              <input
                type="radio"
                [name]="field"
                [checked]="!theirs().has(field)"
                (change)="choose(field, false)"
              />
              <span> <small>Yours</small>{{ conflict.mine[field] }} </span>
            </label>
            <label>
              <input
                type="radio"
                [name]="field"
                [checked]="theirs().has(field)"
                (change)="choose(field, true)"
              />
              <span> <small>Theirs</small>{{ conflict.theirs[field] }} </span>
            </label>
          </fieldset>
        }
        <button type="button" (click)="conflicts.resolve(theirs())">Keep this</button>
      }
    </dialog>
  `,
})
export class ConflictDialog {
  protected readonly conflicts = inject(Conflicts);
  protected readonly names = FIELDS;
  protected readonly dialog = viewChild.required<ElementRef<HTMLDialogElement>>('dialog');
  /** The fields of which theirs is to stay. */
  protected readonly theirs = signal<ReadonlySet<Field>>(new Set());

  constructor() {
    effect(() => {
      const { nativeElement } = this.dialog();
      if (this.conflicts.open() === null) return nativeElement.close();
      this.theirs.set(new Set());
      if (!nativeElement.open) nativeElement.showModal();
    });
  }

  protected choose(field: Field, theirs: boolean): void {
    const chosen = new Set(this.theirs());
    if (theirs) chosen.add(field);
    else chosen.delete(field);
    this.theirs.set(chosen);
  }
}
