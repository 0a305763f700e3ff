// A page's connection to the gateway, which comes back by itself.
//
// States, told to `onState`:
//   {name: "connecting"}                         a token, then a socket, then the gateway's `welcome`
//   {name: "connected", session, user, missed}   missed: reliable messages after the cursor are gone
//   {name: "waiting", until, code, reason}       connecting again at `until` (ms since 1970)
//   {name: "closed", code, reason}               staying closed until `start`
//
// The page is a device: reliable messages wait for it while it is away. Its place is {cursor, epoch}: it has everything up
// to the cursor, of the logs of that epoch. A message is acknowledged once it was shown, and one that is not above the
// cursor came before.
//
// `code` is a WebSocket close code, or 0 when there was none; `reason` is then all there is to say.

const FIRST_DELAY = 500; // ms: the back-off is a random part of 0.5 s, 1 s, 2 s … 30 s
const LONGEST_DELAY = 30_000;
const STEADY = 5_000; // a connection that lived this long starts the back-off afresh
const SILENCE = 40_000; // without a message this long, ask whether the gateway is still there
const PONG_WAIT = 10_000;
const PROBE_WAIT = 5_000; // the same, where there is a reason to doubt
const WELCOME_WAIT = 15_000;
const ACK_WAIT = 50; // what is shown meanwhile is acknowledged together
const TOKEN_EXPIRED = 4501;
const LONGEST_TIMER = 2 ** 31 - 1;

