// A window of a scene in memory: native values, which pixels are data, and what a run made of it.

import { isNodata } from "./dtype.js";
import { Refusal } from "./refusal.js";

/** Values (pixels times bands) a window may have, so that the engine's memory suffices. */
export const MOST_VALUES = 48e6;

/** Reads a window, all its bands. */
export async function readWindow(scene, place) {
  const { col, row, width, height } = place;
  const inside = col >= 0 && row >= 0 && width > 0 && height > 0 && col + width <= scene.width && row + height <= scene.height;
  if (!inside) {
    throw new Refusal(`The window ${width} x ${height} at column ${col}, row ${row} does not lie inside the scene of ${scene.width} x ${scene.height} pixels.`);
  }
  if (width * height * scene.samples > MOST_VALUES) {
    const side = Math.floor(Math.sqrt(MOST_VALUES / scene.samples));
    throw new Refusal(`A window of ${width} x ${height} pixels with ${scene.samples} bands does not fit into a page's memory; choose at most about ${side} x ${side}.`);
  }
  const all = await scene.read(place, Array.from({ length: scene.samples }, (_, i) => i));
  return new SceneWindow(scene, place, all);
}

/** Native values, bands counted as in the file; `data` are the bands without alpha. */
export class SceneWindow {
  constructor(scene, place, all) {
    this.scene = scene;
    this.place = place;
    this.all = all;
    this.dataBands = all.map((_, i) => i).filter((i) => !scene.alpha.includes(i));
    this.pixels = place.width * place.height;
    this.classify();
  }

  /** Sets `every` (1 = all bands hold data) and `some` (1 = any band does). */
  classify() {
    const { nodata } = this.scene;
    const [every, some] = [new Uint8Array(this.pixels).fill(1), new Uint8Array(this.pixels)];
    for (const band of this.dataBands) {
      const values = this.all[band];
      for (let i = 0; i < this.pixels; i += 1) {
        if (Number.isFinite(values[i]) && !isNodata(values[i], nodata)) some[i] = 1;
        else every[i] = 0;
      }
    }
    for (const band of this.scene.alpha) {
      const values = this.all[band];
      for (let i = 0; i < this.pixels; i += 1) if (values[i] === 0) every[i] = some[i] = 0;
    }
    this.every = every;
    this.some = some;
  }

  /**
   * What the engine takes: values, mask and validity. A clear pixel is data if every band is, a
   * masked one if any band is, since its values are replaced anyway (as on the command line).
   */
  job(mask) {
    const { width, height } = this.place;
    const image = new Float32Array(this.dataBands.length * this.pixels);
    this.dataBands.forEach((band, b) => image.set(this.all[band], b * this.pixels));
    const valid = new Uint8Array(this.pixels);
    for (let i = 0; i < this.pixels; i += 1) valid[i] = mask[i] ? this.some[i] : this.every[i];
    return { image, mask, valid, bands: this.dataBands.length, height, width, stored: this.scene.kind.name, nodata: this.scene.nodata };
  }

  /** Native bands with the fill put in, `stored` as they store it; `provenance` 2 = filled. Also
   * counts changed clear pixels. */
  compose(stored, provenance) {
    const bands = this.all.map((band) => band.slice());
    this.dataBands.forEach((band, b) => {
      const [out, offset] = [bands[band], b * this.pixels];
      for (let i = 0; i < this.pixels; i += 1) {
        if (provenance[i] === 2) out[i] = stored[offset + i];
      }
    });
    return { bands, changedClear: this.changedClear(bands, provenance) };
  }

  /** Pixels that were not to be filled and differ in any band, bit for bit. */
  changedClear(bands, provenance) {
    const changed = new Uint8Array(this.pixels);
    bands.forEach((band, b) => {
      const was = this.all[b];
      for (let i = 0; i < this.pixels; i += 1) {
        if (provenance[i] !== 2 && !Object.is(band[i], was[i])) changed[i] = 1;
      }
    });
    return changed.reduce((sum, one) => sum + one, 0);
  }
}
