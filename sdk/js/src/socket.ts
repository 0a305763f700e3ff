// A connection over a WebSocket.

import type { Codec, FromServer, Hears, Link, Message } from "./types";

export const JSON_CODEC: Codec = {
  protocol: "pushgate.v1.json",
  encode: JSON.stringify,
  decode: (data) => JSON.parse(data as string) as FromServer,
};

/** Return a message as the page gets it: in JSON bytes are base64. */
export function readMessage({ type: _, encoding, ...message }: FromServer & { type: "message" }): Message {
  if (!encoding) return message;
  return { ...message, data: Uint8Array.from(atob(message.data as string), (byte) => byte.charCodeAt(0)) };
}

/** Connect to `url`, an absolute one with its query. */
export function openSocket(url: URL, token: string, codec: Codec, hears: Hears): Link {
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, [codec.protocol, `bearer.${token}`]);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => hears.opened();
  socket.onmessage = (event) => hears.heard(codec.decode(event.data));
  socket.onclose = ({ code, reason }) => hears.closed({ code, reason });
  return {
    send: (message) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(codec.encode(message));
    },
    close: () => {
      // A dead peer does not answer a close: nothing is waited for.
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    },
  };
}
