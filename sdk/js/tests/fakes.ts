// A gateway in place of the real one: what a test says it does, what was said to it.

import { vi } from "vitest";
import type { FromClient, FromServer } from "../src/types";

/** A WebSocket whose other side is the test. */
export class FakeSocket {
  static OPEN = 1;
  static all: FakeSocket[] = [];
  static answers = true; // whether pings are answered
  static pong: { spread?: number } = {};
  readyState = 0;
  said: FromClient[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  url: URL;
  protocols: string[];

  constructor(url: URL, protocols: string[]) {
    if (protocols.some((protocol) => protocol.includes(" "))) throw new SyntaxError("no protocol");
    this.url = url;
    this.protocols = protocols;
    FakeSocket.all.push(this);
  }

  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }

  send(text: string): void {
    const message = JSON.parse(text) as FromClient;
    this.said.push(message);
    if (message.type === "ping" && FakeSocket.answers) this.hear({ type: "pong", ...FakeSocket.pong });
  }

  close(): void {
    this.readyState = 3;
  }

  // What the test does.

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  hear(message: FromServer): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  welcome(more: { cursor?: number; epoch?: string; missed?: boolean; spread?: number } = {}): void {
    this.open();
    this.hear({ type: "welcome", session: `s${FakeSocket.all.length}`, user: "alice", ping: 25, ...more });
  }

  message(data: unknown, offset?: number): void {
    const place = offset === undefined ? {} : { offset };
    this.hear({ type: "message", id: `m${offset}`, event: "note", data, time: 1, ...place });
  }

  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

/** Put the fakes in place; time moves as the test says. Waits by chance are the longest that there can be. */
export function install(): void {
  FakeSocket.all = [];
  FakeSocket.answers = true;
  FakeSocket.pong = {};
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.spyOn(Math, "random").mockReturnValue(1);
}

/** Let time pass. */
export const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(seconds * 1000);

/** Return a token of alice that is good for so many seconds. */
export function makeToken(seconds = 3600, claims: object = {}): string {
  const payload = { sub: "alice", exp: Math.floor(Date.now() / 1000) + seconds, ...claims };
  return `e30.${btoa(JSON.stringify(payload))}.c2ln`;
}
