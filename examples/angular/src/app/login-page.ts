import { ChangeDetectionStrategy, Component, inject } from '@angular/core';
import { Session } from './session';

/** Shows the login form. */
@Component({
  selector: 'app-login-page',
  changeDetection: ChangeDetectionStrategy.OnPush,
  template: `
    <form class="card login" (submit)="login($event, name.value, password.value)">
      <h1>Log in</h1>
      <p class="soft">The terminal shows the names and passwords.</p>
      <label>Name <input #name name="name" autocomplete="username" required autofocus /></label>
      <label>
        Password
        <input #password name="password" type="password" autocomplete="current-password" required />
      </label>
      @if (session.error(); as error) {
        <p class="error" role="alert">{{ error }}</p>
      }
      <button type="submit" [disabled]="session.isBusy()">
        {{ session.isBusy() ? 'Logging in …' : 'Log in' }}
      </button>
    </form>
  `,
})
export class LoginPage {
  protected readonly session = inject(Session);

  protected login(event: Event, name: string, password: string): void {
    event.preventDefault();
    this.session.login(name, password);
  }
}
