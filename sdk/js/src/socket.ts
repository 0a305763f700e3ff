// A connection over a WebSocket.

import type { Codec, FromServer, Message, Open, WebSocketClass } from "./types";

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

/** Return what connects to a URL, an absolute one with its query. Throws TypeError where there is no WebSocket to do it with. */
export function chooseOpener(codec: Codec, given: WebSocketClass | undefined): Open {
  const Socket = given ?? globalThis.WebSocket;
  if (!Socket) throw new TypeError("WebSocket: there is none here; give one, as of the package ws");
  return (url, token, hears) => {
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new Socket(url, [codec.protocol, `bearer.${token}`]);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => hears.opened();
    socket.onmessage = (event: MessageEvent) => hears.heard(codec.decode(event.data));
    socket.onclose = ({ code, reason }: CloseEvent) => hears.closed({ code, reason });
    socket.onerror = () => {}; // some throw what nobody listens to; the close behind it says what there is to say
    return {
      send: (message) => {
        if (socket.readyState === 1) socket.send(codec.encode(message));
      },
      close: () => {
        // A dead peer does not answer a close: nothing is waited for.
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close(1000);
      },
    };
  };
}
