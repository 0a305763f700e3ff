// A connection to the gateway that comes back by itself: one link after another.

import { Backoff } from "./backoff";
import { TOKEN_EXPIRED, comesBack } from "./closes";
import { Heartbeat } from "./heartbeat";
import { Route } from "./route";
import { openEvents } from "./sse";
import { Tokens, type Claims, readClaims } from "./tokens";
import type { Ending, FromClient, FromServer, Link, Open, State, Welcome } from "./types";

const STEADY = 10_000; // ms that a link has to live for the waits to begin anew
const WELCOME = 15_000; // ms until the gateway has to say welcome
const LONGEST_TIMER = 2 ** 31 - 1;

export interface Ask {
  url: URL;
  open: Open;
  tokens: Tokens;
  /** Called with each token before it is used; resolves to what to ask for in the query, or to why not to connect. */
  prepare(claims: Claims): Promise<Record<string, string> | Ending>;
  onState(state: State): void;
  onWelcome(welcome: Welcome): void;
  /** Called with what is not the connection's own business, and only between `onWelcome` and the link's end. */
  onMessage(message: FromServer & { type: "message" | "error" }): void;
}

/** Connects from `run` until `close`, or until the gateway says not to come back. */
export class Connection {
  #ask: Ask;
  #backoff = new Backoff();
  #route = new Route();
  #link: Link | undefined;
  #heartbeat: Heartbeat | undefined;
  #after: number | undefined; // seconds that the gateway asked for
  #closed = false;
  #end: (ending: Ending) => void = () => {}; // ends the link that is there
  #hurry: (() => void) | undefined; // ends the wait

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async run(): Promise<void> {
    while (!this.#closed) {
      const { code, reason } = await this.#connect();
      if (this.#closed) return;
      if (!comesBack(code)) return this.#ask.onState({ name: "closed", code, reason });
      const wait = this.#backoff.next(this.#after);
      const until = Date.now() + wait;
      this.#ask.onState({ name: "waiting", until, code, reason });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait);
        // What the gateway asked for is waited for.
        if (this.#after === undefined) this.#hurry = () => (clearTimeout(timer), resolve());
      });
      this.#hurry = undefined;
      this.#after = undefined;
    }
  }

  /** Connect now, where it waits; ask for a sign of life, where it seems to be connected. */
  wake(): void {
    this.#hurry?.();
    this.doubt();
  }

  doubt(): void {
    this.#heartbeat?.doubt();
  }

  /** The network may be another one. */
  renew(): void {
    this.#route.reset();
    this.wake();
  }

  send(message: FromClient): void {
    this.#link?.send(message);
  }

  /** Let go of everything without a word to `onState`. */
  close(): void {
    this.#closed = true;
    this.#end({ code: 1000, reason: "" });
    this.#hurry?.();
  }

  /** Be connected once; resolves to why that ended. */
  async #connect(): Promise<Ending> {
    const { tokens, url } = this.#ask;
    const { transport } = this.#route;
    this.#ask.onState({ name: "connecting", transport });
    let token, query;
    try {
      query = await this.#ask.prepare(readClaims(await tokens.get()));
      if ("code" in query) return query as unknown as Ending;
      token = await tokens.get(); // it may have been long
    } catch (error) {
      return { code: 0, reason: String(error) };
    }
    if (this.#closed) return { code: 1000, reason: "" };
    if (tokens.isRefused(token)) return { code: 4500, reason: "the token expired, and there is no new one" };
    const address = new URL(url);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    return new Promise((resolve) => this.#open(address, token, resolve));
  }

  #open(address: URL, token: string, resolve: (ending: Ending) => void): void {
    const { transport } = this.#route;
    let born = 0;
    let link: Link | undefined;
    let refresh: ReturnType<typeof setTimeout>;
    const timer = setTimeout(() => end({ code: 0, reason: "the gateway did not say welcome in time" }), WELCOME);

    const end = (ending: Ending) => {
      this.#end = () => {};
      clearTimeout(timer);
      clearTimeout(refresh);
      this.#heartbeat?.stop();
      this.#heartbeat = this.#link = undefined;
      link?.close();
      this.#route.ended();
      if (born && Date.now() - born > STEADY) this.#backoff.reset();
      this.#after ??= ending.after;
      if (ending.code === TOKEN_EXPIRED) this.#ask.tokens.refuse();
      resolve(ending);
    };
    const plan = () => {
      const wait = Math.max(5, this.#ask.tokens.left * 0.8) * 1000;
      refresh = setTimeout(async () => {
        try {
          const token = await this.#ask.tokens.renew();
          this.#link?.send({ type: "refresh", token });
        } catch {
          // Tried again while the old token holds; after that the gateway closes with 4501.
        }
        if (this.#link === link) plan();
      }, Math.min(wait, LONGEST_TIMER));
    };
    const hear = (message: FromServer) => {
      if (message.type === "welcome") {
        clearTimeout(timer);
        born = Date.now();
        this.#backoff.tell(message.spread, true);
        if (transport === "websocket") plan();
        this.#link = link;
        this.#heartbeat = new Heartbeat(
          () => link?.send({ type: "ping" }),
          () => end({ code: 0, reason: "the gateway stopped answering" }),
        );
        this.#ask.onWelcome(message);
        const { session, user, missed = false } = message;
        this.#ask.onState({ name: "connected", transport, session, user, missed });
      } else if (message.type === "pong") this.#backoff.tell(message.spread, false);
      else if (message.type === "reconnect") this.#after = message.after;
      else if (message.type === "message" || message.type === "error") this.#ask.onMessage(message);
    };
    const hears = {
      opened: () => this.#route.opened(),
      heard: (message?: FromServer) => {
        this.#heartbeat?.heard();
        if (message) hear(message);
      },
      closed: end,
    };
    this.#end = end;
    try {
      link = transport === "sse" ? openEvents(address, token, hears) : this.#ask.open(address, token, hears);
    } catch (error) {
      end({ code: 4500, reason: String(error) }); // a token that cannot even be offered
    }
  }
}
