// What the pages of all stories have in common.

import { Pushgate } from "/sdk/pushgate.js";

const WORDS = { connecting: "Connecting", connected: "Connected", waiting: "Away, coming back", closed: "Closed" };

const gateway = await (await fetch("/api/gateway")).json();

// What a browser remembers is of one run of the stories, with which all else was gone.
if (localStorage.getItem("run") !== gateway.run) {
  localStorage.clear();
  localStorage.setItem("run", gateway.run);
}

/** Call the story's server. Returns its answer; rejects with what went wrong. */
export async function call(path, body) {
  const raw = body instanceof Blob;
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": raw ? "application/octet-stream" : "application/json" },
    body: raw ? body : JSON.stringify(body ?? {}),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? answer.statusText);
  return said;
}

/**
 * Connect this page, and show in #state how it is. Without a `device` it gets what is live alone. `onMissed` is called
 * when reliable messages are gone.
 */
export function connect({ device, tokens = "/api/token", onMissed = () => {} } = {}) {
  const state = document.querySelector("#state");
  const token = async () => (await call(tokens)).token;
  const onState = ({ name, missed }) => {
    state.dataset.state = name;
    state.textContent = WORDS[name];
    if (missed) onMissed();
  };
  if (gateway.restarts) state.before(makeRestart());
  try {
    return new Pushgate(gateway.url, { token, device, onState });
  } catch (error) {
    onState({ name: "closed" });
    document.querySelector("#trouble").textContent = error.message;
    throw error;
  }
}

function makeRestart() {
  const button = make("button", { className: "quiet small" }, "Restart the gateway");
  button.addEventListener("click", async () => {
    button.disabled = true;
    await attempt(() => call("/api/gateway/restart"));
    button.disabled = false;
  });
  return button;
}

/** What a browser remembers of a story, for all its tabs: `read()`, `write(value)`, and `watch(show)`, which shows it now and when it changes. */
export function memory(name, empty) {
  let shown = () => {};
  const read = () => JSON.parse(localStorage.getItem(name)) ?? structuredClone(empty);
  addEventListener("storage", (event) => event.key === name && shown(read()));
  return {
    read,
    write(value) {
      localStorage.setItem(name, JSON.stringify(value));
      shown(value);
    },
    watch(show) {
      shown = show;
      show(read());
    },
  };
}

/** Return an element with attributes and children; texts are texts, never HTML. */
export function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

/** Run what a visitor asked for; what goes wrong is shown in #trouble. */
export async function attempt(action) {
  const trouble = document.querySelector("#trouble");
  trouble.textContent = "";
  try {
    return await action();
  } catch (error) {
    trouble.textContent = `That did not work: ${error.message}`;
  }
}
