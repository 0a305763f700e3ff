// How the bus and the inbox are, and what the tenant has of what it may take.

import { $, bytes, fill, fillFacts, fillPill, lasting, number, short } from "./console_dom.js";

/** Show the bus: who has it on all nodes, and how it was for this node in the last minute. */
export function showBus({ nodes }, scrape, minute) {
  const known = nodes.filter((node) => node.bus_workers !== null);
  const [have, all] = [sum(known, "bus_workers"), sum(known, "workers")];
  fillPill($("bus-state"), ...levelOf(have, all));
  fillFacts($("bus-facts"), [
    ["Workers connected", `${have} of ${all}`],
    ["A push on the way, p99", short(scrape.quantile(minute, "bus_lag_seconds", 0.99))],
    ["Reconnects", number(scrape.value("bus_reconnects_total"))],
    ["Gaps", number(scrape.value("bus_gaps_total"))],
    ["Restarts of its server", number(scrape.value("nats_server_restarts_total"))],
  ]);
}

/** Show the inbox in the same way. */
export function showInbox({ nodes }, scrape, minute) {
  const known = nodes.filter((node) => node.inbox_workers !== null);
  if (known.length === 0) {
    fillPill($("inbox-state"), "warn", "none");
    return fillFacts($("inbox-facts"), [["Reliable messages", "not kept"]]);
  }
  const [have, all] = [sum(known, "inbox_workers"), sum(known, "workers")];
  const [stored, most] = [scrape.value("nats_stored_bytes"), scrape.value("nats_max_stored_bytes")];
  fillPill($("inbox-state"), ...levelOf(have, all));
  fillFacts($("inbox-facts"), [
    ["Workers ready", `${have} of ${all}`],
    ["An append, p99", short(scrape.quantile(minute, "inbox_append_seconds", 0.99))],
    ["Devices behind", number(scrape.value("devices_behind"))],
    ["Failures", number(scrape.value("inbox_failures_total"))],
    most ? ["Stored", `${bytes(stored)} of ${bytes(most)}`, stored / most] : ["Stored", "on a server of its own"],
  ]);
}

/** Show the tenant's use of this node and of the inbox, and its limits. */
export function showTenant({ tenant, limits }, stats, scrape) {
  const here = scrape.samples("node_info")[0]?.labels.name;
  const mine = stats.nodes.find((node) => node.node === here);
  const used = (name, value, limit, format = number) =>
    limit ? [name, `${format(value)} of ${format(limit)}`, Math.min(1, value / limit)] : [name, `${format(value)}, no limit`];
  const [stored, most] = ["tenant_inbox_bytes", "tenant_inbox_max_bytes"].map((name) => scrape.value(name, { tenant }) ?? 0);
  fill($("use-name"), tenant);
  fillFacts($("use-facts"), [
    ["Connections, all nodes", number(stats.total.connections)],
    used("Connections, this node", mine?.connections ?? 0, limits.connections),
    used("Pushes/s, this node", mine?.pushes_per_second ?? 0, limits.pushes_per_second),
    used("Inbox", stored, most, bytes),
    ["A message", limits.max_message ? `${bytes(limits.max_message)} at most` : "no limit"],
    ["Kept, reliable", `${lasting(limits.max_ttl)} at most`],
  ]);
}

const sum = (nodes, name) => nodes.reduce((total, node) => total + node[name], 0);

function levelOf(have, all) {
  if (have === all) return ["good", "well"];
  return have === 0 ? ["bad", "away"] : ["warn", "away for some"];
}
