// The way around a network that lets no WebSocket through.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Pushgate } from "../src/index";
import { FakeSocket, install, makeToken, pass } from "./fakes";

interface Asked {
  url: URL;
  init: RequestInit;
}

let gate: Pushgate;
let got: unknown[];
let streams: (Asked & { say(text: string): Promise<unknown>; end(): void })[];
let acks: Asked[];
let ackStatus: number;
let sseStatus: number;
let sseHeaders: Record<string, string>;

const encoder = new TextEncoder();

async function fakeFetch(url: URL, init: RequestInit): Promise<Response> {
  if (url.pathname.endsWith("/ack")) {
    acks.push({ url, init });
    return new Response(null, { status: ackStatus });
  }
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const body = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  init.signal?.addEventListener("abort", () => controller.error(new Error("aborted")));
  streams.push({
    url,
    init,
    say: (text) => (controller.enqueue(encoder.encode(text)), pass(0)),
    end: () => controller.close(),
  });
  return new Response(body, { status: sseStatus, headers: sseHeaders });
}

/** Fail a WebSocket twice; there is a stream then. */
async function fallBack(device?: string): Promise<void> {
  const options = { token: () => makeToken(), ...(device ? { device } : {}) };
  gate = new Pushgate("wss://gateway.test/push/ws", options);
  gate.on("*", ({ data }) => got.push(data));
  for (let n = 0; n < 2; n++) {
    await pass(2);
    FakeSocket.last.end(1006);
  }
  await pass(2);
}

const WELCOME = 'data: {"type":"welcome","session":"00f1","user":"alice","ping":25,"cursor":3,"epoch":"e"}\n\n';
const message = (n: number) => `id: ${n}\ndata: {"type":"message","id":"m","event":"x","data":${n},"time":1,"offset":${n}}\n\n`;

beforeEach(() => {
  install();
  vi.stubGlobal("fetch", fakeFetch);
  got = [];
  streams = [];
  acks = [];
  ackStatus = 204;
  sseStatus = 200;
  sseHeaders = {};
});

afterEach(() => {
  gate.close();
  vi.useRealTimers();
});

test("after two WebSockets that never opened it turns to events, and says so", async () => {
  await fallBack("phone");
  expect(FakeSocket.all).toHaveLength(2);
  expect(gate.state).toEqual({ name: "connecting", transport: "sse" });
  const { url, init } = streams[0]!;
  expect(String(url)).toBe("https://gateway.test/push/sse?device=phone&from=oldest");
  expect(new Headers(init.headers).get("Authorization")).toMatch(/^Bearer e30\./);
});

test("messages come, however the bytes are cut, and are acknowledged by POST", async () => {
  await fallBack("phone");
  const [stream] = streams;
  const text = WELCOME + message(4) + ":\n\n" + message(5);
  for (const part of text.match(/.{1,7}/gs)!) await stream!.say(part);
  await pass(1);
  expect(gate.state).toMatchObject({ name: "connected", transport: "sse", session: "00f1" });
  expect(got).toEqual([4, 5]);
  expect(acks.map(({ init }) => JSON.parse(init.body as string))).toEqual([
    { session: "00f1", offset: 4 },
    { session: "00f1", offset: 5 },
  ]);
  expect(String(acks[0]!.url)).toBe("https://gateway.test/push/ack");
  expect(new Headers(acks[0]!.init.headers).get("Authorization")).toMatch(/^Bearer e30\./);
});

test("the close event is a close code", async () => {
  await fallBack();
  await streams[0]!.say(WELCOME + 'event: close\ndata: {"code": 4503, "reason": "kicked"}\n\n');
  expect(gate.state).toEqual({ name: "closed", code: 4503, reason: "kicked" });
});

test("comments are signs of life; a silent stream is left, though acknowledgements are answered", async () => {
  await fallBack("phone");
  await streams[0]!.say(WELCOME);
  for (let n = 0; n < 4; n++) {
    await pass(25);
    await streams[0]!.say(":\n\n");
  }
  expect(acks).toEqual([]);
  await pass(41);
  expect(acks.map(({ init }) => JSON.parse(init.body as string))).toEqual([{ session: "00f1", offset: 3 }]);
  expect(gate.state.name).toBe("connected");
  await pass(10);
  expect(gate.state).toMatchObject({ name: "waiting", reason: "the gateway stopped answering" });
});

test("where comments are rare, an answered acknowledgement is a sign of life", async () => {
  await fallBack("phone");
  await streams[0]!.say(WELCOME.replace('"ping":25', '"ping":60'));
  await pass(79);
  expect([gate.state.name, acks.length]).toEqual(["connected", 1]);
  await pass(12);
  expect([gate.state.name, acks.length]).toEqual(["waiting", 2]);
});

test("a session that is gone is made anew", async () => {
  await fallBack("phone");
  await streams[0]!.say(WELCOME);
  ackStatus = 404;
  await streams[0]!.say(message(4));
  await pass(0);
  expect(gate.state).toMatchObject({ name: "waiting", reason: "the session is gone" });
});

test("after a stream that ended a WebSocket is tried once, then events again", async () => {
  await fallBack("phone");
  await streams[0]!.say(WELCOME);
  streams[0]!.end();
  await pass(3);
  expect(FakeSocket.all).toHaveLength(3);
  FakeSocket.last.end(1006);
  await pass(3);
  expect(streams).toHaveLength(2);
  streams[1]!.end();
  await pass(3);
  FakeSocket.last.welcome();
  FakeSocket.last.end(1006);
  await pass(3);
  FakeSocket.last.end(1006);
  await pass(3);
  FakeSocket.last.end(1006);
  await pass(3);
  expect(streams).toHaveLength(2); // a WebSocket opened: it is not the network that lets none through
});

test.each([400, 403, 404, 429, 503])("a request that is refused with %i is made again", async (status) => {
  sseStatus = status;
  await fallBack();
  expect(gate.state).toMatchObject({ name: "waiting", reason: `sse: refused with status ${status}` });
});

test.each([
  ["7", 8],
  ["999999", 301],
  ["Wed, 21 Oct 2026 07:28:00 GMT", 2],
])("Retry-After: %s is obeyed, with a part of a second by chance", async (header, wait) => {
  sseStatus = 503;
  sseHeaders = { "Retry-After": header };
  await fallBack();
  expect(gate.state).toMatchObject({ name: "waiting", until: Date.now() + wait * 1000 });
});
