import { find, show } from './elements.ts';
import type { Comparison } from './flight-count.ts';

/** Shows the flights written beside the flights that have arrived. */
export function showFlights({ written, arrived, onTheWay, lost }: Comparison, live: boolean): void {
  show('written', written);
  show('arrived', arrived);
  show('on-the-way', onTheWay);
  show('lost', lost);
  find('flights').dataset['proof'] = proofOf(lost, onTheWay, live);
}

/** While the feed is live, some flights are always on the way: that is no reason to warn. */
function proofOf(lost: number, onTheWay: number, live: boolean): 'lost' | 'behind' | 'complete' {
  if (lost > 0) return 'lost';
  return onTheWay > 0 && !live ? 'behind' : 'complete';
}
