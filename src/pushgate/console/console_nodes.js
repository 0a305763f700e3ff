// The tables of all nodes, and of the workers of the node that serves the page.

import { $, bytes, fill, fillTable, lasting, makePill, number, short } from "./console_dom.js";

const NODES = ["Node", "State", "Version", "Up #", "Connections #", "Users #", "Pushes/s #", "Delivered/s #", "Bus #", "Inbox #"];
const WORKERS = ["Worker", "Connections #", "Users #", "CPU #", "Memory #", "Loop lag #", "Collection #", "Files #", "Up #", "Restarts #"];

const seen = new Set(); // nodes that were there since this page was opened

/** Show what GET /v1/nodes answered, and which nodes were there before and are not any more. */
export function showNodes({ nodes, missing }) {
  const rows = nodes.map((node) => [
    node.node,
    makePill(...stateOf(node)),
    node.version,
    lasting(node.up),
    number(node.connections),
    number(node.users),
    number(node.pushes_per_second),
    number(node.delivered_per_second),
    shareOf(node.bus_workers, node.workers),
    shareOf(node.inbox_workers, node.workers),
  ]);
  const absent = (node, level, word) => rows.push([node, makePill(level, word), ...NODES.slice(2).map(() => "–")]);
  for (const node of missing) absent(node, "bad", "no answer");
  const there = new Set(rows.map(([node]) => node));
  for (const node of seen) if (!there.has(node)) absent(node, "warn", "gone");
  for (const node of there) seen.add(node);
  rows.sort((one, other) => one[0].localeCompare(other[0]));
  fillTable($("node-table"), NODES, rows);
  const ready = nodes.filter((node) => node.ready).length;
  fill($("nodes-note"), `${ready} of ${rows.length} ready, all tenants together`);
}

/** Show the workers as a scrape has them, and what they did since the one before. */
export function showWorkers(scrape, before) {
  fill($("here"), scrape.samples("node_info")[0]?.labels.name ?? "the node");
  const rows = scrape.samples("worker_connections").map(({ labels }) => {
    const value = (name) => scrape.value(name, labels);
    const started = value("worker_start_time_seconds");
    const cpu = scrape.rate(before, "worker_cpu_seconds_total", labels);
    return [
      labels.worker,
      number(value("worker_connections")),
      number(value("worker_users")),
      cpu === null ? "–" : `${number(cpu * 100)} %`,
      bytes(value("worker_memory_bytes")),
      short(value("worker_loop_lag_seconds")),
      short(value("worker_gc_pause_seconds")),
      `${number(value("worker_open_files"))} / ${number(value("worker_max_files"))}`,
      started ? lasting(scrape.time - started) : "away",
      number(value("worker_restarts_total")),
    ];
  });
  fillTable($("worker-table"), WORKERS, rows);
}

/** Return how a node is: a level and its word. */
export function stateOf(node) {
  if (node.draining) return ["warn", "draining"];
  if (node.upgrading) return ["warn", "upgrading"];
  return node.ready ? ["good", "ready"] : ["bad", node.not_ready?.join("; ") || "not ready"];
}

const shareOf = (some, all) => (some === null ? "–" : `${some}/${all}`);
