import {
  ChangeDetectionStrategy,
  Component,
  ElementRef,
  effect,
  inject,
  input,
  output,
  signal,
  viewChild,
} from '@angular/core';
import { CurrencyPipe } from '@angular/common';
import type { Draft } from 'corduroy';
import { Conflicts } from './conflicts';
import { FIELD_LABELS } from './order';
import type { EditableField, Order } from './order';

/** Shows both values of each contested field, and emits the user's choice. */
@Component({
  selector: 'app-conflict-dialog',
  imports: [CurrencyPipe],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <dialog
      #dialog
      aria-labelledby="conflict-title"
      (cancel)="$event.preventDefault(); postpone.emit()"
    >
      @if (open() && conflicts.pending(); as conflict) {
        <h2 id="conflict-title">Another user changed this order</h2>
        <p>Select the value to keep for each field.</p>
        @for (field of contested(); track field) {
          <fieldset>
            <legend>{{ labels[field] }}</legend>
            @for (side of sides; track side.label) {
              <label>
                <input
                  type="radio"
                  [name]="'conflict-' + field"
                  [checked]="fromTheirs().has(field) === side.isTheirs"
                  (change)="choose(field, side.isTheirs)"
                />
                <span>
                  <small>{{ side.label }}</small>
                  @let value = side.isTheirs ? conflict.theirs[field] : mine()[field];
                  @if (field === 'total') {
                    {{ value | currency: 'EUR' }}
                  } @else if (value === '') {
                    <em>Empty</em>
                  } @else {
                    {{ value }}
                  }
                </span>
              </label>
            }
          </fieldset>
        }
        <footer>
          <button type="button" (click)="keep.emit(fromTheirs())">Keep this</button>
          <button class="quiet" type="button" (click)="postpone.emit()">Back to editing</button>
        </footer>
      }
    </dialog>
  `,
})
export class ConflictDialog {
  readonly open = input.required<boolean>();
  readonly mine = input.required<Draft<Order>>();
  readonly contested = input.required<readonly EditableField[]>();
  /** Emits the fields whose value is taken from the other user. */
  readonly keep = output<ReadonlySet<EditableField>>();
  /** Emits when the user closes the dialogue without a decision. */
  readonly postpone = output<void>();

  protected readonly conflicts = inject(Conflicts);
  protected readonly labels = FIELD_LABELS;
  protected readonly sides = [
    { label: 'Yours', isTheirs: false },
    { label: 'Theirs', isTheirs: true },
  ];
  protected readonly dialog = viewChild.required<ElementRef<HTMLDialogElement>>('dialog');
  protected readonly fromTheirs = signal<ReadonlySet<EditableField>>(new Set());

  constructor() {
    effect(() => {
      const { nativeElement } = this.dialog();
      if (!this.open()) return nativeElement.close();
      this.fromTheirs.set(new Set());
      if (!nativeElement.open) nativeElement.showModal();
    });
  }

  protected choose(field: EditableField, isTheirs: boolean): void {
    const chosen = new Set(this.fromTheirs());
    if (isTheirs) chosen.add(field);
    else chosen.delete(field);
    this.fromTheirs.set(chosen);
  }
}
