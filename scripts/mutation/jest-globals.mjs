/** The part of Jest's globals that the tests use. `tests` lists what they declared. */
export { expect } from 'expect';

/** The worker limits the time of each test. */
export const jest = { setTimeout() {} };

export const tests = [];
let scope = { name: '', parent: null, before: [], after: [], beforeAll: [], afterAll: [] };

const each = (declare) => (table) => (name, body) => {
  const isTable = table.every((row) => Array.isArray(row));
  for (const [index, row] of table.entries()) {
    const values = isTable ? row : [row];
    declare(`${name} ${index}`, () => body(...values));
  }
};

export function describe(name, body) {
  const parent = scope;
  scope = {
    name: `${parent.name} > ${name}`,
    parent,
    before: [],
    after: [],
    beforeAll: [],
    afterAll: [],
  };
  body();
  scope = parent;
}
describe.each = each(describe);

export function it(name, body) {
  tests.push({ name: `${scope.name} > ${name}`, scope, body });
}
it.each = each(it);
it.skip = () => {};
export const test = it;

export const beforeEach = (hook) => scope.before.push(hook);
export const afterEach = (hook) => scope.after.push(hook);
export const beforeAll = (hook) => scope.beforeAll.push(hook);
export const afterAll = (hook) => scope.afterAll.push(hook);

/** Declares the tests of a file: `load` imports it. */
export async function declareIn(file, load) {
  const parent = scope;
  scope = { name: file, parent: null, before: [], after: [], beforeAll: [], afterAll: [] };
  await load();
  scope = parent;
}

/** Runs a test with its hooks. Throws what the test throws. */
export async function runTest({ scope: own, body }) {
  const scopes = [];
  for (let at = own; at !== null; at = at.parent) scopes.unshift(at);
  for (const at of scopes) for (const hook of [...at.beforeAll, ...at.before]) await hook();
  try {
    await body();
  } finally {
    for (const at of scopes.toReversed())
      for (const hook of [...at.after, ...at.afterAll]) await hook();
  }
}
