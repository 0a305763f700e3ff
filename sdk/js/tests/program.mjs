// A program that uses the SDK as it was built: `node program.mjs SETTING`, which is JSON. It prints what happens, a line of
// JSON each, and leaves at the end of its input.

import WebSocket from "ws";
import { msgpack } from "../dist/msgpack.js";
import { Pushgate } from "../dist/pushgate.js";

const { url, tokens, clients = 1, ms = 0, speed = 1, own = true, blocked = false, binary = false, ...options } = JSON.parse(process.argv[2]);

// Time that is to pass sooner, so that silence is noticed within a test.
const { setTimeout } = globalThis;
const { now } = Date;
const begun = now();
Date.now = () => begun + (now() - begun) * speed;
globalThis.setTimeout = (work, wait, ...rest) => setTimeout(work, wait / speed, ...rest);

/** What a proxy that knows no WebSocket makes of one. */
class Blocked extends WebSocket {
  constructor(url, protocols) {
    super(String(url).replace("/ws", "/"), protocols);
  }
}

const say = (client, what) => process.stdout.write(`${JSON.stringify({ client, at: now(), ...what })}\n`);
const show = (data) => (data instanceof Uint8Array ? { bytes: [...data] } : data);

const gates = [];
for (let client = 0; client < clients; client++) {
  const gate = new Pushgate(url, {
    token: async () => (await fetch(tokens)).text(),
    onState: (state) => say(client, { state }),
    onError: (error) => say(client, { error: String(error) }),
    ...(own && { WebSocket: blocked ? Blocked : WebSocket }),
    ...(binary && { codec: msgpack }),
    ...options,
  });
  gates.push(gate.on("*", ({ data }) => say(client, { data: show(data) })));
  if (ms) await new Promise((resolve) => setTimeout(resolve, ms));
}
process.stdin.resume().on("end", () => gates.forEach((gate) => gate.close()));
