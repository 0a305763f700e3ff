// Reliable messages: in order, none twice, acknowledged when handled.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pushgate } from "../src/index";
import type { Message } from "../src/types";
import { FakeSocket, install, makeToken, pass } from "./fakes";

let gate: Pushgate;
let got: unknown[];
let errors: unknown[];
let work: (message: Message) => unknown;

const acks = () => FakeSocket.last.said.flatMap((said) => (said.type === "ack" ? [said.offset] : []));
const query = () => Object.fromEntries(FakeSocket.last.url.searchParams);

async function connect(device: string): Promise<void> {
  gate = new Pushgate("ws://gateway.test/ws", { token: () => makeToken(), device, onError: (error) => errors.push(error) });
  gate.on("note", async (message) => {
    await work(message);
    got.push(message.data);
  });
  await pass(0);
}

async function lose(): Promise<void> {
  FakeSocket.last.end(1006);
  await pass(30);
}

beforeEach(() => {
  install();
  got = [];
  errors = [];
  work = () => {};
});

afterEach(() => {
  gate.close();
  vi.useRealTimers();
});

test("each is acknowledged when its handler is done, and in order", async () => {
  const done: (() => void)[] = [];
  work = () => new Promise<void>((resolve) => done.push(resolve));
  await connect("slow");
  expect(query()).toEqual({ device: "slow", from: "oldest" });
  FakeSocket.last.welcome({ cursor: 3, epoch: "e" });
  FakeSocket.last.message("a", 4);
  FakeSocket.last.message("b", 7);
  await pass(1);
  expect([acks(), done.length]).toEqual([[], 1]);
  done[0]!();
  await pass(1);
  expect([acks(), got, done.length]).toEqual([[4], ["a"], 2]);
  done[1]!();
  await pass(1);
  expect([acks(), got]).toEqual([[4, 7], ["a", "b"]]);
});

test("many are acknowledged at once", async () => {
  await connect("many");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  for (let offset = 1; offset <= 200; offset++) FakeSocket.last.message(offset, offset);
  await pass(1);
  expect(got).toHaveLength(200);
  expect(acks().length).toBeLessThan(4);
  expect(acks().at(-1)).toBe(200);
});

test("what is handled is acknowledged before it leaves", async () => {
  await connect("leaves");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  for (let offset = 1; offset <= 3; offset++) FakeSocket.last.message(offset, offset);
  await pass(0);
  expect(acks()).toEqual([1]);
  gate.close();
  await pass(1);
  expect(acks()).toEqual([1, 3]);
});

test("what came before is dropped, and acknowledged again", async () => {
  await connect("dropped");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  for (const offset of [1, 2, 1, 2, 3]) {
    FakeSocket.last.message(offset, offset);
    await pass(1);
  }
  expect(got).toEqual([1, 2, 3]);
  expect(acks()).toEqual([1, 2, 2, 2, 3]);
});

test("it goes on where it was; what is in hand is not handed over again, nor acknowledged before it was sent again", async () => {
  let done = () => {};
  work = ({ data }) => data === 2 && new Promise<void>((resolve) => (done = resolve));
  await connect("on");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  for (const offset of [1, 2, 3]) FakeSocket.last.message(offset, offset);
  await lose();
  expect(query()).toEqual({ device: "on", cursor: "1", epoch: "e" });
  FakeSocket.last.welcome({ cursor: 1, epoch: "e" });
  done();
  await pass(1);
  expect([got, acks()]).toEqual([[1, 2, 3], []]);
  for (const offset of [2, 3, 4]) FakeSocket.last.message(offset, offset);
  await pass(1);
  expect([got, acks().at(-1)]).toEqual([[1, 2, 3, 4], 4]);
});

test("another client of the same device goes on from where this one was", async () => {
  await connect("kept");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  FakeSocket.last.message(1, 1);
  await pass(1);
  gate.close();
  await connect("kept");
  expect(query()).toEqual({ device: "kept", cursor: "1", epoch: "e" });
});

