// What changed between two looks at the gateway: nodes that came, went or turned, workers that were started again.

import { $, make } from "./console_dom.js";
import { stateOf } from "./console_nodes.js";

const MOST_EVENTS = 100;
const COUNTED = {
  worker_watchdog_kills_total: "was stuck and killed",
  worker_restarts_total: "died and is started again",
  nats_server_restarts_total: "The embedded nats-server was started again",
  bus_gaps_total: "The bus may have lost live messages",
  bus_reconnects_total: "The connection to the bus came back",
};

/** Remembers the look before, and tells what is different in the next one. */
export class Changes {
  constructor() {
    this._states = null;
    this._scrape = null;
  }

  /** Return what changed since the look before: levels and texts. Of the first look there is nothing to tell. */
  look({ nodes, missing }, scrape) {
    const states = new Map(nodes.map((node) => [node.node, { level: stateOf(node), up: node.up }]));
    for (const node of missing) states.set(node, { level: ["bad", "no answer"], up: null });
    const found = [...this._compareNodes(states), ...this._compareCounters(scrape)];
    this._states = states;
    this._scrape = scrape;
    return found;
  }

  *_compareNodes(states) {
    if (this._states === null) return;
    for (const [node, { level, up }] of states) {
      const before = this._states.get(node);
      if (before === undefined) yield ["good", `${node} joined: ${level[1]}`];
      else if (before.level[1] !== level[1]) yield [level[0], `${node}: ${level[1]}, was ${before.level[1]}`];
      else if (up !== null && up < before.up) yield ["warn", `${node} was started again, or upgraded`];
    }
    for (const node of this._states.keys()) if (!states.has(node)) yield ["warn", `${node} left`];
  }

  *_compareCounters(scrape) {
    const here = scrape.samples("node_info")[0]?.labels.name ?? "this node";
    for (const [name, text] of Object.entries(COUNTED)) {
      for (const { labels } of scrape.samples(name)) {
        if (scrape.since(this._scrape, name, labels) > 0) {
          yield ["bad", labels.worker === undefined ? `${text} (${here})` : `Worker ${labels.worker} of ${here} ${text}`];
        }
      }
    }
    for (const { labels } of scrape.samples("config_reloads_total")) {
      if (scrape.since(this._scrape, "config_reloads_total", labels) > 0) {
        yield [labels.result === "done" ? "good" : "bad", `${here}: a reload of the configuration ${labels.result === "done" ? "was taken on" : "failed"}`];
      }
    }
  }
}

/** Write an event above those before it. */
export function showEvent(level, text) {
  const now = new Date();
  const time = make("time", { datetime: now.toISOString() }, now.toLocaleTimeString([], { hour12: false }));
  $("events").prepend(make("li", { "data-level": level }, time, make("span", {}, text)));
  while ($("events").children.length > MOST_EVENTS) $("events").lastChild.remove();
  $("events-none").hidden = true;
}
