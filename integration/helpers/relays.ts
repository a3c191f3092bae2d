import { Couch } from 'corduroy';
import { relay } from 'corduroy/relay';
import type { Relay, RelayOptions, RelayStats } from 'corduroy/relay';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstValueFrom } from 'rxjs';
import { server } from './server.ts';

/** Relays that take turns at one address. */
export class Relays {
  /** How many there were, and how many slow listeners they have cut off. */
  count = 0;
  slow = 0;
  readonly #couch: Couch;
  readonly #options: RelayOptions;
  #port = 0;
  #server: Server | null = null;
  #relay: Relay | null = null;

  constructor(origin: string, options: RelayOptions) {
    const auth = [server.username, server.password] as const;
    this.#couch = new Couch(origin, { auth });
    this.#options = options;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  stats(): Promise<RelayStats> {
    return firstValueFrom((this.#relay as Relay).stats$);
  }

  async begin(): Promise<void> {
    this.#relay = relay(this.#couch, this.#options);
    this.#server = createServer(this.#relay).listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    this.count += 1;
  }

  /** Ends the relay: in good order within some milliseconds, or at once if that is null. */
  async end(over: number | null): Promise<void> {
    const [old, ended] = [this.#server as Server, this.#relay as Relay];
    const closed = once(old, 'close');
    old.close();
    if (over === null) old.closeAllConnections();
    await ended.close({ over: over ?? 0 });
    const { slow } = (await this.stats()).ended;
    this.slow += slow;
    await sleep(50);
    old.closeAllConnections();
    await closed;
  }
}
