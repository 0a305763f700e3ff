// The tabs of a browser: which of them leads, what it says to all, and names that only one tab has.

import { makeName } from "./store";
import type { Keep, Message, State } from "./types";

const PATIENCE = 1_000; // ms that a tab which is loaded anew may need to let go of its name

/** What tabs say to each other. */
export type Said =
  | { kind: "message"; message: Message; epoch: string | undefined }
  | { kind: "state"; state: State; to?: string | undefined }
  | { kind: "hello"; from: string }
  | { kind: "wake" }
  | { kind: "fence"; from: string };

/** Hold a Web Lock until the signal; resolves to whether it was got, `patience` ms being the longest wait for it. */
function hold(name: string, signal: AbortSignal, patience?: number): Promise<boolean> {
  return new Promise((resolve) => {
    const wait = new AbortController();
    const give = () => wait.abort();
    signal.addEventListener("abort", give);
    const timer = patience === undefined ? undefined : setTimeout(give, patience);
    navigator.locks
      .request(name, { signal: wait.signal }, () => {
        clearTimeout(timer);
        resolve(true);
        return new Promise<void>((release) => (signal.aborted ? release() : signal.addEventListener("abort", () => release())));
      })
      .catch(() => resolve(false));
  });
}

/**
 * The tabs that share a connection. The one that leads says what comes to all of them, itself included, by one
 * channel: so what it has handled was given to every other tab before.
 */
export class Tabs {
  readonly id = makeName();
  #name: string;
  #hear: (said: Said) => void;
  // A channel does not hear what it says itself.
  #mouth: BroadcastChannel;
  #ear: BroadcastChannel;
  #left = new AbortController();
  #fenced = () => {};

  constructor(name: string, hear: (said: Said) => void) {
    this.#name = name;
    this.#hear = hear;
    this.#ear = new BroadcastChannel(name);
    this.#mouth = new BroadcastChannel(name);
    this.#ear.onmessage = ({ data }) => this.#take(data as Said);
    this.say({ kind: "hello", from: this.id });
  }

  /** Say something to all tabs, this one included. */
  say(said: Said): void {
    this.#mouth.postMessage(said);
  }

  /**
   * Wait until this tab leads; resolves to false when it left instead. What the tab before it has handled has
   * then been heard here: it was said to all before, and the fence comes behind it.
   */
  async lead(): Promise<boolean> {
    if (!(await hold(this.#name, this.#left.signal)) || this.#left.signal.aborted) return false;
    await new Promise<void>((resolve) => {
      this.#fenced = resolve;
      this.#left.signal.addEventListener("abort", () => resolve());
      this.say({ kind: "fence", from: this.id });
    });
    return !this.#left.signal.aborted;
  }

  leave(): void {
    this.#left.abort();
    this.#ear.close();
    this.#mouth.close();
  }

  #take(said: Said): void {
    if (said.kind !== "fence") this.#hear(said);
    else if (said.from === this.id) this.#fenced();
  }
}

/** Return a name that this tab keeps when it is loaded anew, and that no other has: a copy of a tab gets its own. */
export async function nameTab(storage: Keep, key: string, signal: AbortSignal): Promise<string> {
  const kept = storage.getItem(key);
  if (kept && (await hold(`${key}:${kept}`, signal, PATIENCE))) return kept;
  const name = makeName();
  storage.setItem(key, name);
  await hold(`${key}:${name}`, signal);
  return name;
}
