import { formatDate } from '@angular/common';
import { Injectable, LOCALE_ID, Pipe, inject } from '@angular/core';
import type { PipeTransform, Signal } from '@angular/core';
import { toSignal } from '@angular/core/rxjs-interop';
import { distinctUntilChanged, map, timer } from 'rxjs';

const MINUTE = 60_000;

/** The current day. */
@Injectable({ providedIn: 'root' })
export class Today {
  // A timer until midnight would be late if the computer sleeps.
  readonly date: Signal<string> = toSignal(
    timer(0, MINUTE).pipe(
      map(() => new Date().toDateString()),
      distinctUntilChanged(),
    ),
    { initialValue: new Date().toDateString() },
  );
}

/** Formats a time, with the date if that is not `today`. */
@Pipe({ name: 'orderTime' })
export class OrderTimePipe implements PipeTransform {
  readonly #locale = inject(LOCALE_ID);

  transform(time: string, today: string): string {
    const isToday = new Date(time).toDateString() === today;
    return formatDate(time, isToday ? 'HH:mm' : 'd MMM, HH:mm', this.#locale);
  }
}
