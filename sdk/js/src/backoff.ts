// How long to wait before the next try: a random time below a bound that doubles.

const FIRST = 500;
const LONGEST = 30_000;

/** Full jitter: between 0 and a bound that doubles from 0.5 s to 30 s. */
export class Backoff {
  #failures = 0;

  /** Return the next wait, in ms. */
  next(): number {
    return Math.random() * Math.min(LONGEST, FIRST * 2 ** this.#failures++);
  }

  reset(): void {
    this.#failures = 0;
  }
}
