// Two cooks change one recipe. The second is told, merges, and nobody's work is lost.
import { Couch, isConflict } from 'corduroy';
import { catchError, concat, firstValueFrom, forkJoin, map, of } from 'rxjs';

interface Recipe {
  steps: string[];
}

const couch = new Couch('http://admin:password@127.0.0.1:5984');
const recipes = await firstValueFrom(couch.db<Recipe>('guide-recipes', { createIfMissing: true }));
await firstValueFrom(recipes.save({ _id: 'bread', steps: ['mix'] }));

const [first, second] = await firstValueFrom(
  forkJoin([recipes.get('bread'), recipes.get('bread')]),
);
first.steps.push('knead');
second.steps.push('bake');
await firstValueFrom(recipes.save(first));

const told = recipes.save(second).pipe(
  map(String),
  catchError((error: unknown) => {
    if (!isConflict(error)) throw error;
    return of(`in conflict: ${[...(error.resolution?.pending.keys() ?? [])].join()}`);
  }),
);

// The same with a way out: `merge` is given both copies, and what it returns is saved.
const merged = recipes
  .save(second, {
    merge: (mine, theirs) => ({
      ...mine,
      steps: [...new Set([...(theirs?.steps ?? []), ...mine.steps])],
    }),
  })
  .pipe(map(String));

const steps = recipes.get('bread').pipe(map((bread) => bread.steps));

concat(told, merged, steps).subscribe((said) => console.log(said));

// Prints:
// in conflict: bread
// <Success: 1 doc updated>
// [ 'mix', 'knead', 'bake' ]
