// Random schedules of writes, with the faults that strike them. A seed always makes the same one.

/** What an edit does to a document. */
export type EditKind = 'plain' | 'attachment' | 'deleted' | 'forbidden' | 'large' | 'missing stub';

/** The copy of a document that an edit starts from. */
export type EditBase = 'copy' | 'stale' | 'none';

/** One document of a save. */
export interface Edit {
  readonly id: string;
  readonly base: EditBase;
  readonly kind: EditKind;
  /** Another client creates the document first. */
  readonly met?: boolean;
}

/** What a save does about conflicts. */
export type SaveMode =
  | 'plain'
  | 'merge: all fields'
  | 'merge: tokens only'
  | 'merge: fields()'
  | 'merge: null'
  | 'merge: throws'
  | 'force'
  | 'resolveConflicts';

/** What the function makes that the client passes to `upsert` or `resolveLeaves`. */
export type ChangeKind =
  'all fields' | 'tokens only' | 'attachment' | 'forbidden' | 'large' | 'null' | 'throws';

/** What another client does, without faults. */
export type RivalAct = 'edit' | 'delete' | 'leaf';

export type Operation =
  | { readonly op: 'save'; readonly edit: Edit; readonly mode: SaveMode }
  | { readonly op: 'save list'; readonly edits: readonly Edit[]; readonly mode: SaveMode }
  | { readonly op: 'save coalesced'; readonly edits: readonly Edit[] }
  | { readonly op: 'save leaves'; readonly id: string; readonly kinds: readonly EditKind[] }
  | { readonly op: 'delete'; readonly id: string; readonly base: 'copy' | 'stale' }
  | { readonly op: 'upsert'; readonly id: string; readonly change: ChangeKind }
  | { readonly op: 'upsert list'; readonly ids: readonly string[]; readonly change: ChangeKind }
  | { readonly op: 'resolveLeaves'; readonly id: string; readonly change: ChangeKind }
  | { readonly op: 'putAttachment'; readonly id: string }
  | { readonly op: 'deleteAttachment'; readonly id: string }
  | { readonly op: 'read'; readonly id: string }
  | { readonly op: 'rival'; readonly id: string; readonly act: RivalAct };

/** What happens to one request of a step. */
export type StepFault = { readonly at: number } & (
  | { readonly kind: 'drop' }
  | { readonly kind: 'lose'; readonly rival?: 'edit' | 'delete' }
  | { readonly kind: 'lose, and answer'; readonly status: number }
  | { readonly kind: 'cut'; readonly of: 'body' | 'wire'; readonly bytes: number }
  | { readonly kind: 'truncate'; readonly bytes: number }
  | { readonly kind: 'delay'; readonly milliseconds: number }
  | { readonly kind: 'answer'; readonly status: number; readonly body: string }
);

export interface Step {
  readonly do: Operation;
  readonly faults: readonly StepFault[];
  /** What another client does when the client's merge is called for the first time. */
  readonly rival?: RivalAct;
}

export interface Schedule {
  readonly seed: number;
  readonly transport: number;
  readonly steps: readonly Step[];
}

/** The ids that the steps of a schedule share. Those of large lists are used once. */
export const POOL = ['a', 'b', 'c'] as const;

