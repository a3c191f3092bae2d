type Guess = (name: string) => string | null;

let guess: Guess = () => null;

/** Tells the media type that the name of a file stands for, or null. */
export function typeOfName(name: string): string | null {
  return guess(name);
}

/**
 * Chooses who knows media types. Node's door brings a library for it; in browsers a File knows its
 * own type, and a table of a thousand names would be the larger part of a page's bundle.
 */
export function setTypeOfName(by: Guess): void {
  guess = by;
}
