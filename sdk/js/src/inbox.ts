// Messages on their way to the page's handlers: reliable ones in order, one after the other, none twice.

import type { Handlers } from "./handlers";
import type { Message, Place } from "./types";

const FIRST_AGAIN = 1_000; // ms until a message is offered again to a handler that threw; it doubles
const LONGEST_AGAIN = 30_000;

type Reliable = Message & { offset: number };

/** Hands each message over once the one before it is handled, and again while a handler throws. */
export class Inbox {
  #handlers: Handlers;
  #settled: (place: Place) => void;
  #queue: Reliable[] = [];
  #epoch = "";
  #taken = -1; // the highest offset that came
  #cursor = -1; // the highest offset that was handled
  #busy = false;
  #closed = false;

  /** `settled` is told how far the page has come. */
  constructor(handlers: Handlers, settled: (place: Place) => void) {
    this.#handlers = handlers;
    this.#settled = settled;
  }

  /** What is handled, or null where nothing was. */
  get place(): Place | null {
    return this.#cursor < 0 ? null : { cursor: this.#cursor, epoch: this.#epoch };
  }

  /** The highest offset that came, in whatever state it is now. */
  get taken(): number {
    return this.#taken;
  }

  /** Take a message, unless it came before. A live one, or any where there is no inbox (no epoch), waits for nothing. */
  take(message: Message, epoch: string | undefined): void {
    const { offset } = message;
    if (epoch === undefined || offset === undefined) {
      void this.#handlers.offer(message, this.#handlers.of(message));
      return;
    }
    this.enter(epoch);
    if (offset <= this.#taken) return;
    this.#taken = offset;
    this.#queue.push({ ...message, offset });
    if (!this.#busy) void this.#handOver();
  }

  /** Hand nothing over any more; what is in a handler now still counts when it is done. */
  close(): void {
    this.#closed = true;
  }

  /** Be in an epoch: in another one than before, offsets mean other messages, and those that wait may come anew. */
  enter(epoch: string): void {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#taken = this.#cursor = -1;
    this.#queue = [];
  }

  async #handOver(): Promise<void> {
    this.#busy = true;
    for (let message; !this.#closed && (message = this.#queue.shift()); ) {
      const epoch = this.#epoch;
      if (!(await this.#handle(message)) || epoch !== this.#epoch) continue;
      this.#cursor = message.offset;
      this.#settled({ cursor: message.offset, epoch });
    }
    this.#busy = false;
  }

  /** Offer a message until nobody throws; returns whether that came, before all was closed. */
  async #handle(message: Reliable): Promise<boolean> {
    let left = this.#handlers.of(message);
    for (let wait = FIRST_AGAIN; (left = await this.#handlers.offer(message, left)).length; wait *= 2) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(wait, LONGEST_AGAIN)));
      if (this.#closed) return false;
    }
    return true;
  }
}
