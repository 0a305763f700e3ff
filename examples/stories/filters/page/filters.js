// Shows the versions of a picture as they come. What has come is remembered, so the server is never asked for it again.

import { attempt, call, connect, make, memory } from "/page.js";

const album = memory("filters", { job: null, filters: [], versions: {} });
const place = document.querySelector("#versions");

album.watch(({ job, filters, versions }) => {
  if (place.dataset.job !== job) {
    place.dataset.job = job;
    place.replaceChildren(...filters.map((name) => make("figure", { id: `version-${name}` }, make("div", { className: "blank" }), make("figcaption", {}, name))));
  }
  for (const [name, url] of Object.entries(versions)) {
    const blank = document.querySelector(`#version-${name} .blank`);
    blank?.replaceWith(make("img", { src: url, alt: `The picture, ${name}`, className: "arrive" }));
  }
  const ready = Object.keys(versions).length;
  document.querySelector("#progress").textContent = filters.length ? `${ready} of ${filters.length} ready` : "";
});

const gateway = connect({ device: "filters" });
gateway.on("picture", ({ data }) => {
  if (data.job !== album.read().job) album.write({ ...data, versions: {} });
});
gateway.on("version", ({ data }) => {
  const { versions, ...rest } = album.read();
  if (data.job === rest.job) album.write({ ...rest, versions: { ...versions, [data.filter]: data.url } });
});

const upload = (picture) => attempt(() => call("/api/filters", picture));

document.querySelector("#file").addEventListener("change", ({ target }) => {
  if (target.files.length) upload(target.files[0]);
  target.value = "";
});
document.querySelector("#sample").addEventListener("click", async () => upload(await drawSample()));

/** Return a picture of some hills in the evening. */
function drawSample() {
  const canvas = make("canvas", { width: 1200, height: 900 });
  const pen = canvas.getContext("2d");
  const sky = pen.createLinearGradient(0, 0, 0, 700);
  for (const [at, colour] of [[0, "#1f3b73"], [0.55, "#e8799a"], [1, "#ffd08a"]]) sky.addColorStop(at, colour);
  pen.fillStyle = sky;
  pen.fillRect(0, 0, 1200, 900);
  pen.fillStyle = "#fff4d2";
  pen.beginPath();
  pen.arc(820, 430, 90, 0, 7);
  pen.fill();
  for (const [number, colour] of ["#8f5b8c", "#5d4580", "#33305f", "#171c3a"].entries()) {
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(0, 900);
    for (let x = 0; x <= 1200; x += 10) pen.lineTo(x, 520 + number * 90 - 60 * Math.sin(x / (150 - 15 * number) + number * 2) - 25 * Math.sin(x / 41 + number));
    pen.lineTo(1200, 900);
    pen.fill();
  }
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.9));
}
