// Records a drawn face (a camera would do), hands it in, and shows results, whenever they come.

import { drawFace } from "/liveness/face.js";
import { attempt, call, connect, make, memory } from "/page.js";

const FRAMES = 6;
const BETWEEN = 150; // ms from frame to frame
const MOST_SHOWN = 8;

const checks = memory("liveness", []);
const canvas = document.querySelector("#face");
const buttons = document.querySelectorAll(".check button");
let kind = "living";

function animate(now) {
  drawFace(canvas, kind, now);
  requestAnimationFrame(animate);
}
requestAnimationFrame(animate);

checks.watch((all) => {
  document.querySelector("#none").hidden = all.length > 0;
  document.querySelector("#results").replaceChildren(...all.map(({ kind, at, alive, motion }) => {
    const [tone, word] = alive === undefined ? ["warn", "Being examined"] : alive ? ["good", "Alive"] : ["bad", "A photograph"];
    const found = alive === undefined ? "" : `moved by ${motion} in itself`;
    return make("li", {}, make("span", { className: `pill ${tone}` }, word), make("span", {}, `Handed in: ${kind}`), make("span", { className: "soft" }, found), make("time", {}, new Date(at).toLocaleTimeString()));
  }));
});

const gateway = connect({ device: "liveness" });
gateway.on("liveness", ({ data }) => {
  checks.write(checks.read().map((each) => (each.check === data.check ? { ...each, ...data } : each)));
});

async function record(what) {
  kind = what;
  for (const button of buttons) button.disabled = true;
  const frames = [];
  for (let number = 0; number < FRAMES; number += 1) {
    await new Promise((resolve) => setTimeout(resolve, BETWEEN));
    drawFace(canvas, kind, number * 400);
    frames.push(canvas.toDataURL("image/png"));
  }
  await attempt(async () => {
    const { check } = await call("/api/liveness", { frames });
    checks.write([{ check, kind, at: Date.now() }, ...checks.read()].slice(0, MOST_SHOWN));
  });
  for (const button of buttons) button.disabled = false;
}

document.querySelector("#living").addEventListener("click", () => record("living"));
document.querySelector("#photograph").addEventListener("click", () => record("photograph"));
