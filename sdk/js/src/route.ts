// Which way to the gateway: a WebSocket, or Server-Sent Events where a network lets none through.

import type { Transport } from "./types";

const TRIES = 2;

/** Turns to SSE when a WebSocket failed twice without one ever having opened; after each SSE connection it tries one again. */
export class Route {
  transport: Transport = "websocket";
  #works = false;
  #failures = 0;

  /** The connection opened. */
  opened(): void {
    if (this.transport === "websocket") this.#works = true;
  }

  /** The connection ended, or could not be made. */
  ended(): void {
    const turns = this.transport === "websocket" && !this.#works && ++this.#failures >= TRIES;
    this.transport = turns ? "sse" : "websocket";
  }

  /** The network is another one. */
  reset(): void {
    this.#works = false;
    this.#failures = 0;
  }
}
