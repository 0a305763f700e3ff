// A stream of comments. What comes only goes into a list; the screen takes from it once a frame, and keeps few lines.

import { attempt, call, connect, make } from "/page.js";

const LINES = 40; // in the page, whatever comes
const SECONDS = 60; // in the chart

const element = (id) => document.querySelector(`#${id}`);
const waiting = []; // the newest that are not shown yet
const perSecond = new Array(SECONDS).fill(0);
const sums = { received: 0, missed: 0, peak: 0, frame: 0 };
let last = 0; // the number of the newest comment

const gateway = connect();
gateway.on("comment", ({ data }) => {
  if (last) sums.missed += data.number - last - 1;
  last = data.number;
  sums.received += 1;
  perSecond[SECONDS - 1] += 1;
  waiting.push(data);
  if (waiting.length > LINES) waiting.shift(); // it would have been pushed off the screen in this frame
});

let before = performance.now();
function draw(now) {
  if (document.visibilityState === "visible" && sums.received) sums.frame = Math.max(sums.frame, Math.round(now - before));
  before = now;
  if (waiting.length) {
    const lines = waiting.splice(0).map(({ name, text }) => make("li", {}, make("strong", {}, name), text));
    element("comments").prepend(...lines.reverse());
    for (const old of [...element("comments").children].slice(LINES)) old.remove();
  }
  sums.peak = Math.max(sums.peak, perSecond[SECONDS - 1]);
  for (const [name, sum] of Object.entries(sums)) {
    const text = sum.toLocaleString("en");
    if (element(name).textContent !== text) element(name).textContent = text;
  }
  requestAnimationFrame(draw);
}
requestAnimationFrame(draw);
document.addEventListener("visibilitychange", () => (before = performance.now()));

setInterval(() => {
  const canvas = element("chart");
  const pen = canvas.getContext("2d");
  const highest = Math.max(10, ...perSecond);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  const width = canvas.width / SECONDS;
  for (const [second, sum] of perSecond.entries()) {
    const height = (canvas.height - 8) * Math.sqrt(sum / highest); // a root, for the quiet to be seen beside the bursts
    pen.fillRect(second * width + 1, canvas.height - height, width - 2, height);
  }
  perSecond.shift();
  perSecond.push(0);
}, 1000);

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const { text } = Object.fromEntries(new FormData(event.target));
  event.target.reset();
  attempt(() => call("/api/comments", { text }));
});
element("audience").addEventListener("click", () => attempt(() => call("/api/comments/audience")));
