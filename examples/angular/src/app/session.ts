import { Injectable, computed, signal } from '@angular/core';
import { injectCouch, liveSignal } from 'corduroy/angular';
import { isUnauthorized } from 'corduroy';

/** Who is logged in. */
@Injectable({ providedIn: 'root' })
export class Session {
  readonly #couch = injectCouch();
  readonly #session = liveSignal(() => this.#couch.session$);

  readonly isKnown = computed(() => this.#session() !== undefined);
  readonly name = computed(() => this.#session()?.name ?? null);
  /** Why the last login failed. */
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
            ? 'That name and password do not belong together.'
            : 'The server does not answer. Is it running?',
        );
      },
    });
  }

  logout(): void {
    this.#couch.logout().subscribe({ error: () => undefined });
  }
}
