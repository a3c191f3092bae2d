import {
  type Observable,
  combineLatest,
  concat,
  filter,
  map,
  merge,
  of,
  scan,
  skipWhile,
  switchMap,
  timer,
  withLatestFrom,
} from 'rxjs';
import { count, find, setText } from './elements.ts';
import { feed } from './feed.ts';
import type { Comparison } from './flight-count.ts';
import { flights$ } from './missed-flights.ts';

/** A message on the map: during a cut, and for some seconds after it. */
export interface MapMessage {
  readonly kind: 'cut' | 'restored' | 'none';
  readonly text: string;
}

/** How long the message about the return stays, in milliseconds. */
const STAYS = 6_000;

const NONE: MapMessage = { kind: 'none', text: '' };

/** How many missed flights the current connection has delivered. */
const missed$ = flights$.pipe(
  filter(({ missed }) => missed),
  scan(
    (before, { flights, connection }) => ({
      connection,
      flights: flights.length + (before.connection === connection ? before.flights : 0),
    }),
    { connection: 0, flights: 0 },
  ),
);

/** Says during a cut how many flights wait, and after it how many have arrived. */
export function message$(comparison$: Observable<Comparison>): Observable<MapMessage> {
  const during$ = combineLatest([comparison$, feed.state$]).pipe(
    // Before the first connection there is nothing to wait for.
    skipWhile(([, { status }]) => status !== 'live'),
    filter(([, { status }]) => status === 'waiting' || status === 'connecting'),
    map(([{ onTheWay }]): MapMessage => ({ kind: 'cut', text: textOfCut(onTheWay) })),
  );
  const after$ = missed$.pipe(
    withLatestFrom(comparison$),
    map(([{ flights }, { lost }]): MapMessage => {
      const text = `Restored: ${count(flights, 'missed flight')} arrived, ${lost} lost`;
      return { kind: 'restored', text };
    }),
  );
  return merge(during$, after$).pipe(
    switchMap((message) => {
      const end$ = timer(STAYS).pipe(map(() => NONE));
      return message.kind === 'restored' ? concat(of(message), end$) : of(message);
    }),
  );
}

function textOfCut(onTheWay: number): string {
  return `Connection cut: ${count(onTheWay, 'flight')} ${onTheWay === 1 ? 'waits' : 'wait'}`;
}

/** Shows a message on the map. */
export function showMessage({ kind, text }: MapMessage): void {
  const element = find('map-message');
  element.dataset['kind'] = kind;
  // The count during a cut changes too often for a screen reader: it announces only the result.
  element.ariaLive = kind === 'restored' ? 'polite' : 'off';
  // The old text stays while the message fades.
  if (kind !== 'none') setText(element, text);
}
