// A connection over Server-Sent Events, where a network lets no WebSocket through; what the client says goes by POST.

import type { Ending, FromServer, Hears, Link } from "./types";

const LONGEST_RETRY = 300; // seconds: a Retry-After above is a mistake
const LATE = 10_000; // ms that a comment may be late

/** Return in how many seconds an answer says to come back: whole ones, and the part of one more is by chance. */
function readRetryAfter({ headers }: Response): number | undefined {
  const seconds = headers.get("Retry-After");
  return seconds && /^\d+$/.test(seconds) ? Math.min(+seconds, LONGEST_RETRY) + Math.random() : undefined;
}

/** Connect to `sse` beside `url`, an absolute one with its query. */
export function openEvents(url: URL, token: string, hears: Hears): Link {
  url.protocol = url.protocol.replace("ws", "http");
  const headers = { Authorization: `Bearer ${token}` };
  const stop = new AbortController();
  let session = "";
  let acked = 0;
  let spoke = 0; // when the stream did
  let patience = 0; // ms that a stream which is well is silent for at the most

  const end = (ending: Ending) => {
    if (!stop.signal.aborted) hears.closed(ending);
    stop.abort();
  };

  const take = (block: string) => {
    const field = (name: string) => block.match(RegExp(`^${name}: ?(.*)`, "m"))?.[1];
    const data = field("data");
    if (data === undefined) return hears.heard();
    if (field("event") === "close") return end(JSON.parse(data) as Ending);
    const message = JSON.parse(data) as FromServer;
    if (message.type === "welcome") {
      session = message.session;
      patience = message.ping * 1000 + LATE;
      acked = message.cursor ?? 0;
    }
    hears.heard(message);
  };

  const read = async () => {
    const answer = await fetch(new URL("sse" + url.search, url), { headers, signal: stop.signal });
    if (!answer.ok || !answer.body) {
      await answer.body?.cancel();
      // Whatever it says: it may be a proxy's word. What the gateway itself does not like it says by `close`.
      return end({ code: 0, reason: `sse: refused with status ${answer.status}`, after: readRetryAfter(answer) });
    }
    hears.opened();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; ; ) {
      const { done, value } = await reader.read();
      if (done) return end({ code: 1006, reason: "" });
      spoke = Date.now();
      const blocks = (text + value).split("\n\n");
      text = blocks.pop()!;
      for (const block of blocks) if (!stop.signal.aborted) take(block);
    }
  };

  const acknowledge = async (offset: number) => {
    const body = JSON.stringify({ session, offset });
    const { status } = await fetch(new URL("ack", url), { method: "POST", headers, body, signal: stop.signal });
    if (status === 404) end({ code: 1006, reason: "the session is gone" });
    // It came another way: it says nothing of a stream that lacks its comments.
    else if (Date.now() - spoke < patience && !stop.signal.aborted) hears.heard();
  };

  read().catch((error: unknown) => end({ code: 1006, reason: `sse: ${error}` }));
  return {
    send: (message) => {
      if (message.type === "ack") acked = message.offset;
      // An acknowledgement that moves nothing is answered too, and so serves as a ping. A lost one is made good by
      // the next. There is no way to refresh a token: at its end the stream ends, and the next has a new one.
      if (message.type !== "refresh") acknowledge(acked).catch(() => {});
    },
    close: () => stop.abort(),
  };
}
