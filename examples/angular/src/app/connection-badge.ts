import { ChangeDetectionStrategy, Component, computed, inject } from '@angular/core';
import { Connection } from './connection';

const LABELS = {
  idle: 'Idle',
  connecting: 'Connecting',
  live: 'Live',
  waiting: 'Offline',
  paused: 'Paused',
  failed: 'Failed',
} as const;

/** Shows whether the page is up to date. */
@Component({
  selector: 'app-connection-badge',
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `<span class="badge" role="status" [attr.data-status]="status()">{{ label() }}</span>`,
})
export class ConnectionBadge {
  protected readonly status = inject(Connection).status;
  protected readonly label = computed(() => LABELS[this.status()]);
}
