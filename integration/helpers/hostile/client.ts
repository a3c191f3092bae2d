import { fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Couch, fetchTransport, gotTransport } from 'corduroy';
import type { Transport } from 'corduroy';
import { firstValueFrom } from 'rxjs';
import type { Observable } from 'rxjs';
import type { AnswerFacts } from './answers.ts';
import { CHECK_SILENCE, isCheck, prepare } from './calls.ts';
import type { Prepared } from './calls.ts';
import { judge } from './judge.ts';
import type { Evidence, Fault, Outcome } from './judge.ts';
import { BEFORE, makePlan } from './plan.ts';
import type { Plan } from './plan.ts';
import type { FromServer, ToServer } from './server.ts';
import { watchProcess } from './watch.ts';

// The program of the client: it runs the cases over one transport, and prints a line of JSON for each
// fault. It has a process to itself, so that the test sees what is uncaught, and what it costs.

async function makeTransport(name: string): Promise<Transport> {
  if (name === 'gotTransport') return gotTransport();
  if (name === 'fetchTransport') return fetchTransport();
  // The module of undici replaces the dispatcher of Node's fetch as soon as it is loaded.
  const { undiciTransport } = await import('corduroy/undici');
  return undiciTransport();
}

/** What the program has to do. */
export interface Task {
  readonly transport: string;
  readonly seed: number;
  /** The numbers of the cases: from `first`, so many. */
  readonly first: number;
  readonly count: number;
  /** Whether these are the cases of bodies beyond the limit. */
  readonly large: boolean;
  /** The program of the server. */
  readonly server: string;
}

/** A line that the program prints. */
export type Line =
  | {
      readonly type: 'case';
      readonly index: number;
      readonly call: string;
      readonly auth: string;
    }
  | { readonly type: 'end'; readonly outcomes: Readonly<Record<string, number>> }
  | {
      readonly type: 'fault';
      readonly index: number;
      readonly call: string;
      readonly auth: string;
      readonly answer: string;
      readonly what: string;
      readonly detail: string;
    };

const task = JSON.parse(process.argv[2] ?? '') as Task;
const { seed, large } = task;
const transport = await makeTransport(task.transport);
const uncaught: { how: string; error: unknown }[] = [];
process.on('uncaughtException', (error) => uncaught.push({ how: 'an uncaught exception', error }));
process.on('unhandledRejection', (error) =>
  uncaught.push({ how: 'an unhandled rejection', error }),
);

const server = fork(task.server, [JSON.stringify([seed, large])]);
const received: FromServer[] = [];
let wake = (): void => {};
server.on('message', (message: FromServer) => {
  received.push(message);
  wake();
});

async function next<Type extends FromServer['type']>(
  _type: Type,
): Promise<Extract<FromServer, { type: Type }>> {
  while (received.length === 0) await new Promise<void>((resolve) => (wake = resolve));
  return received.shift() as Extract<FromServer, { type: Type }>;
}

function tell(message: ToServer): void {
  server.send(message);
}

function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** How long a call may take, in milliseconds. */
function patienceFor({ call, kind, auth }: Plan): number {
  if (call === 'changes$') return large ? 4000 : 120;
  if (call === 'nothing') return 20;
  if (kind === 'no end') return 150;
  // A call with a session or with a function as credentials makes several requests.
  return large ? 20_000 : auth === 'session' || auth === 'function' ? 3000 : 2000;
}

/** Whether a call may still run when the test unsubscribes. */
function mayLast({ call, kind }: Plan): boolean {
  return call === 'changes$' || call === 'nothing' || kind === 'no end';
}

