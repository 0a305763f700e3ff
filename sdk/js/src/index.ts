// The page's side of pushgate: connects, receives, acknowledges, comes back by itself.

import { Acks } from "./acks";
import { Connection } from "./connection";
import { type Device, chooseDevice, findDevice, hasTabs } from "./device";
import { Handlers } from "./handlers";
import { Inbox } from "./inbox";
import { watchLife } from "./life";
import { JSON_CODEC, readMessage } from "./socket";
import { type Said, Tabs } from "./tabs";
import { type Claims, Tokens } from "./tokens";
import type { Ending, FromServer, Handler, Options, State, Welcome } from "./types";

export type { Codec, Handler, Message, Options, State, Transport } from "./types";

const LEFT: Ending = { code: 1000, reason: "closed by the page" };

/**
 * Receives what a user is pushed, from now until `close`, over as many connections as it takes.
 *
 * With an inbox reliable messages come in order, none twice; each is handed over when the handlers of the one
 * before have resolved, and is acknowledged when its own have. A handler that throws is offered the message again.
 */
export class Pushgate {
  #url: URL;
  #options: Options;
  #device: string | undefined; // as configured; undefined without an inbox
  #shared: boolean;
  #tokens: Tokens;
  #handlers: Handlers;
  #inbox: Inbox;
  #state: State = { name: "connecting", transport: "websocket" };
  #unwatch: () => void;
  #closed = false;
  #user: string | undefined;
  #back = false; // out of the browser's cache of pages, not yet connected again
  // From here on: while the page is there.
  #here = new AbortController();
  #connection: Connection | undefined;
  #own: Device | undefined;
  #tabs: Tabs | undefined;
  #leads = false;
  #epoch: string | undefined;
  #acks: Acks | undefined;

