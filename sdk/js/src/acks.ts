// When to acknowledge: for many messages at once where many come.

const PAUSE = 50; // ms between two acknowledgements

/** Acknowledges over one connection what is handled and was heard on it: at once, and then every 50 ms. */
export class Acks {
  #send: (offset: number) => void;
  #heard = 0;
  #handled = 0;
  #told: number;
  #last = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `cursor` is where the connection began. */
  constructor(cursor: number, send: (offset: number) => void) {
    this.#heard = this.#told = cursor;
    this.#send = send;
  }

  /** The gateway sent a message; one that it was told of already it did not hear of. */
  heard(offset: number): void {
    this.#heard = Math.max(this.#heard, offset);
    if (offset <= this.#told) this.#told = offset - 1;
    this.handled(this.#handled);
  }

  /** Everything up to an offset is handled. */
  handled(offset: number): void {
    this.#handled = offset;
    const wait = this.#last + PAUSE - Date.now();
    if (wait <= 0) this.tell();
    else this.#timer ??= setTimeout(() => this.tell(), wait);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Acknowledge now. */
  tell(): void {
    this.stop();
    // What was sent on another connection alone the gateway does not take an acknowledgement of.
    const offset = Math.min(this.#handled, this.#heard);
    if (offset <= this.#told) return;
    this.#told = offset;
    this.#last = Date.now();
    this.#send(offset);
  }
}
