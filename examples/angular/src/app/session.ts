import { Injectable, computed, signal } from '@angular/core';
import { injectCouch, liveSignal } from 'corduroy/angular';
import { isUnauthorized } from 'corduroy';

/** The session of the user. */
@Injectable({ providedIn: 'root' })
export class Session {
  readonly #couch = injectCouch();
  readonly #session = liveSignal(() => this.#couch.session$);

  readonly isKnown = computed(() => this.#session() !== undefined);
  /** The user's name; null means anonymous. */
  readonly name = computed(() => this.#session()?.name ?? null);
  /** The reason of the last failed login. */
  readonly error = signal<string | null>(null);
  readonly isBusy = signal(false);

  login(name: string, password: string): void {
    this.error.set(null);
    this.isBusy.set(true);
    this.#couch.login(name, password).subscribe({
      complete: () => this.isBusy.set(false),
      error: (error: unknown) => {
        this.isBusy.set(false);
        this.error.set(
          isUnauthorized(error)
            ? 'The name or the password is wrong.'
            : 'The server does not answer. Check that it is running.',
        );
      },
    });
  }

  logout(): void {
    this.#couch.logout().subscribe({ error: () => undefined });
  }
}
