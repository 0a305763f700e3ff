// The page's handlers, by event.

import type { Handler, Message } from "./types";

const ANY = "*";

/** Hands messages to the handlers of their event, and to those of `*`. */
export class Handlers {
  #byEvent = new Map<string, Set<Handler>>();
  #onError: (error: unknown) => void;

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  on(event: string, handler: Handler): void {
    const handlers = this.#byEvent.get(event) ?? new Set();
    this.#byEvent.set(event, handlers.add(handler));
  }

  off(event: string, handler: Handler): void {
    this.#byEvent.get(event)?.delete(handler);
  }

  /** Return who is to get a message. */
  of({ event }: Message): Handler[] {
    return [...this.#of(event), ...this.#of(ANY)];
  }

  /** Hand a message to these handlers; returns those that threw, as far as they are still wanted. */
  async offer(message: Message, handlers: Handler[]): Promise<Handler[]> {
    const failed = await Promise.all(
      handlers.map(async (handler) => {
        try {
          await handler(message);
        } catch (error) {
          this.#onError(error);
          return handler;
        }
      }),
    );
    const wanted = this.of(message);
    return failed.filter((handler) => handler !== undefined && wanted.includes(handler)) as Handler[];
  }

  #of(event: string): Iterable<Handler> {
    return this.#byEvent.get(event) ?? [];
  }
}
