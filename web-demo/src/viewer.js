// The picture: zoom, pan, before and after with a swipe, overlays, brush. Knows no satellites.

const SMALLEST_ZOOM = 0.1;
const LARGEST_ZOOM = 24;
/** How near the divider a pointer takes hold of it. */
const GRIP_PX = 14;

/** A drawing surface of the window's size. */
function layer(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return canvas;
}

export class Viewer extends EventTarget {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layers = {};
    this.shown = { mask: true, uncertainty: false, provenance: false };
    this.swipe = 1; // share of the width that shows before
    this.hasAfter = false;
    this.tool = "pan"; // pan, brush, eraser
    this.radius = 6;
    this.cursor = undefined; // scene pixel under the brush
    this.view = { zoom: 1, x: 0, y: 0 };
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(canvas);
    for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel", "pointerleave"]) {
      canvas.addEventListener(type, (event) => this.pointer(event));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.byKeys = false; this.draw(); });
  }

  /** A new window of this size: all layers empty, the whole of it in view. */
  reset(width, height) {
    this.width = width;
    this.height = height;
    for (const name of ["before", "after", "mask", "uncertainty", "provenance"]) this.layers[name] = layer(width, height);
    this.hasAfter = false;
    this.cursor = undefined;
    this.fit();
  }

  /** Replaces a layer's pixels. */
  put(name, rgba, { col = 0, row = 0, width = this.width, height = this.height } = {}) {
    this.layers[name].getContext("2d").putImageData(new ImageData(rgba, width, height), col, row);
    this.draw();
  }

  clear(name) {
    this.layers[name].getContext("2d").clearRect(0, 0, this.width, this.height);
    this.draw();
  }

  /** Begins a run: after is before, until tiles come in. */
  beginAfter() {
    const context = this.layers.after.getContext("2d");
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(this.layers.before, 0, 0);
    this.hasAfter = true;
    this.draw();
  }

  /** The mask as a tint, all of it or an area. */
  drawMask({ flags, width }, area = { top: 0, left: 0, bottom: this.height - 1, right: this.width - 1 }) {
    const [w, h] = [area.right - area.left + 1, area.bottom - area.top + 1];
    if (w <= 0 || h <= 0) return;
    const rgba = new Uint8ClampedArray(w * h * 4);
    for (let r = 0, at = 0; r < h; r += 1) {
      for (let i = (area.top + r) * width + area.left, c = 0; c < w; c += 1, i += 1, at += 4) {
        if (flags[i]) rgba.set([232, 62, 140, 105], at);
      }
    }
    this.put("mask", rgba, { col: area.left, row: area.top, width: w, height: h });
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (clientWidth === 0) return;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (this.width) this.fit();
  }

  fit() {
    const { width, height } = this.canvas;
    const zoom = Math.min(width / this.width, height / this.height) * 0.98;
    this.view = { zoom, x: (width - this.width * zoom) / 2, y: (height - this.height * zoom) / 2 };
    this.draw();
  }

  /** Zooms about a point of the canvas, its middle by default. */
  zoomBy(factor, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const zoom = Math.min(Math.max(this.view.zoom * factor, SMALLEST_ZOOM), LARGEST_ZOOM * (window.devicePixelRatio || 1));
    const change = zoom / this.view.zoom;
    this.view = { zoom, x: x - (x - this.view.x) * change, y: y - (y - this.view.y) * change };
    this.draw();
  }

  panBy(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.draw();
  }

  draw() {
    if (this.asked || !this.width) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = undefined;
      this.paint();
    });
  }

  paint() {
    const { context, layers, view } = this;
    const { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingEnabled = view.zoom < 1;
    const place = (name) => context.drawImage(layers[name], view.x, view.y, this.width * view.zoom, this.height * view.zoom);
    place("before");
    // In the frame and not in the picture: there the slider under it agrees, however it is moved.
    const line = this.hasAfter ? this.line : Infinity;
    if (this.hasAfter) {
      context.save();
      context.beginPath();
      context.rect(line, 0, width, height);
      context.clip();
      // Before shows through where a run has not come yet.
      context.clearRect(line, 0, width, height);
      place("after");
      for (const name of ["uncertainty", "provenance"]) if (this.shown[name]) place(name);
      context.restore();
    }
    if (this.shown.mask) place("mask");
    if (this.hasAfter && this.swipe > 0 && this.swipe < 1) this.paintLine(line);
    if (this.cursor && this.tool !== "pan") this.paintCursor();
  }

  /** Where the divider stands on the canvas. */
  get line() {
    return this.swipe * this.canvas.width;
  }

  /** Whether a point of the canvas is on the divider, near enough for a finger; a brush takes hold
   * of its handle only. */
  onLine({ x, y }) {
    const grip = GRIP_PX * (window.devicePixelRatio || 1);
    const handle = this.tool === "pan" || Math.abs(y - this.canvas.height / 2) <= grip;
    return this.hasAfter && handle && Math.abs(x - this.line) <= grip;
  }

  dragLine({ x }) {
    this.swipe = Math.min(Math.max(x / this.canvas.width, 0), 1);
    this.dispatchEvent(new CustomEvent("swipe", { detail: this.swipe }));
    this.draw();
  }

  paintLine(x) {
    const { context, canvas } = this;
    const [middle, size] = [canvas.height / 2, 11 * (window.devicePixelRatio || 1)];
    context.fillStyle = "rgba(255,255,255,.95)";
    context.fillRect(x - 1, 0, 2, canvas.height);
    context.fillStyle = "rgba(0,0,0,.35)";
    context.fillRect(x + 1, 0, 1, canvas.height);
    context.beginPath();
    context.arc(x, middle, size, 0, 2 * Math.PI);
    context.fillStyle = "rgba(255,255,255,.95)";
    context.fill();
    context.fillStyle = "#1c241f";
    for (const side of [-1, 1]) {
      context.beginPath();
      context.moveTo(x + side * size * 0.65, middle);
      context.lineTo(x + side * size * 0.2, middle - size * 0.4);
      context.lineTo(x + side * size * 0.2, middle + size * 0.4);
      context.fill();
    }
  }

  paintCursor() {
    const { context, view, cursor } = this;
    context.beginPath();
    context.arc(view.x + (cursor.col + 0.5) * view.zoom, view.y + (cursor.row + 0.5) * view.zoom, Math.max(this.radius, 0.5) * view.zoom, 0, 2 * Math.PI);
    context.lineWidth = 3;
    context.strokeStyle = "rgba(0,0,0,.6)";
    context.stroke();
    context.lineWidth = 1.5;
    context.strokeStyle = this.tool === "brush" ? "#ff7ab8" : "#ffffff";
    context.stroke();
  }

  /** The scene pixel and the canvas point of an event. */
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    const [x, y] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
    const { zoom } = this.view;
    return { x, y, col: Math.floor((x - this.view.x) / zoom), row: Math.floor((y - this.view.y) / zoom) };
  }

  wheel(event) {
    event.preventDefault();
    const { x, y } = this.at(event);
    this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), x, y);
  }

  pointer(event) {
    if (!this.width) return;
    const now = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (event.type === "pointerdown") {
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, now);
      this.dragging = this.pointers.size === 1 && event.button === 0 && this.onLine(now);
      if (this.dragging) return;
      this.painting = this.tool !== "pan" && this.pointers.size === 1 && event.button === 0;
      if (this.painting) this.paintAt("begin", now, now);
      return;
    }
    if (event.type === "pointermove") {
      this.byKeys = false;
      this.cursor = now;
      this.canvas.classList.toggle("line", this.dragging || (!before && this.onLine(now)));
      if (before && this.dragging) this.dragLine(now);
      else if (before && this.pointers.size === 2) this.pinch(event.pointerId, before, now);
      else if (before && this.painting) this.paintAt("move", before, now);
      else if (before) this.panBy(now.x - before.x, now.y - before.y);
      else this.draw();
      if (before) this.pointers.set(event.pointerId, now);
      return;
    }
    this.pointers.delete(event.pointerId);
    this.painting = this.dragging = false;
    if (event.type === "pointerleave" && !this.byKeys) this.cursor = undefined;
    this.draw();
  }

  pinch(id, before, now) {
    this.painting = false;
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, point]) => point);
    const span = (point) => Math.max(Math.hypot(point.x - other.x, point.y - other.y), 1);
    this.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoomBy(span(now) / span(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  }

  paintAt(phase, from, to) {
    this.dispatchEvent(new CustomEvent("stroke", { detail: { phase, from, to, value: this.tool === "brush" ? 1 : 0 } }));
  }

  /** Keys: arrows pan, or move the brush; space paints; + and - zoom, 0 fits. */
  key(event) {
    if (!this.width || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key];
      if (this.tool === "pan") this.panBy(-dx * 40 * step, -dy * 40 * step);
      else this.moveCursor(dx * step, dy * step);
    } else if (event.key === "+" || event.key === "=") this.zoomBy(1.25);
    else if (event.key === "-") this.zoomBy(0.8);
    else if (event.key === "0") this.fit();
    else if (event.key === " " && this.tool !== "pan") {
      const at = this.cursor ?? this.moveCursor(0, 0);
      this.paintAt(event.repeat ? "move" : "begin", at, at);
    } else if (event.key === "[" || event.key === "]") {
      this.dispatchEvent(new CustomEvent("radius", { detail: this.radius + (event.key === "]" ? 1 : -1) }));
    } else return;
    event.preventDefault();
  }

  moveCursor(dx, dy) {
    const from = this.cursor ?? { col: this.width >> 1, row: this.height >> 1 };
    this.cursor = {
      col: Math.min(Math.max(from.col + dx, 0), this.width - 1),
      row: Math.min(Math.max(from.row + dy, 0), this.height - 1),
    };
    this.byKeys = true;
    this.draw();
    return this.cursor;
  }
}
