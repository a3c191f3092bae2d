/** Returns the generation of a revision: 3 for `3-917fa…`. */
export function generation(rev: string): number {
  const end = rev.indexOf('-');
  const number = Number(end === -1 ? rev : rev.slice(0, end));
  return Number.isInteger(number) ? number : 0;
}

/**
 * Orders revisions as CouchDB does when it picks a winner among live leaves: the higher generation
 * first, then the hash that sorts later. For `Array.prototype.sort`: the winner comes first.
 */
export function byWinner(a: string, b: string): number {
  const difference = generation(b) - generation(a);
  if (difference !== 0) return difference;
  return a === b ? 0 : a > b ? -1 : 1;
}
