import { Injectable, computed, inject } from '@angular/core';
import { liveSignal } from 'corduroy/angular';
import { ORDERS } from './order';

/** The state of the connection that all live queries share. */
@Injectable({ providedIn: 'root' })
export class Connection {
  // Reading the state opens no connection.
  readonly #state$ = inject(ORDERS).allDocs$().state$;
  readonly #state = liveSignal(() => this.#state$);

  readonly status = computed(() => {
    const state = this.#state();
    // The page stays offline until a retry succeeds.
    if (state?.status === 'connecting' && state.attempt > 0) return 'waiting';
    return state?.status ?? 'idle';
  });
}
