import type { JsonCodec } from '../../model/json.ts';
import type { RequestBody, TransportRequest } from '../../http/transport.ts';
import { readRequest } from '../route.ts';
import type { ServerRequest } from '../route.ts';

/** A request with the parts that tests rarely compare: its headers, and its body as sent. */
export interface MemoryRequest extends ServerRequest {
  /** The names are lower-case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly raw?: RequestBody | undefined;
  /** Whether the path is not encoded properly. */
  readonly isMalformed?: boolean;
}

/** Converts a request of a transport. */
export function readMemoryRequest(request: TransportRequest, codec: JsonCodec): MemoryRequest {
  const headers = Object.fromEntries(
    Object.entries(request.headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  const isMalformed = !isDecodable(new URL(request.url).pathname);
  return { ...readRequest(request, codec), headers, raw: request.body, isMalformed };
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
