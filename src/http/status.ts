import type { HTTPError } from '../errors/http-error.ts';
import type { ResponseHeaders } from './transport.ts';

/** What the server said to a request, as a value: `ok` tells whether it agreed. */
export type Status<T> =
  | {
      readonly ok: true;
      readonly code: number;
      readonly headers: ResponseHeaders;
      readonly value: T;
      readonly error: null;
      readonly exception: null;
    }
  | {
      readonly ok: false;
      readonly code: number;
      readonly headers: ResponseHeaders;
      readonly value: null;
      /** The class of the exception, for `status.error === NotFound`. */
      // oxlint-disable-next-line typescript/no-explicit-any -- any HTTPError class, whatever it takes
      readonly error: abstract new (...args: any[]) => HTTPError;
      readonly exception: HTTPError;
    };
