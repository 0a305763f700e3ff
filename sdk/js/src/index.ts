// The page's side of pushgate: connects, receives, acknowledges, comes back by itself.

import { chooseDevice, hasTabs } from "./device";
import { Handlers } from "./handlers";
import { Inbox } from "./inbox";
import { watchLife } from "./life";
import { JSON_CODEC, chooseOpener } from "./socket";
import { Tokens } from "./tokens";
import type { Handler, Options, State } from "./types";
import { type Setting, Visit } from "./visit";

export type { Codec, Handler, Keep, Message, Options, State, Transport, WebSocketClass } from "./types";

/**
 * Receives what a user is pushed, from now until `close`, over as many connections as it takes.
 *
 * With an inbox reliable messages come in order, none twice; each is handed over when the handlers of the one
 * before have resolved, and is acknowledged when its own have. A handler that throws is offered the message again.
 */
export class Pushgate {
  #options: Options;
  #setting: Omit<Setting, "back">;
  #handlers = new Handlers((error) => this.#complain(error));
  #inbox = new Inbox(this.#handlers, (place) => this.#visit?.settle(place));
  #state: State = { name: "connecting", transport: "websocket" };
  #visit: Visit | undefined;
  #unwatch: () => void;

  /**
   * `url` is like `wss://push.example/ws`, or `/ws` on the page's own origin. Connects once the script that made it
   * has run: handlers that it names miss nothing. Throws TypeError for options that are not right.
   */
  constructor(url: string, options: Options) {
    this.#options = options;
    const { device, inbox = device !== undefined, codec = JSON_CODEC, storage } = options;
    if (!inbox && device !== undefined) throw new TypeError("device: asks for an inbox, and inbox is false");
    const shared = hasTabs() && inbox && options.shared !== false;
    const alone = hasTabs() && !shared;
    this.#setting = {
      url: new URL(url, globalThis.location?.href),
      open: chooseOpener(codec, options.WebSocket),
      tokens: new Tokens(options.token),
      inbox: this.#inbox,
      device: inbox ? chooseDevice(device, alone, storage) : undefined,
      shared,
      storage,
      from: options.from ?? (alone ? "now" : "oldest"),
      onState: (state) => this.#tell(state),
      onError: (error) => this.#complain(error),
    };
    this.#unwatch = watchLife({
      online: () => this.#visit?.connection.renew(),
      wake: () => this.#visit?.connection.wake(),
      doubt: () => this.#visit?.connection.doubt(),
      hide: () => this.#visit?.leave(),
      show: () => this.#begin(shared),
    });
    queueMicrotask(() => this.#begin(false));
  }

  get state(): State {
    return this.#state;
  }

  /** Have messages of an event, or of all with `*`, handed to a handler. */
  on(event: string, handler: Handler): this {
    this.#handlers.on(event, handler);
    return this;
  }

  off(event: string, handler: Handler): this {
    this.#handlers.off(event, handler);
    return this;
  }

  /** Leave for good. Nothing is handed over any more; what is in a handler now still counts. */
  close(): void {
    this.#tell({ name: "closed", code: 1000, reason: "closed by the page" });
  }

  #begin(back: boolean): void {
    if (this.#isClosed) return;
    const visit = (this.#visit = new Visit({ ...this.#setting, back }));
    if (this.#isClosed) visit.leave(); // by the page's `onState`
  }

  get #isClosed(): boolean {
    return this.#state.name === "closed";
  }

  #tell(state: State): void {
    if (this.#isClosed) return;
    this.#state = state;
    if (state.name === "closed") {
      this.#visit?.leave();
      this.#inbox.close();
      this.#unwatch();
    }
    this.#options.onState?.(state);
  }

  #complain(error: unknown): void {
    (this.#options.onError ?? console.error)(error);
  }
}
