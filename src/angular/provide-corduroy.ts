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
 * Injects the `Couch` that `provideCorduroy` provides. Sends nothing.
 *
 * @param token - Selects the server if you provide several. Default: the server without a token.
 * @throws Error outside an injection context, and if no `Couch` is provided.
 */
export function injectCouch(token?: InjectionToken<Couch>): Couch {
  const couch = inject(token ?? Couch, { optional: true });
  if (couch !== null) return couch;
  const [name, call] =
    token === undefined
      ? ['Couch', 'provideCorduroy()']
      : [`Couch for ${token.toString()}`, 'provideCorduroy({ token, … })'];
  throw new Error(`No ${name} is provided: add ${call} to your providers`);
}

/**
 * Injects a database whose documents have the fields of `T`. Sends nothing.
 *
 * @param nameOrToken - A name on the server of `provideCorduroy`, or a token of
 * {@link databaseToken}.
 * @example
 * readonly #orders = injectDatabase<Order>('orders');
 * @throws Error outside an injection context, and if no `Couch` is provided.
 * @throws TypeError for an invalid database name.
 */
export function injectDatabase<T extends object = AnyFields>(
  nameOrToken: string | InjectionToken<Database<T>>,
): Database<T> {
  return typeof nameOrToken === 'string' ? injectCouch().use<T>(nameOrToken) : inject(nameOrToken);
}

/**
 * Creates an injection token for a database. It needs no provider: it contains the name, the server
 * and the type of the documents.
 *
 * @param name - The database's name.
 * @param couch - The token of its server. Default: the server without a token.
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

interface ApplicationContext {
  readonly zone: NgZone;
  readonly tasks: PendingTasks;
  readonly scheduler: SchedulerLike;
  /** Whether the application runs in server-side rendering (SSR). */
  readonly isServer: boolean;
}

/**
 * Connects a transport to Angular's stability. The application is not stable while a request is in
 * flight, so that SSR renders the response. Feeds run outside the zone and do not delay stability.
 * SSR never opens a feed: the feed stays silent.
 */
export function applicationTransport(
  transport: Transport,
  application: ApplicationContext,
): Transport {
  const { zone, tasks, scheduler, isServer } = application;
  return {
    budget: transport.budget ?? null,
    send(request) {
      if (request.endless === true) {
        if (isServer) return NEVER;
        return new Observable((subscriber) =>
          zone.runOutsideAngular(() => transport.send(request).subscribe(subscriber)),
        );
      }
      return new Observable((subscriber) => {
        const done = tasks.add();
        // The next read often starts one turn later; the application must not become stable in
        // between.
        subscriber.add(() => {
          scheduler.schedule(done);
        });
        return transport.send(request).subscribe(subscriber);
      });
    },
  };
}

const HYDRATION = new InjectionToken('corduroy: state of the hydration', {
  providedIn: 'root',
  factory: () => ({ isOver: false }),
});

/** The options of {@link provideCorduroy}: the server, and those of a `Couch`. */
export interface CorduroyOptions extends CouchOptions {
  /**
   * The server's URL, or the URLs of the nodes of a cluster.
   * @defaultValue 'http://127.0.0.1:5984'
   */
  readonly url?: string | readonly string[] | undefined;
  /** The injection token, if you provide several servers. @defaultValue the class `Couch` */
  readonly token?: InjectionToken<Couch> | undefined;
  /**
   * Which responses SSR writes into the page, so that the browser does not request them again. With
   * `'all'`, everyone who receives the page receives all data that was read for it.
   * @defaultValue 'public'
   */
  readonly transfer?: Transfer | undefined;
}

/**
 * Provides a `Couch` to an application, for {@link injectCouch} and {@link injectDatabase}. Sends
 * nothing until the application subscribes.
 *
 * - **Zones:** timers and feeds run outside Angular's zone.
 * - **Stability:** the application is not stable while a request is in flight. Feeds do not delay
 *   it.
 * - **SSR:** no feed is opened. Responses are written into the page, and the browser does not
 *   request them again.
 *
 * @param options - The options, or a function that returns them. Angular calls the function in an
 * injection context when the `Couch` is first injected. If you provide several servers, pass the
 * options of those with a `token` as an object.
 * @example
 * bootstrapApplication(App, { providers: [provideCorduroy({ url: 'https://couch.example.org' })]
 * });
 * @throws TypeError for invalid options, when the `Couch` is first injected.
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
      useFactory: () => watchHydration(inject(ApplicationRef), inject(HYDRATION)),
    },
  ]);
}

/** Records the end of hydration: from then on the responses in the page may be out of date. */
function watchHydration(application: ApplicationRef, hydration: { isOver: boolean }): () => void {
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
  const inApplication = applicationTransport(transport, {
    zone: inject(NgZone),
    tasks: inject(PendingTasks),
    scheduler,
    isServer,
  });
  const urls: string[] = [];
  const couch = new Couch(url, {
    ...rest,
    scheduler,
    transport: withTransferState(inApplication, urls, transfer, isServer),
  });
  // The URLs of requests contain no credentials, and neither does `couch.url`.
  const all = typeof url === 'string' ? [url] : url;
  urls.push(...all.map((one) => new Couch(one).url));
  return couch;
}

function withTransferState(
  transport: Transport,
  urls: readonly string[],
  transfer: Transfer,
  isServer: boolean,
): Transport {
  const state = inject(TransferState);
  if (isServer) return recordingTransport(transport, state, urls, transfer);
  if (transfer === 'none') return transport;
  return replayingTransport(transport, state, urls, inject(HYDRATION));
}
