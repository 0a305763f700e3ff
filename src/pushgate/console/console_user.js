// Finding a user: the sessions on all nodes, their cursors, and closing them.

import { callApi } from "./console_api.js";
import { $, answer, fillTable, lasting, make } from "./console_dom.js";

const COLUMNS = ["Session", "Device", "Node", "Since #", "Address", "Sent #", "Acknowledged #", "Client", "Kick"];
let mayKick = false;
let shown = null; // the user that is shown

/** Have the form of the card work. */
export function setUpUser() {
  $("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    find($("user").value);
  });
  $("kick-all").addEventListener("click", () => kick("", "all sessions"));
  $("confirm-no").addEventListener("click", () => $("confirm").close());
  $("confirm-yes").addEventListener("click", () => $("confirm").close("yes"));
}

/** Begin anew, for a key that may kick or not. */
export function clearUser(allowed) {
  mayKick = allowed;
  shown = null;
  answer($("user-answer"), "");
  answer($("user-state"), "");
  for (const id of ["session-table", "kick-all"]) $(id).hidden = true;
}

/** Look once more at the user that is shown. Throws ApiError. */
export async function refreshUser() {
  const user = shown;
  if (user === null) return;
  const state = await callApi(pathOf(user));
  if (user === shown) show(state);
}

const pathOf = (user) => `/v1/users/${encodeURIComponent(user)}`;

async function find(user) {
  try {
    const state = await callApi(pathOf(user));
    answer($("user-answer"), "");
    shown = user;
    show(state);
  } catch (error) {
    clearUser(mayKick);
    answer($("user-answer"), "bad", error.message);
  }
}

function show({ user, online, sessions, missing }) {
  const now = Date.now() / 1000;
  const rows = sessions.map((session) => [
    make("code", {}, session.session),
    session.device ?? "–",
    session.node,
    lasting(now - session.since),
    session.address,
    session.sent ?? "–",
    session.acknowledged ?? "–",
    session.agent || "–",
    mayKick ? kickButton(session) : "–",
  ]);
  fillTable($("session-table"), COLUMNS, rows);
  $("session-table").hidden = sessions.length === 0;
  $("kick-all").hidden = sessions.length === 0 || !mayKick;
  const words = { true: "is online", false: "is offline", null: "may be online" };
  const absent = missing.length === 0 ? "" : ` No answer from ${missing.join(", ")}.`;
  const line = `${user} ${words[online]}, ${count(sessions.length)}.${absent}`;
  if ($("user-state").textContent !== line) answer($("user-state"), online ? "good" : "plain", line);
}

const count = (sessions) => (sessions === 1 ? "1 session" : `${sessions} sessions`);

function kickButton({ session, device }) {
  const button = make("button", { type: "button", class: "quiet", "aria-label": `Kick session ${session}` }, "Kick");
  button.addEventListener("click", () => kick(`/${session}`, device === null ? "this session" : `the session of ${device}`));
  return button;
}

async function kick(session, what) {
  const user = shown;
  $("confirm-title").textContent = `Kick ${what} of ${user}?`;
  $("confirm").returnValue = "";
  $("confirm").showModal();
  await new Promise((resolve) => $("confirm").addEventListener("close", resolve, { once: true }));
  if ($("confirm").returnValue !== "yes") return;
  try {
    const { closed, missing } = await callApi(`${pathOf(user)}/sessions${session}`, { method: "DELETE" });
    await find(user);
    const absent = missing.length === 0 ? "" : ` No answer from ${missing.join(", ")}.`;
    answer($("user-answer"), "good", `Closed ${count(closed)} of ${user}.${absent}`);
  } catch (error) {
    answer($("user-answer"), "bad", error.message);
  }
  $("user").focus(); // the button that was pressed is gone
}
