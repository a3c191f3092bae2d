import { isPlatformServer } from '@angular/common';
import {
  APP_BOOTSTRAP_LISTENER,
  ApplicationRef,
  InjectionToken,
  NgZone,
  PLATFORM_ID,
  PendingTasks,
  TransferState,
  inject,
  makeEnvironmentProviders,
} from '@angular/core';
import type { EnvironmentProviders } from '@angular/core';
import { NEVER, Observable } from 'rxjs';
import type { SchedulerLike } from 'rxjs';
import { recordingTransport, replayingTransport } from './transfer-transport.ts';
import type { Transfer } from './transfer-transport.ts';
import { outsideZone } from './zone.ts';
import { Couch } from '../couch.ts';
import type { CouchOptions } from '../couch.ts';
import type { Database } from '../database.ts';
import { DEFAULT_URL } from '../http/connection-options.ts';
import { defaultTransport } from '../http/fetch-transport.ts';
import type { Transport } from '../http/transport.ts';
import type { AnyFields } from '../model/document.ts';
import { invalidArgument } from '../model/invalid-argument.ts';

/**
 * Returns the `Couch` that `provideCorduroy` made. Nothing is sent.
 *
 * @param token - Of which server, where there are several; by default the one without a token.
 * @throws Error outside an injection context, and where nothing is provided.
 */
export function injectCouch(token?: InjectionToken<Couch>): Couch {
  const couch = inject(token ?? Couch, { optional: true });
  if (couch !== null) return couch;
  const missing =
    token === undefined ? 'provideCorduroy()' : `provideCorduroy() for ${token.toString()}`;
  throw new Error(`Nobody provides a Couch: ${missing} is missing among the providers`);
}

/**
 * Returns a database, whose documents have the fields of `T`: by its name on the server of
 * `provideCorduroy`, or by its token. Nothing is sent.
 *
 * @example
 * readonly #orders = injectDatabase<Order>('orders');
 *
 * @throws Error outside an injection context, and where no server is provided; TypeError for a name
 * that CouchDB would refuse.
 */
export function injectDatabase<T extends object = AnyFields>(
  nameOrToken: string | InjectionToken<Database<T>>,
): Database<T> {
  return typeof nameOrToken === 'string' ? injectCouch().use<T>(nameOrToken) : inject(nameOrToken);
}

/**
 * Makes a token for a database, which needs no provider: it carries the name, the server and the type
 * of the documents, so that each is said once.
 *
 * @param name - Of the database.
 * @param couch - The token of its server, where that is not the one without a token.
 *
 * @example
 * export const ORDERS = databaseToken<Order>('orders');
 * readonly #orders = inject(ORDERS);
 */
export function databaseToken<T extends object = AnyFields>(
  name: string,
  couch?: InjectionToken<Couch>,
): InjectionToken<Database<T>> {
  return new InjectionToken<Database<T>>(`the database ${name}`, {
    providedIn: 'root',
    factory: () => injectCouch(couch).use<T>(name),
  });
}

interface Application {
  readonly zone: NgZone;
  readonly tasks: PendingTasks;
  readonly scheduler: SchedulerLike;
  /** Whether this is the server that renders pages. */
  readonly isServer: boolean;
}

/**
 * Carries requests as an application of Angular's needs it: while one is under way the application is
 * not stable, so that a server renders what was read. A feed is not waited for, runs outside the
 * zone, and on a server is not opened at all: it stays silent.
 */
export function applicationTransport(carrier: Transport, application: Application): Transport {
  const { zone, tasks, scheduler, isServer } = application;
  return {
    send(request) {
      if (request.endless === true) {
        if (isServer) return NEVER;
        return new Observable((subscriber) =>
          zone.runOutsideAngular(() => carrier.send(request).subscribe(subscriber)),
        );
      }
      return new Observable((subscriber) => {
        const done = tasks.add();
        // A read often makes way for the next, a turn later: the page is not ready in between.
        subscriber.add(() => {
          scheduler.schedule(done);
        });
        return carrier.send(request).subscribe(subscriber);
      });
    },
  };
}

