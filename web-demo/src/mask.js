// The mask of the window in view: 1 = fill. Painted, loaded or found; every change can be undone.

/** Undo keeps at most this many states. */
const MOST_STATES = 20;

export class Mask extends EventTarget {
  constructor(width, height) {
    super();
    this.reset(width, height);
  }

  reset(width, height) {
    this.width = width;
    this.height = height;
    this.flags = new Uint8Array(width * height);
    this.past = [];
    this.future = [];
    this.state = this.states = 0;
    this.changed();
  }

  changed(area) {
    this.dispatchEvent(new CustomEvent("change", { detail: area }));
  }

  /** Remembers the state, so that what comes next is one step to undo. */
  remember() {
    this.past.push({ flags: this.flags.slice(), state: this.state });
    if (this.past.length > MOST_STATES) this.past.shift();
    this.future = [];
    this.states += 1;
    /** A number for what the mask is: undone and redone it is the same again. */
    this.state = this.states;
  }

  /** Replaces the mask. */
  set(flags) {
    this.remember();
    this.flags = flags;
    this.changed();
  }

  undo() {
    return this.step(this.past, this.future);
  }

  redo() {
    return this.step(this.future, this.past);
  }

  step(from, to) {
    const next = from.pop();
    if (!next) return false;
    to.push({ flags: this.flags, state: this.state });
    this.flags = next.flags;
    this.state = next.state;
    this.changed();
    return true;
  }

  /** Paints (value 1) or erases (0) a disc around a pixel. */
  stamp(col, row, radius, value) {
    const [top, left] = [Math.max(0, Math.ceil(row - radius)), Math.max(0, Math.ceil(col - radius))];
    const bottom = Math.min(this.height - 1, Math.floor(row + radius));
    const right = Math.min(this.width - 1, Math.floor(col + radius));
    for (let r = top; r <= bottom; r += 1) {
      for (let c = left; c <= right; c += 1) {
        if ((r - row) ** 2 + (c - col) ** 2 <= radius ** 2) this.flags[r * this.width + c] = value;
      }
    }
    this.changed({ top, left, bottom, right });
  }

  /** A stroke from one pixel to another. */
  stroke(from, to, radius, value) {
    const steps = Math.max(1, Math.ceil(Math.hypot(to.col - from.col, to.row - from.row) / Math.max(radius / 2, 0.5)));
    for (let i = 1; i <= steps; i += 1) {
      this.stamp(from.col + ((to.col - from.col) * i) / steps, from.row + ((to.row - from.row) * i) / steps, radius, value);
    }
  }

  get count() {
    let sum = 0;
    for (const flag of this.flags) sum += flag;
    return sum;
  }
}
