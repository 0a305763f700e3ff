// What happened to the nodes: their lifecycle events, the newest first, of all nodes or of one.

import { callApi } from "./console_api.js";
import { $, fill, make } from "./console_dom.js";

const KEPT = 500; // events
const TOGETHER = 10; // s within which the same from several workers is one line
const SPOKEN = 3; // new events that a screen reader is told one by one, warnings and errors before others
const LEVELS = { info: "plain", warning: "warn", error: "bad" };
const SPOKEN_LEVELS = { info: "", warning: "Warning: ", error: "Error: " };
const time = new Intl.DateTimeFormat([], { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat([], { month: "short", day: "numeric" });
let known = new Map(); // what nodes told, also those that do not answer any more
let asked = false;

/** Have the choice of a node work. */
export function setUpEvents() {
  $("events-node").addEventListener("change", show);
}

/** Begin anew. */
export function clearEvents() {
  known = new Map();
  asked = false;
  $("events-node").value = "";
  fill($("events-news"), "");
  show();
}

/** Look once more what happened. Throws ApiError. */
export async function refreshEvents() {
  const mine = known;
  const { events } = await callApi("/v1/events");
  if (mine !== known) return;
  const news = events.filter((event) => !known.has(keyOf(event)));
  for (const event of news) known.set(keyOf(event), event);
  if (asked) speak(news);
  if (news.length > 0 || !asked) {
    const all = [...known.values()].sort((one, other) => other.time - one.time).slice(0, KEPT);
    known = new Map(all.map((event) => [keyOf(event), event]));
    asked = true;
    show();
  }
}

const keyOf = ({ node, time, event, facts }) => JSON.stringify([node, time, event, facts]);

/** Tell those who do not see it, when they are not spoken to. */
function speak(news) {
  if (news.length === 0) return;
  const loud = news.filter(({ level }) => level !== "info");
  const spoken = (loud.length > 0 ? loud : news).slice(-SPOKEN);
  const words = spoken.map(({ node, level, event }) => `${SPOKEN_LEVELS[level]}${node}: ${event}.`);
  if (news.length > spoken.length) words.push(`${news.length - spoken.length} more events.`);
  fill($("events-news"), words.join(" "));
}

function show() {
  const events = [...known.values()];
  offer([...new Set(events.map((event) => event.node))].sort());
  const node = $("events-node").value;
  const lines = gather(node === "" ? events : events.filter((event) => event.node === node));
  $("events").replaceChildren(...lines.map(write));
  $("events-none").hidden = lines.length > 0;
  $("events-scroll").hidden = lines.length === 0;
}

/** Offer these nodes to choose from; what was chosen stays, while it is there. */
function offer(nodes) {
  const select = $("events-node");
  const chosen = nodes.includes(select.value) ? select.value : "";
  const options = ["", ...nodes].map((node) => make("option", { value: node }, node || "all"));
  if (select.options.length !== options.length || options.some((option, index) => option.value !== select.options[index].value)) {
    select.replaceChildren(...options);
  }
  select.value = chosen;
}

/** Return events as lines: what several workers of a node told alike at about the same time is one. */
function gather(events) {
  const lines = [];
  for (const { node, time, level, event, facts } of events) {
    const { worker, pid, ...others } = facts;
    const alike = JSON.stringify([node, event, others]);
    const line = lines.findLast((line) => line.alike === alike && line.time - time < TOGETHER);
    if (worker !== undefined && line?.workers.length > 0 && !line.workers.includes(worker)) {
      line.workers.push(worker);
      line.facts = others;
    } else {
      const workers = worker === undefined ? [] : [worker];
      lines.push({ alike, node, time, level, event, workers, facts: pid === undefined ? others : { pid, ...others } });
    }
  }
  return lines;
}

function write({ node, time: seconds, level, event, workers, facts }) {
  const when = new Date(seconds * 1000);
  const today = when.toDateString() === new Date().toDateString();
  const told = Object.entries(facts).map(([name, fact]) => `${name.replaceAll("_", " ")} ${fact}`);
  if (workers.length > 0) told.unshift(`${workers.length === 1 ? "worker" : "workers"} ${workers.sort((one, other) => one - other).join(", ")}`);
  return make(
    "li",
    { "data-level": LEVELS[level] },
    make("time", { datetime: when.toISOString() }, today ? time.format(when) : `${day.format(when)}, ${time.format(when)}`),
    make("span", { class: "where" }, node),
    make("p", { class: "what" }, make("span", { class: "unseen" }, SPOKEN_LEVELS[level]), make("strong", {}, event), ` ${told.join(" · ")}`),
  );
}
