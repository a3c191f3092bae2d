import { describe, expect, it } from '@jest/globals';
import { offline, pageHidden } from 'corduroy';

/** A page as far as it is listened to. */
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

describe('the page', () => {
  it('tells that it is hidden, now and whenever that changes, and is left alone afterwards', () => {
    const page = new Page();
    const told: boolean[] = [];
    const subscription = pageHidden(page).subscribe((hidden) => told.push(hidden));
    page.hidden = true;
    page.dispatchEvent(new Event('visibilitychange'));
    subscription.unsubscribe();
    expect(told).toEqual([false, true]);
    expect(page.listeners).toBe(0);
  });

  it('tells that the browser is offline', () => {
    const page = new Page();
    const told: boolean[] = [];
    const subscription = offline(page, page).subscribe((off) => told.push(off));
    page.onLine = false;
    page.dispatchEvent(new Event('offline'));
    page.onLine = true;
    page.dispatchEvent(new Event('online'));
    subscription.unsubscribe();
    expect(told).toEqual([false, true, false]);
    expect(page.listeners).toBe(0);
  });

  it('is neither hidden nor offline where there is none', () => {
    const told: unknown[] = [];
    pageHidden(undefined).subscribe((hidden) => told.push(hidden));
    offline(undefined, undefined).subscribe((off) => told.push(off));
    expect(told).toEqual([false, false]);
  });
});
