// The demo page: shows its connection and what arrives on it, and pushes through the HTTP API.
// What comes from outside is written with textContent alone, never as HTML.

import { callApi, fetchToken, readProblem, settings } from "./demo_api.js";
import { Connection } from "./demo_connection.js";
import { loadPlace, nameDevice, savePlace } from "./demo_device.js";

const MOST_MESSAGES = 500;
const MOST_CHARACTERS = 4_000; // of the data of one message
const RECEIPT_PAUSE = 300; // ms
const RECEIPT_WAIT = 60_000; // ms that a receipt is followed

const $ = (id) => document.getElementById(id);
const MISSED = "Some reliable messages are gone: the gateway's logs are not those of before. What it has comes.";
const compactSpace = /("(?:\\.|[^"\\])*")|\s+/g; // white space, outside of strings
const countdown = { timer: 0 };
let user = new URLSearchParams(location.search).get("user") || "alice";
let unseen = 0;
let pushed = 0; // tells the receipt of an earlier push from the one that is shown

const device = await nameDevice();
const connection = new Connection({
  url: `${settings.scheme}://${location.hostname}:${settings.port}/ws`,
  closes: settings.closes,
  fetchToken,
  device,
  loadPlace,
  savePlace,
  onState: showState,
  onMessage: showMessage,
  onAcknowledged: showAcknowledged,
  onError: (error) => showReason(`The gateway did not like a message of this page: ${error.message} (${error.code})`),
});

// --- The connection

function showState(state) {
  clearInterval(countdown.timer);
  const texts = { connecting: "Connecting…", connected: "Connected", closed: "Closed", waiting: "" };
  const buttons = { connecting: "Disconnect", connected: "Disconnect", closed: "Connect", waiting: "Connect now" };
  $("state").dataset.state = state.name;
  $("state-text").textContent = texts[state.name];
  $("toggle").textContent = buttons[state.name];
  $("session").textContent = state.session ?? "none";
  if (state.name === "waiting") {
    const tick = () => {
      const seconds = Math.max(0, Math.ceil((state.until - Date.now()) / 1000));
      $("state-text").textContent = `Reconnecting in ${seconds} s`;
    };
    tick();
    countdown.timer = setInterval(tick, 250);
  }
  // While it tries again the last reason stays, or it would only flicker.
  if (state.name === "connected") showReason(state.missed ? MISSED : "");
  else if (state.name !== "connecting") showReason(explainClose(state));
  announce(state.name === "waiting" ? "Connection lost, reconnecting" : texts[state.name]);
}

/** Return why a connection ended: the code, what it means and what the gateway said about it. */
function explainClose({ code, reason }) {
  if (code === 0) return reason;
  if (code === 1006) return "Closed without a word (1006): the gateway or the network is away.";
  const advice = settings.closes[code];
  const meaning = advice ? ` ${advice.name}: ${advice.when}.` : "";
  const todo = advice && !advice.again ? ` What to do: ${advice.client}.` : "";
  return `Closed with ${code}${meaning}${todo}${reason ? ` The gateway says: ${reason}` : ""}`.replaceAll("`", "");
}

function showReason(text) {
  $("reason").textContent = text;
  $("reason").hidden = text === "";
}

function announce(text) {
  $("announce").textContent = text;
}

function setUser(uid) {
  user = uid;
  $("user").value = uid;
  $("target-user").textContent = uid;
  $("empty-user").textContent = uid;
  const address = new URL(location.href);
  address.search = new URLSearchParams({ user: uid });
  history.replaceState(null, "", address);
  $("second").href = address;
  showCurl();
}

// --- Messages

function showMessage(message) {
  const row = document.createElement("li");
  const head = add(row, "div", "head", "");
  add(head, "span", "event", message.event);
  if (message.offset !== undefined) {
    const mark = add(head, "span", "mark", "received");
    mark.dataset.offset = message.offset;
    mark.title = `Reliable, at offset ${message.offset}${message.resent ? ", sent again" : ""}`;
  }
  add(head, "span", "latency", formatLatency(Date.now() - message.time)).title = "From the push to this page";
  const when = new Date(message.time);
  const time = add(head, "time", "", formatTime(when));
  time.dateTime = when.toISOString();
  add(row, "pre", "", formatData(message));
  const list = $("messages");
  list.prepend(row);
  while (list.children.length > MOST_MESSAGES) list.lastElementChild.remove();
  if (document.hidden) unseen += 1;
  showCounts();
}

/** Show that everything up to an offset is acknowledged. */
function showAcknowledged(offset) {
  for (const mark of document.querySelectorAll(".mark:not(.done)")) {
    if (Number(mark.dataset.offset) > offset) continue;
    mark.textContent = "acknowledged";
    mark.classList.add("done");
  }
}

function showCounts() {
  const count = $("messages").children.length;
  $("count").textContent = count === MOST_MESSAGES ? `the newest ${count}` : String(count);
  $("empty").hidden = count > 0;
  document.title = unseen > 0 ? `(${unseen}) pushgate demo` : "pushgate demo";
}

function add(parent, tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return parent.appendChild(element);
}

