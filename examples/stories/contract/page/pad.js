// A field to draw a signature in, with a pen, a finger or a mouse; or, for who has none of these, to have it written.

export class Pad {
  #canvas;
  #pen;
  #onDrawn;

  /** `onDrawn` is told whether something is drawn. */
  constructor(canvas, onDrawn) {
    this.#canvas = canvas;
    this.#onDrawn = onDrawn;
    this.#pen = canvas.getContext("2d");
    Object.assign(this.#pen, { lineWidth: 4, lineCap: "round", lineJoin: "round", strokeStyle: "#1b2a6b", fillStyle: "#1b2a6b" });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pen.beginPath();
      this.#pen.moveTo(...this.#at(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons === 0) return;
      this.#pen.lineTo(...this.#at(event));
      this.#pen.stroke();
      onDrawn(true);
    });
  }

  clear() {
    this.#pen.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#onDrawn(false);
  }

  write(name) {
    this.clear();
    this.#pen.font = 'italic 72px "Segoe Script", "Snell Roundhand", "URW Chancery L", cursive';
    this.#pen.fillText(name, 30, 130, this.#canvas.width - 60);
    this.#onDrawn(true);
  }

  picture() {
    return this.#canvas.toDataURL("image/png");
  }

  #at({ offsetX, offsetY }) {
    const scale = this.#canvas.width / this.#canvas.clientWidth;
    return [offsetX * scale, offsetY * scale];
  }
}