  /** `url` like `wss://push.example/ws`, or `/ws` on the page's own origin. Throws TypeError for options that are not right. */
  constructor(url: string, options: Options) {
    this.#url = new URL(url, globalThis.location?.href);
    this.#options = options;
    const { inbox = options.device !== undefined, shared = true } = options;
    if (!inbox && options.device !== undefined) throw new TypeError("device: has an inbox, and inbox is false");
    this.#shared = inbox && shared && hasTabs();
    this.#device = inbox ? chooseDevice(options.device, shared || !hasTabs()) : undefined;
    this.#tokens = new Tokens(options.token);
    this.#handlers = new Handlers(this.#complain);
    this.#inbox = new Inbox(this.#handlers, (place) => {
      if (!this.#leads) return;
      this.#own?.move(place);
      this.#acks?.handled(place.cursor);
    });
    this.#unwatch = watchLife({
      online: () => this.#connection?.renew(),
      wake: () => this.#connection?.wake(),
      doubt: () => this.#connection?.doubt(),
      hide: () => this.#leave(),
      show: () => {
        this.#back = this.#shared;
        this.#begin();
      },
    });
    queueMicrotask(() => this.#begin()); // handlers that are named right now miss nothing
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

  /** Leave for good. Nothing is handed over any more. */
  close(): void {
    this.#stop(LEFT);
  }

  #begin(): void {
    if (this.#closed) return;
    this.#here = new AbortController();
    this.#own = undefined;
    this.#connection = new Connection({
      url: this.#url,
      codec: this.#options.codec ?? JSON_CODEC,
      tokens: this.#tokens,
      prepare: (claims) => this.#prepare(claims),
      onState: (state) => this.#tell(state),
      onWelcome: (welcome) => this.#welcome(welcome),
      onMessage: (message) => this.#receive(message),
    });
    void this.#connection.run();
  }

  /** Let go of the connection and of what other tabs may want; the page may come back. */
  #leave(): void {
    this.#here.abort();
    this.#connection?.close();
    this.#tabs?.leave();
    this.#acks?.stop();
    this.#connection = this.#tabs = this.#acks = undefined;
  }

  #stop({ code, reason }: Ending): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#leave();
    this.#unwatch();
    this.#inbox.close();
    this.#show({ name: "closed", code, reason });
  }

  /** Return what to ask the gateway for; with a shared device that is when this tab leads. */
  async #prepare({ tenant = "default", sub = "" }: Claims): Promise<Record<string, string> | Ending> {
    const user = `${tenant}:${sub}`;
    if ((this.#user ??= user) !== user) return { code: 4500, reason: "the token is another user's" };
    if (this.#device === undefined) return {};
    const { signal } = this.#here;
    if (!this.#own) {
      this.#leads = !this.#shared;
      this.#own = await findDevice(this.#url.host + this.#url.pathname, user, this.#device, this.#shared, signal);
      if (signal.aborted) return LEFT;
      if (this.#shared) this.#tabs = new Tabs(this.#own.key, (said) => this.#hear(said));
    }
    if (!this.#leads && !(this.#leads = await this.#tabs!.lead())) return LEFT;
    const { name } = this.#own;
    const place = this.#own.place(this.#inbox.place);
    this.#back &&= place !== null && place.cursor > this.#inbox.taken;
    if (place) return { device: name, cursor: String(place.cursor), epoch: place.epoch };
    return { device: name, from: this.#options.from ?? (this.#shared ? "oldest" : "now") };
  }

  #welcome({ cursor, epoch }: Welcome): void {
    this.#acks?.stop();
    this.#acks = undefined;
    this.#epoch = epoch;
    if (epoch === undefined || cursor === undefined) return; // no inbox
    this.#inbox.enter(epoch);
    this.#own?.move({ cursor, epoch });
    this.#acks = new Acks(cursor, (offset) => this.#connection?.send({ type: "ack", offset }));
    this.#acks.handled(this.#inbox.place?.cursor ?? 0);
  }

  #receive(received: FromServer & { type: "message" | "error" }): void {
    if (received.type === "error") return this.#complain(new Error(`${received.code}: ${received.message}`));
    const message = readMessage(received);
    if (message.offset !== undefined) this.#acks?.heard(message.offset);
    this.#say({ kind: "message", message, epoch: this.#epoch });
  }

  /** Say something to every tab that shares this connection, this one included. */
  #say(said: Said): void {
    if (this.#tabs) this.#tabs.say(said);
    else this.#hear(said);
  }

  #hear(said: Said): void {
    if (this.#closed) return;
    if (said.kind === "message") {
      const { message, epoch } = said;
      const { offset } = message;
      if (epoch !== undefined && offset !== undefined) this.#inbox.take(epoch, { ...message, offset });
      else void this.#handlers.offer(message, this.#handlers.of(message));
    } else if (this.#leads) {
      if (said.kind === "wake") this.#connection?.wake();
      if (said.kind === "hello") this.#tabs?.say({ kind: "state", state: this.#state, to: said.from });
    } else if (said.kind === "state") this.#follow(said);
  }

  /** Be in the state that the leading tab says. */
  #follow({ state, to }: Said & { kind: "state" }): void {
    if (to !== undefined && to !== this.#tabs?.id) return;
    if (state.name === "closed") return this.#stop(state);
    // Who is new has missed nothing yet.
    this.#show(to && state.name === "connected" ? { ...state, missed: false } : state);
    // The timers of a tab that is hidden may be very late.
    if (state.name === "waiting") setTimeout(() => this.#tabs?.say({ kind: "wake" }), state.until - Date.now());
  }

  /** Tell the page, and the tabs that are led, of a state of this tab's own connection. */
  #tell(state: State): void {
    if (this.#leads) this.#tabs?.say({ kind: "state", state });
    if (state.name === "closed") this.#stop(state);
    else this.#show(state);
  }

  #show(state: State): void {
    if (state.name === "connected" && this.#back) {
      this.#back = false;
      state = { ...state, missed: true };
    }
    this.#state = state;
    this.#options.onState?.(state);
  }

  #complain = (error: unknown): void => (this.#options.onError ?? console.error)(error);
}
