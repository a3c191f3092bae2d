import { Observable } from 'rxjs';

/**
 * Waits for the lock of a name, or takes it away from whoever has it (`steal`), and holds it until it
 * is unsubscribed from. Emits when it is held; completes when somebody else took it.
 */
export type TabLock = (name: string, steal: boolean) => Observable<void>;

/** Locks that the tabs of one origin share. */
export function webLock(locks: LockManager): TabLock {
  return (name, steal) =>
    new Observable((subscriber) => {
      const aborter = new AbortController();
      const left = new Promise<void>((resolve) => subscriber.add(resolve));
      const hold = (): Promise<void> => {
        subscriber.next();
        return left;
      };
      locks.request(name, steal ? { steal } : { signal: aborter.signal }, hold).then(
        () => subscriber.complete(),
        (error: unknown) => {
          if (isAbort(error)) subscriber.complete();
          else subscriber.error(error);
        },
      );
      return () => aborter.abort();
    });
}

function isAbort(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError'
  );
}
