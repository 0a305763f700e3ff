// How long to wait before the next try, so that all who lost the same gateway come back evenly, and soon.

const UNTOLD = 2; // seconds to spread the first tries over, where the gateway told nothing
const LEAST = 0.5;
const MOST = 30;

/**
 * The first wait is by chance within the spread, and then it is the spread again: so those who lost a gateway at the same
 * moment stay spread, and are there a spread after it is back. Once they have waited for long, it is up to a quarter of that.
 */
export class Backoff {
  #spread = UNTOLD;
  #waited = 0;

  /** Return the next wait, in ms; `after`: the seconds that the gateway asked for, which has spread them itself. */
  next(after = this.#choose()): number {
    this.#waited += after;
    return after * 1000;
  }

  /** The connection held: begin anew. */
  reset(): void {
    this.#waited = 0;
  }

  /** The gateway says, in seconds, how far its clients are to be spread; where others are still to come, `more` alone counts. */
  tell(spread: number | undefined, more: boolean): void {
    if (spread !== undefined) this.#spread = Math.min(MOST, Math.max(spread, more ? this.#spread : LEAST));
  }

  #choose(): number {
    const chance = Math.random();
    const quarter = Math.min(MOST, this.#waited / 4);
    return this.#waited ? Math.max(this.#spread, (quarter * (1 + chance)) / 2) : chance * this.#spread;
  }
}
