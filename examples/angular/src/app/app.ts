import { ChangeDetectionStrategy, Component, inject } from '@angular/core';
import { RouterLink, RouterOutlet } from '@angular/router';
import { ConnectionBadge } from './connection-badge';
import { LoginPage } from './login-page';
import { Session } from './session';

/** The frame around the pages: what comes first is who asks. */
@Component({
  selector: 'app-root',
  imports: [ConnectionBadge, LoginPage, RouterLink, RouterOutlet],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <header>
      <a class="brand" routerLink="/">Orders</a>
      @if (session.name(); as name) {
        <app-connection-badge />
        <span class="user">{{ name }}</span>
        <button class="quiet" type="button" (click)="session.logout()">Log out</button>
      }
    </header>
    <main>
      @if (session.name()) {
        <router-outlet />
      } @else if (session.isKnown()) {
        <app-login-page />
      } @else {
        <p class="empty">Connecting …</p>
      }
    </main>
  `,
})
export class App {
  protected readonly session = inject(Session);
}
