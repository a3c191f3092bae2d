import { Directive, ElementRef, effect, inject, input, output } from '@angular/core';

/** Binds an amount of money to an input, with two decimals as in the list. */
@Directive({
  selector: 'input[appMoney]',
  host: {
    type: 'number',
    min: '0',
    step: '0.01',
    inputmode: 'decimal',
    '(input)': 'appMoneyChange.emit(typed)',
    '(blur)': 'format(typed)',
  },
})
export class MoneyInput {
  readonly appMoney = input.required<number>();
  readonly appMoneyChange = output<number>();

  readonly #element = inject<ElementRef<HTMLInputElement>>(ElementRef).nativeElement;

  constructor() {
    effect(() => {
      const amount = this.appMoney();
      // Formatting the amount during typing would move the cursor.
      const isFocused = this.#element.ownerDocument.activeElement === this.#element;
      if (!isFocused || this.typed !== amount) this.format(amount);
    });
  }

  /** The typed amount, rounded to cents. */
  protected get typed(): number {
    return Math.round((this.#element.valueAsNumber || 0) * 100) / 100;
  }

  protected format(amount: number): void {
    this.#element.value = amount.toFixed(2);
  }
}
