// The page of one party: the secret behind the # says which.

import { attempt, call, connect, make } from "/page.js";
import { Pad } from "/contract/pad.js";

const key = encodeURIComponent(location.hash.slice(1));
const element = (id) => document.querySelector(`#${id}`);
const pad = new Pad(element("pad"), (drawn) => (element("sign").disabled = !drawn));
let name = "";

async function read() {
  const answer = await fetch(`/api/contract/${key}`);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  show(await answer.json());
}

function show({ text, you, parties }) {
  name = parties[you].name;
  element("you").textContent = `You are here as ${name}.`;
  element("text").textContent = text;
  element("signing").hidden = parties[you].statement !== null;
  element("parties").replaceChildren(...parties.map(({ name, opened, drawing, statement }) => {
    const [tone, word] = statement ? ["good", "Signed"] : opened ? ["warn", "Reading"] : ["", "Has not opened it"];
    const line = make("div", { className: "line" }, ...(drawing ? [make("img", { src: drawing, alt: `Signature of ${name}` })] : []));
    const said = make("div", { className: "name" }, make("span", {}, name), make("span", { className: `pill ${tone}` }, word));
    return make("div", {}, line, said, ...(statement ? [make("code", {}, `${statement.time} · ${statement.seal}`)] : []));
  }));
}

// What is pushed says that something changed; the contract itself is asked for. So it does not matter which came first.
await attempt(async () => {
  await read();
  connect({ device: "contract", tokens: `/api/contract/${key}/token`, onMissed: read }).on("contract", read);
});

element("clear").addEventListener("click", () => pad.clear());
element("write").addEventListener("click", () => pad.write(name));
element("sign").addEventListener("click", () =>
  attempt(async () => show(await call(`/api/contract/${key}/signature`, { drawing: pad.picture() }))),
);
