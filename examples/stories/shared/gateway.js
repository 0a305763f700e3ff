// A page's connection to the gateway over a plain WebSocket, as docs/protocol.md says. It has the shape of the JavaScript SDK, so
// that a story changes one import to use that. Here each tab is a device of its own: `<device>-1`, `<device>-2`, …

export class Pushgate {
  #url;
  #options;
  #device;
  #socket;
  #handlers = new Map();
  #work = Promise.resolve(); // messages are handled one after another
  #failures = 0;
  #after = 0; // seconds that the gateway asks to stay away

  /** `token()` gives a promise of one; with a `device` there is an inbox; `onState({name})`: connecting, connected, waiting, closed. */
  constructor(url, options) {
    this.#url = url;
    this.#options = options;
    holdName(options.device).then((device) => ((this.#device = device), this.#open()));
  }

  /** Have messages of an event handed to a handler; they count as handled when its promise has resolved. */
  on(event, handler) {
    this.#handlers.set(event, handler);
    return this;
  }

  async #open() {
    this.#options.onState?.({ name: "connecting" });
    const token = await this.#options.token().catch(() => null);
    if (token === null) return this.#again();
    const query = this.#device ? `?${new URLSearchParams({ device: this.#device, ...this.#place })}` : "";
    this.#socket = new WebSocket(this.#url + query, ["pushgate.v1.json", `bearer.${token}`]);
    this.#socket.onmessage = ({ data, target }) => {
      this.#work = this.#work.then(() => this.#hear(JSON.parse(data), target)).catch((error) => {
        console.error(error);
        target.close(); // the message comes again
      });
    };
    this.#socket.onclose = ({ code }) => (code < 4500 || code === 4501 ? this.#again() : this.#options.onState?.({ name: "closed", code }));
  }

  async #hear(message, socket) {
    if (socket !== this.#socket) return;
    if (message.type === "welcome") {
      this.#failures = 0;
      const known = this.#place;
      if (message.epoch && (known?.epoch !== message.epoch || known.cursor < message.cursor)) this.#place = message;
      this.#options.onState?.({ name: "connected", missed: message.missed === true });
    } else if (message.type === "reconnect") {
      this.#after = message.after;
    } else if (message.type === "message") {
      if (!this.#device || message.offset === undefined) return this.#handlers.get(message.event)?.(message);
      if (message.offset <= this.#place.cursor) return; // it was here before
      await this.#handlers.get(message.event)?.(message);
      this.#place = { cursor: message.offset, epoch: this.#place.epoch };
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", offset: message.offset }));
    }
  }

  #again() {
    this.#options.onState?.({ name: "waiting" });
    const wait = 1000 * this.#after + Math.random() * Math.min(30_000, 500 * 2 ** this.#failures);
    this.#failures += 1;
    this.#after = 0;
    setTimeout(() => this.#open(), wait);
  }

  get #place() {
    return JSON.parse(localStorage.getItem(`place of ${this.#device}`)) ?? undefined;
  }

  set #place({ cursor, epoch }) {
    localStorage.setItem(`place of ${this.#device}`, JSON.stringify({ cursor, epoch }));
  }
}

/** Return the first name that no other tab has; it is held as long as this tab lives. */
async function holdName(device) {
  for (let number = 1; device; number += 1) {
    const name = `${device}-${number}`;
    const held = await new Promise((resolve) => {
      navigator.locks.request(name, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        return lock && new Promise(() => {});
      });
    });
    if (held) return name;
  }
}
