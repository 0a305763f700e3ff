// A face for those who have no camera, or do not want to show their own.

/** Draw how a face looks at a time, in ms: a living one blinks and speaks, a photograph is shaken as a whole. */
export function drawFace(canvas, kind, now) {
  const pen = canvas.getContext("2d");
  const living = kind === "living";
  const seconds = now / 1000;
  const open = living ? 0.15 + 0.85 * Math.abs(Math.cos(seconds * 2)) : 1;
  const mouth = living ? 6 + 16 * Math.abs(Math.sin(seconds * 3)) : 8;
  const shake = living ? 0 : 5;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.fillStyle = "#b9c7e8";
  pen.fillRect(0, 0, 240, 240);
  pen.translate(shake * Math.sin(seconds * 5), shake * Math.cos(seconds * 4));
  ellipse(pen, "#6a4a3a", 120, 105, 82, 86);
  ellipse(pen, "#f0c7a4", 120, 125, 68, 84);
  for (const x of [92, 148]) {
    ellipse(pen, "#fff", x, 112, 16, 12 * open);
    ellipse(pen, "#2b3a55", x, 112, 7, Math.min(7, 11 * open));
  }
  ellipse(pen, "#dba884", 120, 140, 8, 12);
  ellipse(pen, "#a2464b", 120, 174, 24, mouth);
}

function ellipse(pen, colour, x, y, width, height) {
  pen.fillStyle = colour;
  pen.beginPath();
  pen.ellipse(x, y, width, height, 0, 0, 7);
  pen.fill();
}
