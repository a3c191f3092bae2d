/** A generator of random values that one seed determines (mulberry32). */
export class Random {
  #state: number;

  /** @param salt - Separates the streams of values that share a seed. */
  constructor(seed: number, salt: string) {
    let hash = seed >>> 0;
    for (const char of salt) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
    this.#state = hash;
  }

  /** Returns a number from 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns a whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)] as T;
  }

  /** Returns a text of characters of an alphabet. */
  text(alphabet: string, min: number, max: number): string {
    const characters = Array.from(alphabet);
    let text = '';
    for (let rest = this.int(min, max); rest > 0; rest--) text += this.pick(characters);
    return text;
  }
}
