// A web server whose handler takes several steps: one after the other with `relax`, as if they were
// synchronous, and aborted when the visitor leaves.
import { Couch, isNotFound, relax } from 'corduroy';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { concatMap, from } from 'rxjs';

interface Guest {
  visits: number;
}
const couch = new Couch('http://admin:password@127.0.0.1:5984');

const greet = (name: string) =>
  relax(function* () {
    const guests = yield* couch.db<Guest>('guide-guests', { createIfMissing: true });
    try {
      const guest = yield* guests.get(name);
      yield* guests.save({ ...guest, visits: guest.visits + 1 });
      return `Welcome back, ${name}: visit ${guest.visits + 1}`;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      yield* guests.save({ _id: name, visits: 1 });
      return `Welcome, ${name}`;
    }
  });

const web = createServer((request, response) => {
  const answer = greet((request.url ?? '').slice(1)).subscribe({
    next: (text) => response.end(text),
    error: () => response.writeHead(500).end(),
  });
  response.on('close', () => answer.unsubscribe());
}).listen(0, '127.0.0.1');

from(once(web, 'listening'))
  .pipe(
    concatMap(() => ['ada', 'bob', 'ada']),
    concatMap((name) => fetch(`http://127.0.0.1:${(web.address() as AddressInfo).port}/${name}`)),
    concatMap((response) => response.text()),
  )
  .subscribe({ next: (text) => console.log(text), complete: () => web.close() });

// Prints:
// Welcome, ada
// Welcome, bob
// Welcome back, ada: visit 2
