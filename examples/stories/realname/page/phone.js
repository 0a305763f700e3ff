// The phone: it needs no connection to the gateway, it only calls the story's server.

import { attempt, call } from "/page.js";

const code = encodeURIComponent(location.hash.slice(1));
const step = (name, body) => attempt(() => call(`/api/realname/${code}/${name}`, body));
const element = (id) => document.querySelector(`#${id}`);

function show(id) {
  for (const each of ["wait", "enter", "confirm", "done"]) element(each).hidden = each !== id;
}

element("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const entered = Object.fromEntries(new FormData(event.target));
  if (!(await step("entered", entered))) return;
  element("name").textContent = entered.name;
  element("number").textContent = entered.number;
  show("confirm");
});
element("yes").addEventListener("click", async () => (await step("confirmed")) && show("done"));

const answer = await step("scanned");
show(answer?.step === "entered" ? "confirm" : answer ? "enter" : "");
