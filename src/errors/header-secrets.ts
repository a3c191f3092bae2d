/**
 * Returns the secrets in a header of a request: its value, and the parts that a server may send back
 * alone. These are the text after a scheme such as `Bearer`, a decoded password, and each cookie.
 */
export function secretsOfHeader(name: string, value: string): string[] {
  if (name.toLowerCase() === 'cookie') return [value, ...cookieValues(value)];
  const [scheme = ''] = value.split(' ', 1);
  const rest = value.slice(scheme.length).trim();
  return /^basic$/i.test(scheme) ? [value, rest, passwordOf(rest)] : [value, rest];
}

/** Returns the secrets in all headers of a request. */
export function secretsOfHeaders(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => secretsOfHeader(name, value));
}

function cookieValues(header: string): string[] {
  return header.split(';').flatMap((pair) => {
    const value = pair.slice(pair.indexOf('=') + 1).trim();
    return [value, value.replace(/^"|"$/g, '')];
  });
}

/** Decodes the password of Basic credentials. Returns an empty text if they are malformed. */
function passwordOf(encoded: string): string {
  try {
    const bytes = Uint8Array.from(atob(encoded), (char) => char.charCodeAt(0));
    const pair = new TextDecoder().decode(bytes);
    return pair.slice(pair.indexOf(':') + 1);
  } catch {
    return '';
  }
}
