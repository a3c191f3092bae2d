/** Why a browser refused a request, as far as the page can know. */
export interface BrowserCause {
  /** The cause and its fix. */
  readonly hint: string;
  /** Whether the same request may succeed later. */
  readonly transient: boolean;
}

/** The addresses that the Content-Security-Policy of the page has refused, the latest last. */
const refused: string[] = [];
const MAX_REFUSED = 20;
let observed = false;

/**
 * Records which requests the Content-Security-Policy of the page refuses, from the first call on. Browsers
 * tell the page so in an event, after `fetch` has failed.
 */
export function observePolicy(): void {
  if (observed || typeof globalThis.addEventListener !== 'function') return;
  observed = true;
  globalThis.addEventListener('securitypolicyviolation', (event: SecurityPolicyViolationEvent) => {
    if (!event.effectiveDirective.startsWith('connect-src')) return;
    refused.push(event.blockedURI);
    if (refused.length > MAX_REFUSED) refused.shift();
  });
}

/** Resolves when a browser has told whether its policy refused a request that has failed. */
export async function policyReported(): Promise<void> {
  if (observed) await new Promise((resolve) => setTimeout(resolve));
}

/** Hosts that browsers trust without TLS. */
const LOCAL = /^(?:localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Returns the cause of a request without an answer; null if the page has the server's origin. */
export function browserCause(url: string): BrowserCause | null {
  const page = globalThis.location;
  if (page?.origin === undefined) return null;
  const { protocol, hostname, origin } = new URL(url);
  if (page.protocol === 'https:' && protocol === 'http:' && !LOCAL.test(hostname))
    return {
      hint:
        'The page came over https, from where browsers send no requests to http (mixed content): ' +
        'reach CouchDB over https, for example through a proxy',
      transient: false,
    };
  if (refused.some((blocked) => blocked === origin || blocked.startsWith(`${origin}/`)))
    return {
      hint:
        'The Content-Security-Policy of the page allows no requests to this server: ' +
        `add ${origin} to its connect-src`,
      transient: false,
    };
  if (origin === page.origin) return null;
  return {
    hint:
      `If the server is there, its CORS settings keep its answers from pages of ${page.origin}: CouchDB ` +
      `needs [chttpd] enable_cors = true and [cors] origins = ${page.origin}, with credentials = true where ` +
      'cookies are sent, and with headers and methods that allow for this request. Browsers do not tell this ' +
      'from an unknown host, a refused certificate, or a port without TLS',
    transient: true,
  };
}
