import { describe, expect, it } from '@jest/globals';
import { offline, pageHidden } from 'corduroy';

/** A stub of a page that counts its listeners. */
class Page extends EventTarget {
  hidden = false;
  onLine = true;
  listeners = 0;
  override addEventListener(...args: Parameters<EventTarget['addEventListener']>): void {
    this.listeners += 1;
    super.addEventListener(...args);
  }
  override removeEventListener(...args: Parameters<EventTarget['removeEventListener']>): void {
    this.listeners -= 1;
    super.removeEventListener(...args);
  }
}

describe('the state of the page', () => {
  it('is emitted as hidden or not, at once and at each change, until unsubscribing removes the listener', () => {
    const page = new Page();
    const emitted: boolean[] = [];
    const subscription = pageHidden(page).subscribe((hidden) => emitted.push(hidden));
    page.hidden = true;
    page.dispatchEvent(new Event('visibilitychange'));
    subscription.unsubscribe();
    expect(emitted).toEqual([false, true]);
    expect(page.listeners).toBe(0);
  });

  it('is emitted as offline or not', () => {
    const page = new Page();
    const emitted: boolean[] = [];
    const subscription = offline(page, page).subscribe((off) => emitted.push(off));
    page.onLine = false;
    page.dispatchEvent(new Event('offline'));
    page.onLine = true;
    page.dispatchEvent(new Event('online'));
    subscription.unsubscribe();
    expect(emitted).toEqual([false, true, false]);
    expect(page.listeners).toBe(0);
  });

  it('is neither hidden nor offline if there is no page', () => {
    const emitted: unknown[] = [];
    pageHidden(undefined).subscribe((hidden) => emitted.push(hidden));
    offline(undefined, undefined).subscribe((off) => emitted.push(off));
    expect(emitted).toEqual([false, false]);
  });
});