test("a handler that throws is offered it again, alone, until it does not", async () => {
  const other: unknown[] = [];
  let tries = 0;
  work = ({ data }) => {
    if (data === 1 && tries++ < 2) throw new Error("not yet");
  };
  await connect("again");
  gate.on("*", ({ data }) => other.push(data));
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  FakeSocket.last.message(1, 1);
  FakeSocket.last.message(2, 2);
  await pass(0.9);
  expect([got, other, acks()]).toEqual([[], [1], []]);
  await pass(3);
  expect([got, other, acks().at(-1)]).toEqual([[1, 2], [1, 2], 2]);
  expect(errors.map(String)).toEqual(["Error: not yet", "Error: not yet"]);
});

test("a handler that is taken away while it throws holds up nothing", async () => {
  await connect("away");
  const bad = () => Promise.reject(new Error("never"));
  gate.on("note", bad);
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  FakeSocket.last.message(1, 1);
  await pass(0.5);
  gate.off("note", bad);
  FakeSocket.last.message(2, 2);
  await pass(1);
  expect([got, acks().at(-1), errors.length]).toEqual([[1, 2], 2, 2]);
});

test("in another epoch offsets mean other messages", async () => {
  let done = () => {};
  work = ({ data }) => data === "old" && new Promise<void>((resolve) => (done = resolve));
  await connect("epoch");
  FakeSocket.last.welcome({ cursor: 40, epoch: "e" });
  FakeSocket.last.message("old", 50);
  FakeSocket.last.message("dropped", 51);
  await lose();
  FakeSocket.last.welcome({ cursor: 0, epoch: "f", missed: true });
  expect(gate.state).toMatchObject({ name: "connected", missed: true });
  done();
  await pass(1);
  expect(acks()).toEqual([]);
  FakeSocket.last.message("new", 1);
  await pass(1);
  expect([got, acks()]).toEqual([["old", "new"], [1]]);
  await lose();
  expect(query()).toEqual({ device: "epoch", cursor: "1", epoch: "f" });
});

test("after close nothing is handed over; what was in hand counts", async () => {
  let done = () => {};
  work = () => new Promise<void>((resolve) => (done = resolve));
  await connect("closed");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  FakeSocket.last.message(1, 1);
  FakeSocket.last.message(2, 2);
  gate.close();
  done();
  await pass(60);
  expect(got).toEqual([1]);
  await connect("closed");
  expect(query()).toMatchObject({ cursor: "1" });
});

test("live messages do not wait, and owe nothing", async () => {
  work = ({ data }) => data === 1 && new Promise(() => {});
  await connect("live");
  FakeSocket.last.welcome({ cursor: 0, epoch: "e" });
  FakeSocket.last.message(1, 1);
  FakeSocket.last.message("live");
  await pass(1);
  expect([got, acks()]).toEqual([["live"], []]);
});

test("on a node without an inbox what is reliable comes as it is", async () => {
  await connect("none");
  FakeSocket.last.welcome();
  FakeSocket.last.message(1, 1);
  await pass(1);
  expect([got, acks()]).toEqual([[1], []]);
});

test("what the gateway does not like is told", async () => {
  await connect("errors");
  FakeSocket.last.welcome();
  FakeSocket.last.hear({ type: "error", code: "bad_offset", message: "too far" });
  expect(errors.map(String)).toEqual(["Error: bad_offset: too far"]);
});

test("the place and the device's name can be kept elsewhere", async () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (name: string) => kept.get(name) ?? null, setItem: (name: string, text: string) => void kept.set(name, text) };
  const begin = async () => {
    gate = new Pushgate("ws://gateway.test/ws", { token: () => makeToken(), inbox: true, storage });
    await pass(0);
  };
  await begin();
  const { device } = query();
  FakeSocket.last.welcome({ cursor: 7, epoch: "e" });
  FakeSocket.last.message(8, 8);
  await pass(0);
  gate.close();
  expect([...kept.values()]).toEqual([device, '{"cursor":8,"epoch":"e"}']);
  await begin();
  expect(query()).toEqual({ device, cursor: "8", epoch: "e" });
});

test("options that are not right", () => {
  const token = () => "";
  expect(() => new Pushgate("ws://g/ws", { token, device: "a b" })).toThrow("device: expected 1 to 64");
  expect(() => new Pushgate("ws://g/ws", { token, device: "a", inbox: false })).toThrow("device: asks for an inbox");
  expect(() => new Pushgate("no url", { token })).toThrow(TypeError);
});
