import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const project = fileURLToPath(new URL('../../', import.meta.url));

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly items?: readonly unknown[] };
  readonly result?: unknown;
}

interface Location {
  readonly uri: string;
  readonly range: { readonly start: { readonly line: number } };
}

/** A place in a file, with its lines counted from 0. */
export interface Place {
  readonly path: string;
  readonly line: number;
}

/** TypeScript's language server, used as an editor uses it. */
export interface LanguageServer {
  /** Returns the completions at `|` in the source of a module in the folder. */
  completions(source: string): Promise<string[]>;
  /** Returns where 'go to definition' leads at `|` in the source of a module in the folder. */
  definitions(source: string): Promise<Place[]>;
  close(): void;
}

/** Starts the server for modules in a folder, `integration` by default. */
export async function startLanguageServer(
  folder = join(project, 'integration'),
): Promise<LanguageServer> {
  const tsc = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url));
  const child = spawn(process.execPath, [tsc, '--lsp', '--stdio'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const waiting = new Map<number, (result: unknown) => void>();
  let received = Buffer.alloc(0);
  let last = 0;

  const send = (message: object): void => {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  };
  const ask = (method: string, params: object): Promise<unknown> =>
    new Promise((resolve) => {
      last += 1;
      waiting.set(last, resolve);
      send({ id: last, method, params });
    });
  const take = (message: Message): void => {
    const { id, method, params, result } = message;
    if (id === undefined) return;
    // The server requests the editor's settings; there are none.
    if (method !== undefined) send({ id, result: params?.items?.map(() => null) ?? null });
    else waiting.get(id)?.(result);
  };
  child.stdout.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    for (;;) {
      const head = received.indexOf('\r\n\r\n');
      if (head === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(received.toString('utf8', 0, head))?.[1]);
      const end = head + 4 + length;
      if (received.length < end) return;
      const text = received.toString('utf8', head + 4, end);
      received = received.subarray(end);
      take(JSON.parse(text) as Message);
    }
  });

  const rootUri = pathToFileURL(folder).href;
  const textDocument = { completion: { completionItem: {} } };
  await ask('initialize', { processId: process.pid, rootUri, capabilities: { textDocument } });
  send({ method: 'initialized', params: {} });
  let documents = 0;

  /** Opens a module with the cursor at `|`. */
  function open(source: string): object {
    documents += 1;
    // The file does not need to exist.
    const uri = pathToFileURL(join(folder, `edited-${documents}.ts`)).href;
    const [before = '', after = ''] = source.split('|');
    const text = before + after;
    const document = { uri, languageId: 'typescript', version: 1, text };
    send({ method: 'textDocument/didOpen', params: { textDocument: document } });
    const lines = before.split('\n');
    const position = { line: lines.length - 1, character: lines.at(-1)?.length ?? 0 };
    return { textDocument: { uri }, position };
  }

  return {
    async completions(source) {
      const answer = await ask('textDocument/completion', open(source));
      const { items } = answer as { items: readonly { label: string }[] };
      return items.map(({ label }) => label.replace(/\?$/, '').replace(/^"(.*)"$/, '$1'));
    },
    async definitions(source) {
      const answer = await ask('textDocument/definition', open(source));
      return (answer as readonly Location[]).map(({ uri, range }) => ({
        path: fileURLToPath(uri),
        line: range.start.line,
      }));
    },
    close() {
      child.kill();
    },
  };
}