/** Random numbers from 0 to 1 (mulberry32): the same seed gives the same ones. */
export function randomFrom(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

export function makeSchedule(seed: number): Schedule {
  return new Maker(seed).schedule();
}

type Weights<K extends string> = Readonly<Partial<Record<K, number>>>;

const OPERATIONS: Weights<Operation['op']> = {
  save: 18,
  'save list': 20,
  'save coalesced': 5,
  'save leaves': 8,
  delete: 6,
  upsert: 12,
  'upsert list': 8,
  resolveLeaves: 14,
  putAttachment: 5,
  deleteAttachment: 2,
  read: 5,
  rival: 6,
};
const EDITS: Weights<EditKind> = {
  plain: 60,
  attachment: 16,
  deleted: 6,
  forbidden: 8,
  large: 5,
  'missing stub': 5,
};
const FRESH: Weights<EditKind> = {
  plain: 88,
  attachment: 5,
  forbidden: 4,
  large: 1.5,
  'missing stub': 1.5,
};
const LEAVES: Weights<EditKind> = { plain: 70, attachment: 22, forbidden: 8 };
const BASES: Weights<EditBase> = { copy: 65, stale: 20, none: 15 };
const MODES: Weights<SaveMode> = {
  plain: 40,
  'merge: all fields': 14,
  'merge: tokens only': 12,
  'merge: fields()': 12,
  'merge: null': 3,
  'merge: throws': 3,
  force: 4,
  resolveConflicts: 12,
};
const CHANGES: Weights<ChangeKind> = {
  'all fields': 50,
  'tokens only': 18,
  attachment: 10,
  forbidden: 9,
  large: 6,
  null: 4,
  throws: 3,
};
const ACTS: Weights<RivalAct> = { edit: 60, delete: 15, leaf: 25 };
const FAULTS: Weights<StepFault['kind']> = {
  drop: 14,
  lose: 26,
  'lose, and answer': 12,
  cut: 10,
  truncate: 10,
  delay: 6,
  answer: 32,
};

class Maker {
  readonly #seed: number;
  readonly #random: () => number;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = randomFrom(seed);
  }

  schedule(): Schedule {
    const steps: Step[] = [];
    const length = 2 + this.#below(5);
    while (steps.length < length) {
      const operation = this.#operation(steps.length);
      if (operation.op === 'resolveLeaves' && this.#chance(0.8)) {
        const kinds = Array.from({ length: 1 + this.#below(3) }, () => this.#pick(LEAVES));
        steps.push({ do: { op: 'save leaves', id: operation.id, kinds }, faults: [] });
      }
      const rival = this.#chance(0.15) ? this.#pick(ACTS) : undefined;
      steps.push({
        do: operation,
        faults: operation.op === 'rival' ? [] : this.#faults(),
        ...(rival !== undefined && { rival }),
      });
    }
    return { seed: this.#seed, transport: this.#below(3), steps };
  }

  #operation(place: number): Operation {
    const op = this.#pick(OPERATIONS);
    const id = this.#of(POOL);
    switch (op) {
      case 'save':
        return { op, edit: this.#edit(id), mode: this.#pick(MODES) };
      case 'save list':
        return { op, edits: this.#edits(place), mode: this.#pick(MODES) };
      case 'save coalesced':
        return { op, edits: this.#some().map((one) => this.#edit(one)) };
      case 'save leaves':
        return {
          op,
          id,
          kinds: Array.from({ length: 1 + this.#below(3) }, () => this.#pick(LEAVES)),
        };
      case 'delete':
        return { op, id, base: this.#chance(0.8) ? 'copy' : 'stale' };
      case 'upsert':
      case 'resolveLeaves':
        return { op, id, change: this.#pick(CHANGES) };
      case 'upsert list':
        return { op, ids: this.#some(), change: this.#pick(CHANGES) };
      case 'rival':
        return { op, id, act: this.#pick(ACTS) };
      default:
        return { op, id };
    }
  }

  #edit(id: string): Edit {
    return { id, base: this.#pick(BASES), kind: this.#pick(EDITS) };
  }

  /** 1 to 200 documents, mostly few. */
  #edits(place: number): Edit[] {
    const size = Math.round(200 ** (this.#random() ** 4));
    const pool = this.#some()
      .slice(0, size)
      .map((id) => this.#edit(id));
    const fresh = Array.from({ length: size - pool.length }, (_, i): Edit => ({
      id: `${place}.${i}`,
      base: 'none',
      kind: this.#pick(FRESH),
      ...(this.#chance(0.05) && { met: true }),
    }));
    // Those of the pool are anywhere in the list.
    for (const edit of pool) fresh.splice(this.#below(fresh.length + 1), 0, edit);
    return fresh;
  }

  #faults(): StepFault[] {
    if (this.#chance(0.4)) return [];
    const first = this.#fault(Math.floor(4 * this.#random() ** 1.7));
    return this.#chance(0.2) ? [first, this.#fault(first.at + 1)] : [first];
  }

  #fault(at: number): StepFault {
    const kind = this.#pick(FAULTS);
    switch (kind) {
      case 'lose': {
        const rival = this.#chance(0.2) ? this.#of(['edit', 'edit', 'delete'] as const) : undefined;
        return { at, kind, ...(rival !== undefined && { rival }) };
      }
      case 'lose, and answer':
        return { at, kind, status: this.#of([500, 502, 503, 504]) };
      case 'cut':
        return this.#chance(0.5)
          ? { at, kind, of: 'wire', bytes: 1 + this.#below(200) }
          : { at, kind, of: 'body', bytes: this.#below(30) };
      case 'truncate':
        return { at, kind, bytes: this.#below(60) };
      case 'delay':
        return { at, kind, milliseconds: 1 + this.#below(5) };
      case 'answer': {
        const status = this.#of([500, 503, 412, 413, 429]);
        return { at, kind, status, body: this.#of([JSON.stringify(WORDS[status]), '<html>']) };
      }
      default:
        return { at, kind };
    }
  }

  #some(): string[] {
    return POOL.filter(() => this.#chance(0.6));
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  #chance(likelihood: number): boolean {
    return this.#random() < likelihood;
  }

  #of<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #pick<K extends string>(weights: Weights<K>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.#random() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    const [found] = entries.find(([, weight]) => (left -= weight) < 0) ?? entries[0] ?? [];
    if (found === undefined) throw new Error('Nothing to pick from');
    return found;
  }
}

const WORDS: Readonly<Record<number, object>> = {
  412: { error: 'precondition_failed', reason: 'made up' },
  413: { error: 'too_large', reason: 'made up' },
  429: { error: 'too_many_requests', reason: 'made up' },
  500: { error: 'internal_server_error', reason: 'made up' },
  503: { error: 'service_unavailable', reason: 'made up' },
};

/**
 * Makes a schedule that a server passes where revisions that are kept get lost if a function
 * validates: one without leaves, or one without refusals.
 */
export function withoutEither(schedule: Schedule, without: 'leaves' | 'refusals'): Schedule {
  const steps = schedule.steps.map((step): Step => {
    const { rival, ...rest } = step;
    const act = without === 'leaves' && rival === 'leaf' ? 'edit' : rival;
    return { ...rest, do: reduced(step.do, without), ...(act !== undefined && { rival: act }) };
  });
  return { ...schedule, steps };
}

function reduced(operation: Operation, without: 'leaves' | 'refusals'): Operation {
  if (without === 'leaves') {
    if (operation.op === 'save leaves') return { op: 'read', id: operation.id };
    const isLeaf = operation.op === 'rival' && operation.act === 'leaf';
    return isLeaf ? { ...operation, act: 'edit' } : operation;
  }
  const allowed = (kind: EditKind): EditKind => (kind === 'forbidden' ? 'plain' : kind);
  const edit = (one: Edit): Edit => ({ ...one, kind: allowed(one.kind) });
  switch (operation.op) {
    case 'save':
      return { ...operation, edit: edit(operation.edit) };
    case 'save list':
    case 'save coalesced':
      return { ...operation, edits: operation.edits.map(edit) };
    case 'save leaves':
      return { ...operation, kinds: operation.kinds.map(allowed) };
    case 'upsert':
    case 'upsert list':
    case 'resolveLeaves':
      return operation.change === 'forbidden' ? { ...operation, change: 'all fields' } : operation;
    default:
      return operation;
  }
}

/** The schedules that are simpler than this one by one thing, the greatest simplification first. */
export function* simplifications(schedule: Schedule): Generator<Schedule> {
  const { steps } = schedule;
  const withSteps = (next: readonly Step[]): Schedule => ({ ...schedule, steps: next });
  for (let i = 0; i < steps.length; i += 1) yield withSteps(spliced(steps, i));
  for (let i = 0; i < steps.length; i += 1) {
    const step = steps[i] as Step;
    for (const simpler of simplerSteps(step)) yield withSteps(spliced(steps, i, simpler));
  }
}

function* simplerSteps(step: Step): Generator<Step> {
  const { rival: _rival, ...alone } = step;
  if (step.rival !== undefined) yield alone;
  for (let i = 0; i < step.faults.length; i += 1)
    yield { ...step, faults: spliced(step.faults, i) };
  for (const simpler of simplerOperations(step.do)) yield { ...step, do: simpler };
}

function* simplerOperations(operation: Operation): Generator<Operation> {
  switch (operation.op) {
    case 'save list':
    case 'save coalesced':
      for (const edits of shorter(operation.edits)) yield { ...operation, edits };
      break;
    case 'save leaves':
      for (const kinds of shorter(operation.kinds)) yield { ...operation, kinds };
      break;
    case 'upsert list':
      for (const ids of shorter(operation.ids)) yield { ...operation, ids };
      break;
    default:
  }
}

function* shorter<T>(list: readonly T[]): Generator<readonly T[]> {
  if (list.length > 3) {
    const half = list.length >> 1;
    yield list.slice(0, half);
    yield list.slice(half);
  }
  if (list.length > 1 && list.length <= 8)
    for (let i = 0; i < list.length; i += 1) yield spliced(list, i);
}

/** The list without the element at a place, or with others in its stead. */
function spliced<T>(list: readonly T[], place: number, ...others: T[]): T[] {
  return [...list.slice(0, place), ...others, ...list.slice(place + 1)];
}

/** Writes a step on one line. */
export function describeStep(step: Step): string {
  return JSON.stringify(step, (_key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !('base' in value && 'kind' in value))
      return value;
    const { id, base, kind, met = false } = value as Edit;
    return [id, base, kind, ...(met ? ['met'] : [])].join(' ');
  }).replaceAll('"', '');
}
