import { ChangeDetectionStrategy, Component, computed, inject } from '@angular/core';
import { liveSignal } from 'corduroy/angular';
import { ORDERS } from './order';

const WORDS = {
  idle: 'Idle',
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Offline',
  paused: 'Paused',
  failed: 'Failed',
} as const;

/** Whether what is on the page is up to date. */
@Component({
  selector: 'app-connection-badge',
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `<span class="badge" role="status" [attr.data-status]="status()">{{ word() }}</span>`,
})
export class ConnectionBadge {
  // The state is that of the one connection that all live queries share; listening opens none.
  readonly #state$ = inject(ORDERS).allDocs$().state$;
  readonly #state = liveSignal(() => this.#state$);
  protected readonly status = computed(() => {
    const state = this.#state();
    // Trying again is no better than waiting for that.
    if (state?.status === 'connecting' && state.attempt > 0) return 'waiting';
    return state?.status ?? 'idle';
  });
  protected readonly word = computed(() => WORDS[this.status()]);
}
