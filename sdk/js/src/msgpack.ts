// MessagePack on WebSockets, for who asks for it: needs the package @msgpack/msgpack.

import { decode, encode } from "@msgpack/msgpack";
import type { Codec, FromServer } from "./types";

export const msgpack: Codec = {
  protocol: "pushgate.v1.msgpack",
  encode: (message) => encode(message) as Uint8Array<ArrayBuffer>,
  decode: (data) => decode(data as ArrayBuffer) as FromServer,
};
