// The console: signs in, looks at the gateway every two seconds while the page is visible, and hands on what it saw.

import { callApi, keepKey, readKey, scrape } from "./console_api.js";
import { Chart } from "./console_chart.js";
import { $, fill, fillPill, number, short } from "./console_dom.js";
import { clearEvents, refreshEvents, setUpEvents } from "./console_events.js";
import { showBus, showInbox, showTenant } from "./console_health.js";
import { Scrape } from "./console_metrics.js";
import { showNodes, showWorkers } from "./console_nodes.js";
import { clearPush, setUpPush } from "./console_push.js";
import { clearUser, refreshUser, setUpUser } from "./console_user.js";

const PAUSE = 2_000; // ms between two looks
const MINUTE = 30; // looks
const EVENTS = 3; // looks between two at the events
const NO_KEY = "The gateway does not know this key any more. Sign in with another one.";

const charts = {
  connections: new Chart({ title: "Connections", note: "all nodes", lines: ["connections", "users"], format: number, minimum: 4 }),
  pushes: new Chart({ title: "Pushes", note: "all nodes", lines: ["a second"], format: number }),
  delivered: new Chart({ title: "Deliveries", note: "all nodes", lines: ["a second"], format: number }),
  latency: new Chart({ title: "Latency", note: "push to write, this node", lines: ["p50", "p99"], format: short, minimum: 0.001 }),
};
$("charts").append(...Object.values(charts).map((chart) => chart.element));

let round = 0; // tells the looks of an earlier key from those of now
let timer = 0;
let access = null; // what GET /v1/tenant answered
let scrapes = [];
let looks = 0;

// --- The key

async function signIn(key) {
  $("entrance-error").textContent = "";
  try {
    access = await callApi("/v1/tenant", { key });
  } catch (error) {
    if (error.status === 401) keepKey(null);
    return showEntrance(error.message);
  }
  keepKey(key);
  $("key").value = "";
  fill($("tenant"), access.tenant);
  const full = access.access === "full";
  $("access").hidden = full;
  clearUser(full);
  clearPush(full);
  begin();
}

function showEntrance(problem = "") {
  round++;
  clearTimeout(timer);
  $("entrance").hidden = false;
  $("board").hidden = $("who").hidden = true;
  $("entrance-error").textContent = problem;
  $("key").setAttribute("aria-invalid", String(problem !== ""));
  $("key").focus();
}

function signOut(problem) {
  keepKey(null);
  clearUser(false);
  clearPush(false);
  clearEvents();
  showEntrance(problem);
}

// --- Looking

function begin() {
  round++;
  scrapes = [];
  looks = 0;
  clearEvents();
  Object.values(charts).forEach((chart) => chart.clear());
  $("entrance").hidden = true;
  $("board").hidden = $("who").hidden = false;
  look();
}

async function look() {
  clearTimeout(timer);
  const mine = round;
  try {
    const [nodes, stats, text, tenant] = await Promise.all([callApi("/v1/nodes"), callApi("/v1/stats"), scrape(), callApi("/v1/tenant")]);
    if (mine !== round) return;
    access = tenant;
    show(nodes, stats, new Scrape(text, Date.now() / 1000));
    await refreshUser();
    if (looks++ % EVENTS === 0) await refreshEvents();
    if (mine !== round) return;
  } catch (error) {
    if (mine !== round) return;
    if (error.status === 401) return signOut(NO_KEY);
    fillPill($("pulse"), "bad", "No answer");
    fill($("alarm"), `${error.message} What is below is from before.`);
  }
  if (!document.hidden) timer = setTimeout(look, PAUSE);
}

function show(nodes, stats, now) {
  const before = scrapes.at(-1);
  const minute = scrapes[0];
  scrapes = [...scrapes, now].slice(-MINUTE);
  const total = (name) => nodes.nodes.reduce((sum, node) => sum + (node[name] ?? 0), 0);
  charts.connections.add(now.time, [total("connections"), total("users")]);
  charts.pushes.add(now.time, [total("pushes_per_second")]);
  charts.delivered.add(now.time, [total("delivered_per_second")]);
  charts.latency.add(now.time, [0.5, 0.99].map((share) => now.quantile(before, "push_to_write_seconds", share)));
  showNodes(nodes);
  showWorkers(now, before);
  showBus(nodes, now, minute);
  showInbox(nodes, now, minute);
  showTenant(access, stats, now);
  fillPill($("pulse"), "good", "Live");
  fill($("alarm"), nodes.missing.length === 0 ? "" : `No answer from ${nodes.missing.join(", ")}.`);
}

// --- The page

$("entrance-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn($("key").value.trim());
});
$("sign-out").addEventListener("click", () => signOut());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !$("board").hidden) look();
  else clearTimeout(timer);
});
setUpUser();
setUpEvents();
setUpPush();
if (readKey() === null) showEntrance();
else signIn(readKey());