/** @param checks - Tells whether the call has sent the read that looks for its write. */
function runCall(
  plan: Plan,
  call: () => Observable<unknown>,
  checks: () => boolean,
): Promise<Outcome> {
  return new Promise((resolve) => {
    let value: unknown;
    let observable: Observable<unknown>;
    try {
      observable = call();
    } catch (error) {
      resolve({ kind: 'thrown', error });
      return;
    }
    const finish = (outcome: Outcome): void => {
      clearTimeout(timer);
      clearInterval(crash);
      resolve(outcome);
    };
    const leave = (): void => {
      subscription.unsubscribe();
      finish(mayLast(plan) ? { kind: 'left', value } : { kind: 'hung' });
    };
    let timer = setTimeout(() => {
      // The call still ends, as soon as that read has been silent for its own time.
      if (!mayLast(plan) && checks()) timer = setTimeout(leave, CHECK_SILENCE);
      else leave();
    }, patienceFor(plan));
    // After an uncaught exception the call seldom ends.
    const crash = setInterval(() => {
      if (uncaught.length === 0) return;
      subscription.unsubscribe();
      finish({ kind: 'hung' });
    }, 40);
    const subscription = observable.subscribe({
      next: (emitted) => (value = emitted),
      error: (error: unknown) => finish({ kind: 'error', error }),
      complete: () => finish({ kind: 'value', value }),
    });
  });
}

async function runCase(plan: Plan, url: string): Promise<Evidence> {
  tell({ type: 'begin', index: plan.index });
  const { facts } = await next('ready');
  const recorded: unknown[] = [];
  let checks = false;
  const observed: Transport = {
    send(request) {
      checks ||= isCheck(plan, request);
      return transport.send(request);
    },
  };
  const prepared = prepare(seed, plan, url, observed, (error) => recorded.push(error));
  if (prepared.before !== null) {
    await firstValueFrom(prepared.before, { defaultValue: null }).catch(() => null);
  }
  if (large) globalThis.gc?.();
  const stop = watchProcess();
  const outcome = await runCall(plan, prepared.call, () => checks);
  const watched = stop();
  await secondCall(plan, prepared, recorded);
  // What is thrown late belongs to this case as well.
  await sleep(1);
  tell({ type: 'end' });
  const { own, foreign } = await next('report');
  const seen = { outcome, recorded, uncaught: uncaught.splice(0), watched, own, foreign };
  return { transport: task.transport, plan, facts, ...seen };
}

/** Shows what a `Couch` has learnt from cookies and redirects. */
async function secondCall(plan: Plan, { couch }: Prepared, recorded: unknown[]): Promise<void> {
  if (!/cookie|redirect/.test(plan.kind) || plan.call === 'odd ids') return;
  await firstValueFrom(couch.use('db').get('z')).catch((error: unknown) => recorded.push(error));
}

/** Whether a case must show a fault twice, because other programs can cause it. */
const isUnsteady = ({ what }: Fault): boolean =>
  /event loop|memory|does not end|timeout|redirect that/.test(what);

async function run(): Promise<void> {
  const { own } = await next('listening');
  // Loads and compiles what every case needs, before anything is measured.
  const couch = new Couch(own, { transport });
  for (let i = 0; i < 10; i++) await firstValueFrom(couch.request({ path: BEFORE }));
  const outcomes: Record<string, number> = {};
  for (let index = task.first; index < task.first + task.count; index++) {
    const plan = makePlan(seed, index, large);
    print({ type: 'case', index, call: plan.call, auth: plan.auth });
    const evidence = await runCase(plan, own);
    let faults = judge(evidence, large);
    if (faults.some((fault) => isUnsteady(fault))) {
      const again = judge(await runCase(plan, own), large);
      faults = faults.filter(
        (fault) => !isUnsteady(fault) || again.some(({ what }) => what === fault.what),
      );
    }
    const { kind } = evidence.outcome;
    outcomes[kind] = (outcomes[kind] ?? 0) + 1;
    report(plan, evidence.facts, faults);
  }
  print({ type: 'end', outcomes });
}

function report(plan: Plan, facts: AnswerFacts, faults: readonly Fault[]): void {
  const { index, call, auth } = plan;
  for (const { what, detail } of faults) {
    print({ type: 'fault', index, call, auth, answer: facts.summary, what, detail });
  }
}

try {
  await run();
} finally {
  server.disconnect();
  process.exitCode ??= 0;
  // Sockets that a hostile server holds open must not keep the program alive.
  process.stdout.write('', () => process.exit());
}
