import { afterEach, describe, expect, it } from '@jest/globals';
import { browserCause } from '../src/http/browser-causes.ts';

// Why a browser refused a request, as far as a page can know. A test with a browser covers its policy.

const original = Object.getOwnPropertyDescriptor(globalThis, 'location');
afterEach(() => {
  if (original === undefined) Reflect.deleteProperty(globalThis, 'location');
  else Object.defineProperty(globalThis, 'location', original);
});
const at = (address: string): void => {
  Object.defineProperty(globalThis, 'location', { value: new URL(address), configurable: true });
};

describe('the cause of a request without an answer', () => {
  it('is unknown outside of browsers', () => {
    expect(browserCause('http://couch.test/pets')).toBeNull();
  });

  it.each([
    ['https://app.test/', 'http://couch.test:5984/pets', /mixed content/, false],
    ['https://app.test/', 'http://localhost:5984/pets', /its CORS settings keep/, true],
    ['https://app.test/', 'http://127.0.0.1:5984/pets', /its CORS settings keep/, true],
    ['https://app.test/', 'http://[::1]:5984/pets', /its CORS settings keep/, true],
    ['https://app.test/', 'https://couch.test/pets', /origins = https:\/\/app.test,/, true],
    ['http://app.test/', 'http://couch.test:5984/pets', /Browsers do not tell this from/, true],
  ])('from %s to %s', (page, url, hint, transient) => {
    at(page);
    const cause = browserCause(url);
    expect(cause?.hint).toMatch(hint);
    expect(cause?.transient).toBe(transient);
  });

  it('is not guessed for the origin of the page', () => {
    at('https://app.test/orders');
    expect(browserCause('https://app.test/db/pets')).toBeNull();
  });
});
