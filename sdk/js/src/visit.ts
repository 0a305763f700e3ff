// One stay of a page, from when it is there until it is left: its device, its connection, the tabs beside it.

import { Acks } from "./acks";
import { Connection } from "./connection";
import { type Device, findDevice } from "./device";
import type { Inbox } from "./inbox";
import { readMessage } from "./socket";
import { type Said, Tabs } from "./tabs";
import type { Claims, Tokens } from "./tokens";
import type { Ending, FromServer, Keep, Open, Place, State, Welcome } from "./types";

const LEFT: Ending = { code: 1000, reason: "" };

export interface Setting {
  url: URL;
  open: Open;
  tokens: Tokens;
  inbox: Inbox;
  /** The device's name; undefined without an inbox. */
  device: string | undefined;
  shared: boolean;
  /** Where the page wants things kept. */
  storage: Keep | undefined;
  /** Where a new device begins. */
  from: string;
  /** Whether the page was away, with what it has in its memory: the browser keeps pages for its back button. */
  back: boolean;
  onState(state: State): void;
  onError(error: unknown): void;
}

/** Connects, or follows the tab that does, until it is left. */
export class Visit {
  readonly connection: Connection;
  #setting: Setting;
  #here = new AbortController();
  #user: string | undefined;
  #device: Device | undefined;
  #tabs: Tabs | undefined;
  #leads = false;
  #state: State | undefined;
  #back: boolean;
  #epoch: string | undefined;
  #acks: Acks | undefined;

  constructor(setting: Setting) {
    this.#setting = setting;
    this.#back = setting.back;
    const { url, open, tokens } = setting;
    this.connection = new Connection({
      url,
      open,
      tokens,
      prepare: (claims) => this.#prepare(claims),
      onState: (state) => {
        if (this.#leads) this.#tabs?.say({ kind: "state", state });
        this.#show(state);
      },
      onWelcome: (welcome) => this.#welcome(welcome),
      onMessage: (message) => this.#receive(message),
    });
    void this.connection.run();
  }

  /** Note how far the page has come: what counts for all tabs is how far the leading one has. */
  settle(place: Place): void {
    if (!this.#leads) return;
    this.#device?.move(place);
    this.#acks?.handled(place.cursor);
  }

  /** Let go of the connection, and of what other tabs may want. */
  leave(): void {
    this.#here.abort();
    this.#acks?.tell();
    this.#acks = undefined;
    this.connection.close();
    this.#tabs?.leave();
    this.#tabs = undefined;
  }

  /** Return what to ask the gateway for; with a shared device that is when this tab leads. */
  async #prepare({ tenant = "default", sub = "" }: Claims): Promise<Record<string, string> | Ending> {
    const { url, device, shared, inbox, from, storage } = this.#setting;
    const user = `${tenant}:${sub}`;
    if ((this.#user ??= user) !== user) return { code: 4500, reason: "the token is another user's" };
    if (device === undefined) return {};
    const { signal } = this.#here;
    if (!this.#device) {
      this.#device = await findDevice(url.host + url.pathname, user, device, shared, storage, signal);
      if (signal.aborted) return LEFT;
      if (shared) this.#tabs = new Tabs(this.#device.key, (said) => this.#hear(said));
    }
    this.#leads ||= !this.#tabs || (await this.#tabs.lead());
    if (!this.#leads) return LEFT;
    const { name } = this.#device;
    const place = this.#device.place(inbox.place);
    this.#back &&= place !== null && place.cursor > inbox.taken;
    return place ? { device: name, cursor: String(place.cursor), epoch: place.epoch } : { device: name, from };
  }

  #welcome({ cursor, epoch }: Welcome): void {
    const { inbox } = this.#setting;
    this.#acks?.stop();
    this.#acks = undefined;
    this.#epoch = epoch;
    if (epoch === undefined || cursor === undefined) return; // no inbox
    inbox.enter(epoch);
    this.#device?.move({ cursor, epoch });
    this.#acks = new Acks(cursor, (offset) => this.connection.send({ type: "ack", offset }));
    this.#acks.handled(inbox.place?.cursor ?? 0);
  }

  #receive(received: FromServer & { type: "message" | "error" }): void {
    if (received.type === "error") return this.#setting.onError(new Error(`${received.code}: ${received.message}`));
    const message = readMessage(received);
    if (message.offset !== undefined) this.#acks?.heard(message.offset);
    const said: Said = { kind: "message", message, epoch: this.#epoch };
    if (this.#tabs) this.#tabs.say(said);
    else this.#hear(said);
  }

  #hear(said: Said): void {
    if (said.kind === "message") this.#setting.inbox.take(said.message, said.epoch);
    else if (this.#leads) {
      if (said.kind === "wake") this.connection.wake();
      if (said.kind === "hello" && this.#state) this.#tabs?.say({ kind: "state", state: this.#state, to: said.from });
    } else if (said.kind === "state") this.#follow(said);
  }

  /** Be in the state that the leading tab says. */
  #follow({ state, to }: Said & { kind: "state" }): void {
    if (to !== undefined && to !== this.#tabs?.id) return;
    // Who is new has missed nothing yet.
    this.#show(to && state.name === "connected" ? { ...state, missed: false } : state);
    // The timers of a tab that is hidden may be very late.
    if (state.name === "waiting") setTimeout(() => this.#tabs?.say({ kind: "wake" }), state.until - Date.now());
  }

  #show(state: State): void {
    if (state.name === "connected" && this.#back) {
      this.#back = false;
      state = { ...state, missed: true };
    }
    this.#state = state;
    this.#setting.onState(state);
  }
}
