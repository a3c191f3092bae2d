import { ChangeDetectionStrategy, Component, inject } from '@angular/core';
import { RouterLink, RouterOutlet } from '@angular/router';
import { Connection } from './connection';
import { ConnectionBadge } from './connection-badge';
import { LoginPage } from './login-page';
import { Session } from './session';

/** Shows the header and the page of the route, or the login form. */
@Component({
  selector: 'app-root',
  imports: [ConnectionBadge, LoginPage, RouterLink, RouterOutlet],
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <header class="top">
      <a class="brand" routerLink="/">Orders</a>
      @if (session.name(); as name) {
        <app-connection-badge />
        <span class="user">{{ name }}</span>
        <button class="quiet" type="button" (click)="session.logout()">Log out</button>
      }
    </header>
    @if (session.name() && connection.status() === 'waiting') {
      <p class="outage" role="status">
        The server does not answer. This page updates when the connection is back.
      </p>
    }
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
  protected readonly connection = inject(Connection);
  protected readonly session = inject(Session);
}