function formatData({ data, encoding }) {
  const text = encoding === "base64" ? `bytes, as base64: ${data}` : JSON.stringify(data, null, 2);
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, MOST_CHARACTERS)}\n… and ${(text.length - MOST_CHARACTERS).toLocaleString("en")} characters more`;
}

function formatTime(when) {
  const two = (number) => String(number).padStart(2, "0");
  const clock = [when.getHours(), when.getMinutes(), when.getSeconds()].map(two).join(":");
  return `${clock}.${String(when.getMilliseconds()).padStart(3, "0")}`;
}

function formatLatency(milliseconds) {
  if (milliseconds < 1) return "under 1 ms";
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

// --- Pushing

/** Return the body of the push in the form, with the data as it was typed: parsing it might round a number. */
function pushBody() {
  const data = $("data").value;
  JSON.parse(data);
  const everyone = $("push-form").elements.target.value === "everyone";
  const target = everyone ? '"everyone":true' : `"user":${JSON.stringify(user)}`;
  const event = JSON.stringify($("event").value);
  const qos = $("reliable").checked ? ',"qos":"reliable"' : "";
  return `{${target},"event":${event},"data":${data.replace(compactSpace, "$1")}${qos}}`;
}

function showCurl() {
  let text = "";
  let problem = "";
  try {
    const address = `${location.origin}/v1/push`;
    const authorization = `Authorization: Bearer ${settings.key}`;
    const parts = [address, authorization, "Content-Type: application/json", pushBody()];
    const [url, key, type, body] = parts.map((part) => `'${part.replaceAll("'", "'\\''")}'`);
    text = `curl ${url} -H ${key} -H ${type} -d ${body}`;
  } catch (error) {
    problem = $("data").value.trim() ? `Not JSON: ${error.message}` : 'Not JSON: it is empty; try "hi", with the quotes';
  }
  $("curl").textContent = text || "First mend the data below.";
  $("copy").disabled = !text;
  $("data").setAttribute("aria-invalid", String(problem !== ""));
  $("data-error").textContent = problem;
  $("data-error").hidden = problem === "";
}

async function push() {
  let body;
  try {
    body = pushBody();
  } catch {
    $("data").focus();
    return;
  }
  const turn = ++pushed;
  const began = performance.now();
  const target = JSON.parse(body).everyone ? { everyone: true } : { user };
  try {
    const response = await callApi("/v1/push", body);
    const took = Math.max(1, Math.round(performance.now() - began));
    if (response.ok) {
      const { id, offset } = await response.json();
      showAnswer("good", `Accepted in ${took} ms`, [`id ${id}`]);
      if (offset !== undefined) await followReceipt(turn, id, new URLSearchParams({ ...target, offset }));
    } else {
      const { text, errors } = await readProblem(response);
      showAnswer("bad", text, errors);
    }
  } catch (error) {
    showAnswer("bad", error.message, []);
  }
}

/** Show how many devices have acknowledged a push, until all that are connected have, or another one is made. */
async function followReceipt(turn, id, query) {
  const line = add($("answer"), "p", "receipt", "Stored; waiting for acknowledgements…");
  const until = performance.now() + RECEIPT_WAIT;
  while (performance.now() < until) {
    const response = await callApi(`/v1/messages/${encodeURIComponent(id)}?${query}`);
    if (turn !== pushed || !response.ok) return;
    const { devices, connected } = await response.json();
    const [all, has, away] = connected ? [connected.devices, connected.acknowledged, 0] : countDevices(devices);
    line.textContent = `Acknowledged by ${has} of ${all} connected devices.`;
    if (away) line.textContent += ` Kept for ${away} away.`;
    if (all > 0 && has === all) return;
    await new Promise((resolve) => setTimeout(resolve, RECEIPT_PAUSE));
  }
}

/** Return how many devices are connected, how many of them have the message, and how many others lack it. */
function countDevices(devices) {
  const here = devices.filter((each) => each.connected);
  const away = devices.filter((each) => !each.connected && !each.acknowledged);
  return [here.length, here.filter((each) => each.acknowledged).length, away.length];
}

function showAnswer(kind, text, lines) {
  const answer = $("answer");
  answer.dataset.kind = kind;
  answer.replaceChildren();
  add(answer, "p", "", text);
  for (const line of lines) add(answer, "p", "line", line);
}

async function copyCurl() {
  let done = "Copied";
  try {
    await navigator.clipboard.writeText($("curl").textContent);
  } catch {
    getSelection().selectAllChildren($("curl"));
    done = "Press Ctrl+C";
  }
  $("copy").textContent = done;
  announce(done);
  setTimeout(() => ($("copy").textContent = "Copy"), 2_000);
}

// --- What the page listens to

function on(id, type, action) {
  $(id).addEventListener(type, (event) => {
    event.preventDefault();
    action();
  });
}

on("user-form", "submit", () => {
  setUser($("user").value);
  connection.start(user);
});
on("push-form", "submit", push);
$("push-form").addEventListener("input", showCurl);
on("copy", "click", copyCurl);
on("toggle", "click", () => {
  if ($("state").dataset.state.startsWith("connect")) connection.stop();
  else connection.start(user);
});
on("clear", "click", () => {
  $("messages").replaceChildren();
  showCounts();
});
// Offline is a hint only: loopback works without a network.
addEventListener("offline", () => connection.doubt());
addEventListener("online", () => connection.wake());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  unseen = 0;
  showCounts();
  connection.wake();
});

$("device").textContent = device;
setUser(user);
connection.start(user);
