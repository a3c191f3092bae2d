/** The processes of `bench/relay.mjs` and `bench/relay-polls.mjs`, and their requests to CouchDB. */
import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { clock } from './processes.mjs';

/** How long an answer may take, in milliseconds. */
const LATEST = 120_000;

/** Returns a function that sends requests with the credentials of a URL, and one that ends them. */
export function connectTo(server) {
  const agent = new Agent({ keepAlive: true });
  const auth = [server.username, server.password].map(decodeURIComponent).join(':');
  const headers = { 'content-type': 'application/json' };
  /** Sends a request. Resolves with the time and the text of its answer. */
  const send = (method, target, body, origin = server.origin) =>
    new Promise((resolve, reject) => {
      const options = { method, agent, auth, headers };
      const sent = request(`${origin}${target}`, options, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => (text += part));
        response.once('end', () => {
          if (response.statusCode < 300) resolve({ at: clock(), text });
          else reject(new Error(`${method} ${target}: ${response.statusCode} ${text}`));
        });
      });
      sent.once('error', reject);
      sent.end(body);
    });
  return { send, close: () => agent.destroy() };
}

/** A child process. */
export class Child {
  #process;
  #awaited = [];

  constructor(file, execArgv = []) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), { execArgv });
    this.#process.on('message', (message) => {
      if (message.error !== undefined) this.#fail(new Error(message.error));
      const index = this.#awaited.findIndex(({ accepts }) => accepts(message));
      if (index >= 0) this.#awaited.splice(index, 1)[0].resolve(message);
    });
    this.#process.once('exit', () => this.#fail(new Error(`${file} has ended`)));
  }

  /** Resolves with the next message that is accepted. */
  next(accepts = () => true) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('An answer took too long')), LATEST);
      const settled = (message) => {
        clearTimeout(timer);
        resolve(message);
      };
      this.#awaited.push({ accepts, resolve: settled, reject });
    });
  }

  ask(message, accepts) {
    const answer = this.next(accepts);
    this.#process.send(message);
    return answer;
  }

  async end() {
    this.#awaited = [];
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.disconnect();
    await ended;
  }

  #fail(error) {
    for (const { reject } of this.#awaited.splice(0)) reject(error);
  }
}
