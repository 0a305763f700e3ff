// Pushes to a user with fetch: node push.mjs USER ORDER, with PUSHGATE_KEY (and PUSHGATE_API) set. Node 18 or newer.

const api = process.env.PUSHGATE_API ?? "http://127.0.0.1:8001";
const headers = { Authorization: `Bearer ${process.env.PUSHGATE_KEY}`, "Content-Type": "application/json" };
const [user, order] = process.argv.slice(2);

/** Push once. Rejects when there is no answer. */
function push(body) {
  return fetch(`${api}/v1/push`, { method: "POST", headers, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000) });
}

/** Push until it is stored, for 90 s. Repeating is safe for two minutes, because of the push's id. */
async function pushReliably(body) {
  const until = Date.now() + 90_000;
  for (let wait = 500; ; wait = Math.min(wait * 2, 16_000)) {
    const answer = await push(body).catch(() => null); // null: it may be stored or not
    if (answer?.ok) return answer;
    if (answer && answer.status !== 429 && answer.status < 500) throw new Error(await answer.text());
    const pause = Math.random() * wait + 1000 * (answer?.headers.get("Retry-After") ?? 0);
    if (Date.now() + pause > until) throw new Error("the gateway did not take the push in time");
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// Live: for who is there now. It is not repeated, since a moment later it is worth nothing.
const live = await push({ user, event: "packing", data: { order } });
console.log(await live.text());

// Reliable: kept until every device of the user has it, or its ttl (in seconds) is over.
const paid = { user, event: "paid", data: { order }, qos: "reliable", ttl: 86400, id: `order-${order}-paid` };
console.log(await (await pushReliably(paid)).text());
