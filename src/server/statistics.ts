import { mergeMap, of } from 'rxjs';
import { httpError } from '../errors/from-response.ts';
import type { Connection } from '../http/connection.ts';
import { asArray, asObject } from '../http/decode.ts';
import { Operation, operation } from '../http/operation.ts';
import { segment } from '../http/url.ts';
import { mustBe } from '../model/must-be.ts';

/** A branch of the statistics, or a leaf: `{ value, type, desc }`. */
export type Statistics = Readonly<Record<string, unknown>>;

export function statistics(
  connection: Connection,
  name?: string,
  node = '_local',
): Operation<Statistics> {
  if (name === '') throw mustBe('stats: name', 'a path like httpd/requests', name);
  const path = (name ?? '')
    .split('/')
    .map((part) => (part ? `/${segment(part)}` : ''))
    .join('');
  const read = (below: string) =>
    connection.json(
      () => ({ path: `/_node/${segment(node)}/_stats${below}` }),
      (body, { headers, request }) => ({
        // The server answers null, and not 404, for a path that is not there.
        found: body === null ? null : asObject(body),
        details: { status: 404, error: 'not_found', reason: 'no such statistic', headers, request },
      }),
    );
  const settle = ({
    found,
    details,
  }: {
    found: Statistics | null;
    details: Parameters<typeof httpError>[0];
  }): Statistics => {
    if (found === null) throw httpError(details);
    return found;
  };
  return new Operation(
    read(path).pipe(
      // What CouchDB 1.x called httpd/requests is couchdb/httpd/requests now.
      mergeMap((answer) => (answer.value.found === null ? read(`/couchdb${path}`) : of(answer))),
      mergeMap((answer) => [{ ...answer, value: settle(answer.value) }]),
    ),
  );
}

/** Something that the server is doing in the background. */
export interface ActiveTask {
  /** `'database_compaction'`, `'view_compaction'`, `'indexer'`, `'replication'`… */
  readonly type: string;
  readonly pid: string;
  /** In percent, where it is known. */
  readonly progress?: number;
  /** Seconds since 1970. */
  readonly started_on: number;
  readonly updated_on: number;
  readonly [detail: string]: unknown;
}

export function activeTasks(connection: Connection): Operation<ActiveTask[]> {
  return operation(
    connection,
    () => ({ path: '/_active_tasks' }),
    (body) => asArray(body) as ActiveTask[],
  );
}