/** A failed call of the API: `status` is 0 when there was no answer at all, `retryAfter` in seconds. */
export class ApiError extends Error {
  constructor(status, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same call may do better later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export class Connection {
  #options;
  #user = "";
  #token = null;
  #socket = null;
  #attempt = 0; // failures in a row
  #turn = 0; // tells an answer that comes late from one that is still wanted
  #welcomed = 0; // when, in ms; 0 while there was no welcome
  #place = null; // null where the gateway has no inbox for this page
  #notBefore = 0; // what the gateway's `reconnect` asked for, in ms since 1970
  #state = "closed";
  #timers = new Map();

  /**
   * @param {object} options `url` of the gateway; `closes`: {again} by close code; `fetchToken(user)`, a promise of
   *   a token, or an ApiError; `device`, the page's name for itself; `loadPlace(user)`, a place or null, and
   *   `savePlace(user, place)`. `onState`, `onMessage` and `onError` are called with what they are named after,
   *   `onAcknowledged` with an offset: everything up to it was acknowledged.
   */
  constructor(options) {
    this.#options = options;
  }

  /** Connect as a user, now; a connection that is there is left. */
  start(user) {
    if (user !== this.#user) this.#token = null;
    this.#user = user;
    this.#attempt = 0;
    this.#open();
  }

  /** Leave, and stay away until `start`. */
  stop() {
    this.#leave();
    this.#tell({ name: "closed", code: 0, reason: "Closed by you." });
  }

  /** The network or the tab came back: do not wait any longer, and doubt a connection that seems to be there. */
  wake() {
    if (this.#state === "waiting" && Date.now() >= this.#notBefore) this.#open();
    else this.doubt();
  }

  /** Ask the gateway for a sign of life. */
  doubt() {
    if (this.#state === "connected") this.#ping(PROBE_WAIT);
  }

  async #open() {
    this.#leave();
    this.#notBefore = 0;
    const turn = this.#turn;
    this.#tell({ name: "connecting" });
    try {
      if (this.#token === null || secondsLeft(this.#token) < 30) {
        const token = await this.#options.fetchToken(this.#user);
        if (turn !== this.#turn) return;
        this.#token = token;
      }
    } catch (error) {
      if (turn === this.#turn) this.#noToken(error);
      return;
    }
    const socket = new WebSocket(this.#address(), ["pushgate.v1.json", `bearer.${this.#token}`]);
    socket.onmessage = (event) => this.#hear(event.data);
    socket.onclose = (event) => this.#closed(event.code, event.reason);
    this.#socket = socket;
    this.#after("welcome", WELCOME_WAIT, () => this.#again(0, "The gateway did not say welcome in time."));
  }

  /** Return where to connect; a page that was never here before does not want what was pushed before it came. */
  #address() {
    this.#place = this.#options.loadPlace(this.#user);
    const query = new URLSearchParams({ device: this.#options.device, ...(this.#place ?? { from: "now" }) });
    return `${this.#options.url}?${query}`;
  }

  #hear(text) {
    this.#cancel("pong");
    this.#after("silence", SILENCE, () => this.#ping(PONG_WAIT));
    const message = JSON.parse(text);
    switch (message.type) {
      case "welcome":
        this.#cancel("welcome");
        this.#welcomed = Date.now();
        this.#planRefresh();
        this.#tell({ name: "connected", session: message.session, user: message.user, missed: message.missed === true });
        this.#begin(message);
        break;
      case "message":
        if (this.#place === null || message.offset === undefined) this.#options.onMessage(message);
        else if (message.offset > this.#place.cursor) this.#take(message);
        break;
      case "reconnect":
        this.#notBefore = Date.now() + message.after * 1000;
        break;
      case "error":
        this.#options.onError(message);
        break;
    }
  }

  /** Take where the gateway says that this page goes on. */
  #begin({ cursor, epoch }) {
    if (epoch === undefined) {
      this.#place = null;
      return;
    }
    if (this.#place?.epoch !== epoch || this.#place.cursor < cursor) this.#move({ cursor, epoch });
    this.#options.onAcknowledged(cursor);
  }

  #take(message) {
    this.#options.onMessage(message);
    this.#move({ ...this.#place, cursor: message.offset });
    if (this.#timers.has("ack")) return;
    this.#after("ack", ACK_WAIT, () => {
      const { cursor } = this.#place;
      if (this.#send({ type: "ack", offset: cursor })) this.#options.onAcknowledged(cursor);
    });
  }

  #move(place) {
    this.#place = place;
    this.#options.savePlace(this.#user, place);
  }

  #ping(wait) {
    this.#send({ type: "ping" });
    if (!this.#timers.has("pong")) {
      this.#after("pong", wait, () => this.#again(0, "The gateway stopped answering."));
    }
  }

  #planRefresh() {
    const seconds = Math.max(5, secondsLeft(this.#token) * 0.8);
    this.#after("refresh", seconds * 1000, async () => {
      const turn = this.#turn;
      try {
        const token = await this.#options.fetchToken(this.#user);
        if (turn !== this.#turn) return;
        this.#token = token;
        this.#send({ type: "refresh", token });
      } catch {
        // Tried again while the old token holds; after that the gateway closes with 4501.
      }
      if (turn === this.#turn) this.#planRefresh();
    });
  }

  #noToken(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.passing) this.#again(0, error.message, error.retryAfter * 1000);
    else this.#stay(0, error.message);
  }

  #closed(code, reason) {
    if (code === TOKEN_EXPIRED) this.#token = null;
    const advice = this.#options.closes[code];
    if (code === TOKEN_EXPIRED || (advice ? advice.again : code < 4500)) this.#again(code, reason);
    else this.#stay(code, reason);
  }

  #again(code, reason, least = 0) {
    const now = Date.now();
    if (this.#welcomed && now - this.#welcomed >= STEADY) this.#attempt = 0;
    this.#leave();
    const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt);
    this.#attempt += 1;
    // The gateway has spread its clients already; on our own we spread by chance.
    const until = this.#notBefore || now + Math.max(least, Math.random() * longest);
    this.#after("open", Math.max(0, until - now), () => this.#open());
    this.#tell({ name: "waiting", until, code, reason });
  }

  #stay(code, reason) {
    this.#leave();
    this.#token = null;
    this.#tell({ name: "closed", code, reason });
  }

  /** Let go of socket and timers without waiting for anybody: a dead peer does not answer a close. */
  #leave() {
    this.#turn += 1;
    this.#welcomed = 0;
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    if (this.#socket === null) return;
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
    this.#socket = null;
  }

  /** Send a message; returns whether there is a connection that takes it. */
  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #tell(state) {
    this.#state = state.name;
    this.#options.onState(state);
  }

  #after(name, delay, action) {
    this.#cancel(name);
    const run = () => {
      this.#timers.delete(name);
      action();
    };
    this.#timers.set(name, setTimeout(run, Math.min(delay, LONGEST_TIMER)));
  }

  #cancel(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

/** Return the seconds until a JWT expires; it was not checked, and need not be: it is our own. */
function secondsLeft(token) {
  const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return (JSON.parse(atob(payload)).exp ?? Infinity) - Date.now() / 1000;
}
