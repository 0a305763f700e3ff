// How a connection is kept: close codes, waits, tokens, silence.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pushgate } from "../src/index";
import type { State } from "../src/types";
import { FakeSocket, install, makeToken, pass } from "./fakes";

let states: State[];
let gate: Pushgate;

const name = () => states.at(-1)!.name;

async function connect(token: () => string | Promise<string> = () => makeToken()): Promise<void> {
  gate = new Pushgate("ws://gateway.test/ws", { token, onState: (state) => states.push(state) });
  await pass(0);
}

/** Lose the connection; returns the ms until the next try, when there is another one. */
async function lose(): Promise<number> {
  FakeSocket.last.end(1006);
  await pass(0);
  const wait = (gate.state as { until: number }).until - Date.now();
  await pass(wait / 1000);
  return wait;
}

beforeEach(() => {
  install();
  states = [];
});

afterEach(() => {
  gate.close();
  vi.useRealTimers();
});

test("it asks for a token and offers it", async () => {
  const token = makeToken();
  await connect(async () => token);
  FakeSocket.last.welcome();
  expect(String(FakeSocket.last.url)).toBe("ws://gateway.test/ws");
  expect(FakeSocket.last.protocols).toEqual(["pushgate.v1.json", `bearer.${token}`]);
  expect(gate.state).toEqual({ name: "connected", transport: "websocket", session: "s1", user: "alice", missed: false });
});

test.each([1001, 1005, 1006, 1009, 1011, 4000, 4001, 4002, 4003, 4004, 4499])("after %i it comes back", async (code) => {
  await connect();
  FakeSocket.last.welcome();
  FakeSocket.last.end(code, "why");
  await pass(0);
  expect(gate.state).toEqual({ name: "waiting", until: Date.now() + 2000, code, reason: "why" });
  await pass(2);
  expect(FakeSocket.all).toHaveLength(2);
});

test.each([1000, 1002, 1007, 4500, 4502, 4503, 4504, 4505, 4506, 4999])("after %i it stays away", async (code) => {
  await connect();
  FakeSocket.last.welcome();
  FakeSocket.last.end(code, "why");
  await pass(3600);
  expect(gate.state).toEqual({ name: "closed", code, reason: "why" });
  expect(FakeSocket.all).toHaveLength(1);
});

test("the waits are the spread, grow with what was waited, and begin anew after a connection that held", async () => {
  await connect();
  const waits = [];
  for (let loss = 0; loss < 7; loss++) {
    FakeSocket.last.welcome();
    waits.push(await lose());
  }
  expect(waits).toEqual([2000, 2000, 2000, 2000, 2000, 2500, 3125]);
  for (let loss = 0; loss < 20; loss++) await lose();
  expect(await lose()).toBe(30_000);
  FakeSocket.last.welcome();
  await pass(11);
  expect(await lose()).toBe(2000);
});

test("the gateway says how far to be spread: more at once, less when it has been asked", async () => {
  await connect();
  FakeSocket.last.welcome({ spread: 7.5 });
  expect(await lose()).toBe(7500);
  FakeSocket.last.welcome({ spread: 0.5 }); // the others are still to come
  expect(await lose()).toBe(7500);
  FakeSocket.pong = { spread: 0.1 };
  FakeSocket.last.welcome({ spread: 0.1 });
  await pass(41);
  expect(await lose()).toBe(500);
  FakeSocket.pong = { spread: 900 };
  FakeSocket.last.welcome();
  await pass(41);
  expect(await lose()).toBe(30_000);
});

test("it waits as long as the gateway asks for, which has spread it", async () => {
  await connect();
  FakeSocket.last.welcome();
  FakeSocket.last.hear({ type: "reconnect", after: 20 });
  FakeSocket.last.end(4000);
  await pass(19.9);
  expect([name(), FakeSocket.all.length]).toEqual(["waiting", 1]);
  await pass(0.2);
  expect(FakeSocket.all).toHaveLength(2);
  expect(await lose()).toBe(5000); // that was waited, too
});

test("a token that expired is replaced; the same one again ends it", async () => {
  const tokens = [makeToken(3600), makeToken(3601), makeToken(3601)];
  await connect(() => tokens.shift()!);
  for (let n = 0; n < 2; n++) {
    FakeSocket.last.welcome();
    FakeSocket.last.end(4501);
    await pass(2);
  }
  expect(FakeSocket.all).toHaveLength(2);
  expect(gate.state).toMatchObject({ name: "closed", code: 4500 });
});

