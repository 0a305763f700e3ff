// The optional codec: what the gateway sends in MessagePack, and what it is sent.

import { decode, encode } from "@msgpack/msgpack";
import { expect, test } from "vitest";
import { msgpack } from "../src/msgpack";

test("bytes stay bytes, and numbers numbers", () => {
  const message = { type: "message", id: "m", event: "e", data: new Uint8Array([1, 255]), time: 1764000000000, offset: 2 ** 53 - 1 };
  const { buffer, byteOffset, byteLength } = encode(message);
  expect(msgpack.decode(buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer)).toEqual(message);
});

test("what is said is a map", () => {
  expect(decode(msgpack.encode({ type: "ack", offset: 47 }) as Uint8Array)).toEqual({ type: "ack", offset: 47 });
  expect(msgpack.protocol).toBe("pushgate.v1.msgpack");
});
