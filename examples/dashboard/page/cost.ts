import type { Cost } from './demo-server.ts';
import { figure, find, show } from './elements.ts';

/** Shows what the listeners of the demo cost. */
export function showCost(cost: Cost): void {
  find('cost').hidden = false;
  show('listeners-where', `Listeners at ${cost.hasRelay ? 'the relay' : 'CouchDB'}`);
  show('listeners', `${figure(cost.open)} of ${figure(cost.wanted)}`);
  show('couch-cpu', percent(cost.couchCpu));
  find('relay-line').hidden = !cost.hasRelay;
  show('relay-cpu', percent(cost.relayCpu));
  find('lag-line').hidden = cost.wanted === 0;
  show('lag', `${milliseconds(cost.lag)}, ${milliseconds(cost.slowLag)}`);
}

const percent = (value: number | null): string =>
  value === null ? 'unknown' : `${Math.round(value)} % of a core`;

const milliseconds = (value: number | null): string =>
  value === null ? '–' : `${Math.round(value)} ms`;