test("a token is renewed before it expires", async () => {
  const token = vi.fn(() => makeToken(100));
  await connect(token);
  FakeSocket.last.welcome();
  await pass(79);
  expect(FakeSocket.last.said.filter(({ type }) => type === "refresh")).toEqual([]);
  await pass(2);
  expect(FakeSocket.last.said.filter(({ type }) => type === "refresh")).toEqual([{ type: "refresh", token: makeToken(99) }]);
});

test("where the machine's clock is ahead, the token's own length counts", async () => {
  const token = vi.fn(() => makeToken(-3600, { iat: Date.now() / 1000 - 7200 }));
  await connect(token);
  FakeSocket.last.welcome();
  await pass(2000);
  expect(token).toHaveBeenCalledTimes(1);
});

test("a token is asked for again when the page has none to give", async () => {
  let there = false;
  await connect(async () => {
    if (!there) throw new Error("offline");
    return makeToken();
  });
  expect(gate.state).toMatchObject({ name: "waiting", code: 0, reason: "Error: offline" });
  there = true;
  await pass(2);
  expect(FakeSocket.all).toHaveLength(1);
});

test("a token of another user ends it", async () => {
  const tokens = [makeToken(10), makeToken(10), makeToken(10, { sub: "bob" })];
  await connect(() => tokens.shift()!);
  FakeSocket.last.welcome();
  FakeSocket.last.end(1006);
  await pass(2);
  expect(gate.state).toMatchObject({ name: "closed", reason: "the token is another user's" });
});

test("an error page for a token does not end it", async () => {
  const answers = ["<html>502 Bad Gateway</html>", makeToken()];
  await connect(() => answers.shift()!);
  expect(gate.state).toMatchObject({ name: "waiting", code: 0, reason: "TypeError: token: expected a JWT, as text" });
  await pass(2);
  expect(FakeSocket.all).toHaveLength(1);
});

test("silence is asked about", async () => {
  await connect();
  FakeSocket.last.welcome();
  await pass(39);
  FakeSocket.last.message("here");
  await pass(39);
  expect(FakeSocket.last.said).toEqual([]);
  await pass(2);
  expect(FakeSocket.last.said).toEqual([{ type: "ping" }]);
  await pass(41);
  expect(FakeSocket.last.said).toHaveLength(2);
  expect(name()).toBe("connected");
});

test("no answer is a loss", async () => {
  FakeSocket.answers = false;
  await connect();
  FakeSocket.last.welcome();
  await pass(49.9);
  expect(name()).toBe("connected");
  await pass(0.2);
  expect(gate.state).toMatchObject({ name: "waiting", code: 0, reason: "the gateway stopped answering" });
});

test("a machine that slept while it waited for an answer asks again before it gives up", async () => {
  FakeSocket.answers = false;
  await connect();
  FakeSocket.last.welcome();
  await pass(41);
  vi.setSystemTime(Date.now() + 3_600_000);
  await pass(10);
  expect(FakeSocket.last.said).toEqual([{ type: "ping" }, { type: "ping" }]);
  expect(name()).toBe("connected");
  FakeSocket.last.hear({ type: "pong" });
  await pass(20);
  expect(name()).toBe("connected");
});

test("a gateway that does not say welcome is left", async () => {
  await connect();
  FakeSocket.last.open();
  await pass(15);
  expect(gate.state).toMatchObject({ name: "waiting", reason: "the gateway did not say welcome in time" });
});

test("close is for good", async () => {
  await connect();
  FakeSocket.last.welcome();
  gate.close();
  expect(FakeSocket.last.readyState).toBe(3);
  await pass(60);
  expect(states.map((state) => state.name)).toEqual(["connecting", "connected", "closed"]);
});

test("close within the first word of a state is heard too", async () => {
  gate = new Pushgate("ws://gateway.test/ws", { token: () => makeToken(), onState: () => gate.close() });
  await pass(60);
  expect(FakeSocket.all).toHaveLength(0);
});

test("another WebSocket can be given, and one there has to be", async () => {
  class Given extends FakeSocket {}
  vi.stubGlobal("WebSocket", undefined);
  const token = () => makeToken();
  expect(() => new Pushgate("ws://gateway.test/ws", { token })).toThrow("WebSocket: there is none here");
  gate = new Pushgate("ws://gateway.test/ws", { token, WebSocket: Given as unknown as typeof WebSocket });
  await pass(0);
  FakeSocket.last.welcome();
  expect(FakeSocket.last).toBeInstanceOf(Given);
  expect(gate.state.name).toBe("connected");
});
