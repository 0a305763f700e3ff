// A test push to a user, and its receipt as devices acknowledge it.

import { callApi } from "./console_api.js";
import { $, answer, fillTable, makePill } from "./console_dom.js";

const RECEIPT_PAUSE = 500; // ms
const RECEIPT_WAIT = 60_000; // ms that a receipt is watched
const TTL = 600; // s that a test push is kept
const COLUMNS = ["Device", "Connected", "Cursor #", "Acknowledged"];
let pushed = 0; // tells the receipt of an earlier push from the one that is shown

/** Have the form of the card work. */
export function setUpPush() {
  $("push-form").addEventListener("submit", (event) => {
    event.preventDefault();
    push();
  });
  $("data").addEventListener("input", checkData);
}

/** Begin anew, for a key that may push or not. */
export function clearPush(allowed) {
  pushed++;
  answer($("push-answer"), "");
  $("receipt-table").hidden = true;
  $("push-fields").disabled = !allowed;
  $("push-denied").hidden = allowed;
}

/** Return whether the data is JSON, and say so where it is not. */
function checkData() {
  let problem = "";
  try {
    JSON.parse($("data").value);
  } catch (error) {
    problem = `Not JSON: ${error.message}`;
  }
  $("data-error").textContent = problem;
  $("data").setAttribute("aria-invalid", String(problem !== ""));
  return problem === "";
}

async function push() {
  if (!checkData()) return $("data").focus();
  const [user, event, reliable] = [$("push-user").value, $("event").value, $("reliable").checked];
  const mine = ++pushed;
  $("receipt-table").hidden = true;
  const fields = { user, event, ...(reliable ? { qos: "reliable", ttl: TTL } : {}) };
  const body = `${JSON.stringify(fields).slice(0, -1)},"data":${$("data").value}}`; // numbers go as they were typed
  const began = performance.now();
  try {
    const accepted = await callApi("/v1/push", { method: "POST", body });
    if (mine !== pushed) return;
    answer($("push-answer"), "good", `Accepted in ${Math.round(performance.now() - began)} ms, id ${accepted.id}.`);
    if (accepted.offset !== undefined) await watch(mine, user, accepted);
  } catch (error) {
    if (mine === pushed) answer($("push-answer"), "bad", error.message);
  }
}

async function watch(mine, user, { id, offset }) {
  const path = `/v1/messages/${encodeURIComponent(id)}?user=${encodeURIComponent(user)}&offset=${offset}`;
  for (const until = Date.now() + RECEIPT_WAIT; Date.now() < until; ) {
    const receipt = await callApi(path);
    if (mine !== pushed) return;
    if (showReceipt(id, receipt)) return;
    await new Promise((resolve) => setTimeout(resolve, RECEIPT_PAUSE));
    if (mine !== pushed) return;
  }
  answer($("push-answer"), "warn", `Not acknowledged by all within ${RECEIPT_WAIT / 1000} s. It is kept for ${TTL / 60} minutes.`);
}

/** Show a receipt and return whether every device has the message. */
function showReceipt(id, { devices, state }) {
  const have = devices.filter((device) => device.acknowledged).length;
  const rows = devices.map((device) => [
    device.device,
    device.connected === null ? "not known" : device.connected ? "yes" : "no",
    device.cursor ?? "–",
    device.acknowledged ? makePill("good", "yes") : makePill("warn", "not yet"),
  ]);
  fillTable($("receipt-table"), COLUMNS, rows);
  $("receipt-table").hidden = devices.length === 0;
  const text = devices.length === 0 ? "The user has no device with an inbox." : `Acknowledged by ${have} of ${devices.length} devices.`;
  const done = (devices.length > 0 && have === devices.length) || state === "gone";
  const line = `${text} Message ${id}${state === "gone" ? ", not kept any more" : ""}.`;
  if ($("push-answer").textContent !== line) answer($("push-answer"), done ? "good" : "plain", line);
  return done;
}
