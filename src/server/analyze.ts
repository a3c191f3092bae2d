import type { Connection } from '../http/connection.ts';
import { arrayField } from '../http/decode.ts';
import { operation } from '../http/operation.ts';
import type { Operation } from '../http/operation.ts';
import { mustBe } from '../model/must-be.ts';

/** Asks an engine of full-text search what terms an analyzer makes of a text. */
export function analyze(
  connection: Connection,
  engine: 'search' | 'nouveau',
  analyzer: string,
  text: string,
): Operation<string[]> {
  const what = `${engine}Analyze`;
  if (typeof analyzer !== 'string' || analyzer === '')
    throw mustBe(`${what}: analyzer`, 'the name of an analyzer', analyzer);
  if (typeof text !== 'string') throw mustBe(`${what}: text`, 'a string', text);
  return operation(
    connection,
    () => ({ method: 'POST', path: `/_${engine}_analyze`, json: { analyzer, text } }),
    (body) => arrayField(body, 'tokens') as string[],
  );
}
