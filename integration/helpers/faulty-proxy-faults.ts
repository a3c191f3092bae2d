/** A request that the proxy received, with its whole body. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Selects the requests that a fault affects. Default: all. */
export type Match = (request: SeenRequest) => boolean;

export interface FaultLimits {
  readonly match?: Match;
  /** The number of requests that it affects. @defaultValue Infinity */
  readonly times?: number;
}

export interface OwnAnswer extends FaultLimits {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | ((request: SeenRequest) => string);
}

/** A fault of an exchange. */
export type Fault =
  | { readonly kind: 'answer'; readonly answer: OwnAnswer }
  | { readonly kind: 'cutAfter'; readonly bytes: number; readonly of: 'body' | 'wire' }
  | { readonly kind: 'truncate'; readonly bytes: number }
  | { readonly kind: 'delay'; readonly milliseconds: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'lose'; readonly instead: LostAnswer };

/** What the client gets in place of an answer that the server gave. Default: a closed connection. */
export interface LostAnswer extends FaultLimits {
  readonly answer?: OwnAnswer;
  /** Runs when the server has answered, and before the client finds out. */
  readonly meanwhile?: () => Promise<unknown>;
}

interface Planned {
  readonly fault: Fault;
  readonly match: Match;
  left: number;
}

/** The planned faults, in order. */
export class FaultPlan {
  #planned: Planned[] = [];

  /** Plans a fault. Returns a function that cancels it. */
  add(fault: Fault, { match = () => true, times = Infinity }: FaultLimits = {}): () => void {
    const planned = { fault, match, left: times };
    this.#planned.push(planned);
    return () => {
      this.#planned = this.#planned.filter((other) => other !== planned);
    };
  }

  /** Returns the first fault of each kind for this request, and decrements its count. */
  take(request: SeenRequest): Partial<{ [K in Fault['kind']]: Extract<Fault, { kind: K }> }> {
    const taken: Partial<Record<Fault['kind'], Fault>> = {};
    for (const planned of this.#planned) {
      const { kind } = planned.fault;
      if (taken[kind] !== undefined || planned.left <= 0 || !planned.match(request)) continue;
      planned.left -= 1;
      taken[kind] = planned.fault;
    }
    this.#planned = this.#planned.filter(({ left }) => left > 0);
    return taken as ReturnType<FaultPlan['take']>;
  }

  clear(): void {
    this.#planned = [];
  }
}

/** Holds back the bytes of matching requests while it is closed. */
export class Gate {
  #match: Match | undefined;
  #opened = Promise.resolve();
  #open: () => void = () => {};

  shut(match: Match): void {
    this.open();
    this.#match = match;
    this.#opened = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  open(): void {
    this.#match = undefined;
    this.#open();
  }

  /** Resolves when the gate is open for this request. */
  async pass(request: SeenRequest): Promise<void> {
    for (;;) {
      if (!this.#match?.(request)) return;
      await this.#opened;
    }
  }
}