const HYDRATION = new InjectionToken('the hydration of the page', {
  providedIn: 'root',
  factory: () => ({ isOver: false }),
});

/** Which server an application uses, and how. */
export interface CorduroyOptions extends CouchOptions {
  /**
   * The server's URL, or those of the nodes of a cluster.
   * @defaultValue 'http://127.0.0.1:5984'
   */
  readonly url?: string | readonly string[] | undefined;
  /** What the `Couch` is injected by where there are several; by default the class `Couch`. */
  readonly token?: InjectionToken<Couch> | undefined;
  /**
   * Which answers a server that renders pages writes into them, where the browser finds them again.
   * With `'all'`, whoever gets the page gets everything that was read for it.
   * @defaultValue 'public'
   */
  readonly transfer?: Transfer | undefined;
}

/**
 * Provides a `Couch` to an application, for {@link injectCouch} and {@link injectDatabase}. Nothing is
 * sent until something is subscribed to.
 *
 * Timers and feeds run outside Angular's zone. While a request is under way the application is not
 * stable; feeds are not waited for. On a server that renders pages no feed is opened; what is read
 * there is written into the page, and not read again by the browser.
 *
 * @param options - Or a function that returns them, called in an injection context when the `Couch` is
 * first asked for; where several servers are provided, `token` must be given by value.
 *
 * @example
 * bootstrapApplication(App, { providers: [provideCorduroy({ url: 'https://couch.example.org' })] });
 *
 * @throws TypeError for options that cannot be right: when the `Couch` is first asked for.
 */
export function provideCorduroy(
  options: CorduroyOptions | (() => Omit<CorduroyOptions, 'token'>) = {},
): EnvironmentProviders {
  const isFunction = typeof options === 'function';
  const token = isFunction ? undefined : options.token;
  return makeEnvironmentProviders([
    {
      provide: token ?? Couch,
      useFactory: () => createCouch(isFunction ? options() : options),
    },
    {
      provide: APP_BOOTSTRAP_LISTENER,
      multi: true,
      useFactory: () => endOfHydration(inject(ApplicationRef), inject(HYDRATION)),
    },
  ]);
}

/** When the application is stable for the first time, what the server read has been used. */
function endOfHydration(application: ApplicationRef, hydration: { isOver: boolean }): () => void {
  const end = (): void => {
    hydration.isOver = true;
  };
  return () => {
    application.whenStable().then(end, end);
  };
}

function createCouch(options: CorduroyOptions): Couch {
  const {
    url = DEFAULT_URL,
    token: _token,
    transfer = 'public',
    transport = defaultTransport(),
    scheduler = outsideZone(inject(NgZone)),
    ...rest
  } = options;
  if (!['public', 'all', 'none'].includes(transfer)) {
    throw invalidArgument('provideCorduroy: transfer', "'public', 'all' or 'none'", transfer);
  }
  const isServer = isPlatformServer(inject(PLATFORM_ID));
  const carrier = applicationTransport(transport, {
    zone: inject(NgZone),
    tasks: inject(PendingTasks),
    scheduler,
    isServer,
  });
  const urls: string[] = [];
  const couch = new Couch(url, {
    ...rest,
    scheduler,
    transport: transferring(carrier, urls, transfer, isServer),
  });
  // As requests will have them: without credentials.
  const all = typeof url === 'string' ? [url] : url;
  urls.push(...all.map((one) => new Couch(one).url));
  return couch;
}

function transferring(
  carrier: Transport,
  urls: readonly string[],
  transfer: Transfer,
  isServer: boolean,
): Transport {
  const state = inject(TransferState);
  if (isServer) return recordingTransport(carrier, state, urls, transfer);
  if (transfer === 'none') return carrier;
  return replayingTransport(carrier, state, urls, inject(HYDRATION));
}
