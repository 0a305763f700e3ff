// The desktop: shows a code, and follows what the phone does.

import { attempt, call, connect, memory } from "/page.js";

const STEPS = ["shown", "scanned", "entered", "confirmed"];
const check = memory("realname", { check: null, step: null });
const element = (id) => document.querySelector(`#${id}`);

check.watch(({ step, picture, address, name, number }) => {
  const reached = STEPS.indexOf(step);
  for (const [index, item] of document.querySelectorAll("#steps li").entries()) item.classList.toggle("done", index <= reached);
  element("code").hidden = element("phone").hidden = step !== "shown";
  if (step === "shown") {
    element("code").src = picture;
    element("phone").href = address;
  }
  element("instead").hidden = step === "shown";
  element("instead").classList.toggle("done", step === "confirmed");
  element("instead").textContent = step === "confirmed" ? `Welcome, ${name}.` : step ? "Go on, on the phone." : "No code is shown yet.";
  element("who").textContent = reached >= 2 ? `${name}, ${number}` : "Checked by the server.";
  element("begin").textContent = step ? "Show a new code" : "Show a code";
});

const gateway = connect({ device: "realname" });
gateway.on("step", ({ data }) => {
  const known = check.read();
  if (data.check === known.check) check.write({ ...known, ...data });
});
element("begin").addEventListener("click", () =>
  attempt(async () => check.write({ ...(await call("/api/realname")), step: "shown" })),
);
