import { BehaviorSubject, Observable, Subject, first, observeOn } from 'rxjs';
import type { TestScheduler } from 'rxjs/testing';
import { crossTab } from 'corduroy/cross-tab';
import type { CrossTab, TabChannel } from 'corduroy/cross-tab';

type Tab = CrossTab & { readonly freeze: () => void; readonly thaw: () => void };

interface LockRequest {
  readonly grant: () => void;
  readonly lose: () => void;
}

/** The locks and channels that the tabs of one origin share in a browser, in virtual time. */
export class Browser {
  /** The messages between tabs, in order. */
  readonly messages: { readonly type: string }[] = [];
  readonly names = new Set<string>();
  readonly #scheduler: TestScheduler;
  readonly #locks = new Map<string, LockRequest[]>();
  readonly #channels = new Map<string, Set<Subject<unknown>>>();

  constructor(scheduler: TestScheduler) {
    this.#scheduler = scheduler;
  }

  /** Opens a tab. While it is frozen, it neither receives nor sends messages. */
  tab(): Tab {
    const active$ = new BehaviorSubject(true);
    const follow = crossTab({
      lock: (name, steal) => this.#lock(name, steal, active$),
      channel: (name) => this.#channel(name, active$),
    });
    return Object.assign(follow, {
      freeze: () => active$.next(false),
      thaw: () => active$.next(true),
    });
  }

  #lock(name: string, steal: boolean, active$: BehaviorSubject<boolean>): Observable<void> {
    return new Observable((subscriber) => {
      this.names.add(name);
      const queue = this.#locks.get(name) ?? [];
      this.#locks.set(name, queue);
      const own = {
        grant: () => subscriber.next(),
        // A frozen tab loses its lock at once, but notices it only after it has thawed.
        lose: () => active$.pipe(first(Boolean)).subscribe(() => subscriber.complete()),
      };
      if (steal) queue.splice(0, 1, own)[0]?.lose();
      else queue.push(own);
      if (queue[0] === own) own.grant();
      return () => {
        const index = queue.indexOf(own);
        if (index >= 0) queue.splice(index, 1);
        if (index === 0) queue[0]?.grant();
      };
    });
  }

  #channel(name: string, active$: BehaviorSubject<boolean>): TabChannel {
    const all = this.#channels.get(name) ?? new Set<Subject<unknown>>();
    this.#channels.set(name, all);
    const own = new Subject<unknown>();
    all.add(own);
    return {
      postMessage: (message) => {
        if (!active$.value) return;
        this.messages.push(message as { type: string });
        for (const other of all) if (other !== own) other.next(structuredClone(message));
      },
      addEventListener: (_type, listener) => {
        own.pipe(observeOn(this.#scheduler)).subscribe((data) => {
          if (active$.value) listener({ data });
        });
      },
      close: () => {
        all.delete(own);
        own.complete();
      },
    };
  }
}
