// Whether the other side is still there: a page cannot see ping frames, so it asks.

const SILENCE = 40_000;
const ANSWER = 10_000;
const DOUBT = 5_000; // the same, where there is a reason to doubt
const LATE = 5_000; // a timer that is so late was held up, with the page or the machine

/** Asks after 40 s of silence, and gives up when there is no answer in 10 s. */
export class Heartbeat {
  #ask: () => void;
  #dead: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #heard = Date.now();
  #asked = 0;
  #due = 0;

  /** `ask` sends a ping, `dead` is called once when nothing answers it. */
  constructor(ask: () => void, dead: () => void) {
    this.#ask = ask;
    this.#dead = dead;
    this.#sleep(SILENCE);
  }

  /** There was a sign of life. */
  heard(): void {
    this.#heard = Date.now();
    this.#asked = 0;
  }

  /** There is a reason to think that nobody is there: ask now. */
  doubt(wait = DOUBT): void {
    this.#asked = Date.now();
    this.#ask();
    this.#sleep(wait);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #sleep(wait: number): void {
    this.stop();
    this.#due = Date.now() + wait;
    this.#timer = setTimeout(() => this.#look(), wait);
  }

  #look(): void {
    const now = Date.now();
    const left = this.#heard + SILENCE - now;
    if (now > this.#due + LATE) this.doubt();
    else if (this.#asked) this.#dead();
    else if (left > 0) this.#sleep(left);
    else this.doubt(ANSWER);
  }
}
