import { badRequest, json, Refusal } from './answers.mjs';

/** The server's configuration: sections of keys and string values, in memory. */
export class Config {
  #sections = new Map();

  constructor(defaults) {
    for (const [section, values] of Object.entries(defaults)) {
      this.#sections.set(section, new Map(Object.entries(values)));
    }
  }

  get(section, key) {
    return this.#sections.get(section)?.get(key);
  }

  /** Answers requests below /_node/_local/_config. `path` is the rest of the path. */
  handle(request, path) {
    const [section, key] = path;
    if (request.method === 'GET') return this.#read(section, key);
    if (section === undefined || key === undefined || path.length > 2) return undefined;
    if (request.method === 'PUT') {
      const value = request.json();
      if (typeof value !== 'string') throw badRequest('a JSON string expected');
      const old = this.get(section, key) ?? '';
      if (!this.#sections.has(section)) this.#sections.set(section, new Map());
      this.#sections.get(section).set(key, value);
      return json(200, old);
    }
    if (request.method === 'DELETE') {
      const old = this.get(section, key);
      if (old === undefined) throw unknown();
      this.#sections.get(section).delete(key);
      return json(200, old);
    }
    return undefined;
  }

  #read(section, key) {
    if (section === undefined) {
      const all = [...this.#sections].map(([name, values]) => [name, printed(values)]);
      return json(200, Object.fromEntries(all));
    }
    if (key === undefined) return json(200, printed(this.#sections.get(section)));
    const value = this.get(section, key);
    if (value === undefined) throw unknown();
    return json(200, value);
  }
}

const printed = (values) => Object.fromEntries(values ?? []);
const unknown = () => new Refusal(404, 'not_found', 'unknown_config_value');

export const defaults = {
  chttpd: { bind_address: '127.0.0.1', port: '0' },
  chttpd_auth: { timeout: '600' },
  couchdb: { max_document_size: '8000000', uuid: 'embedded' },
  log: { level: 'info', writer: 'stderr' },
  vendor: { name: 'Corduroy, for tests and demonstrations' },
};
