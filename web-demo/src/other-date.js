// A second date of the scene in view: opened, brought onto the scene's pixels, read by windows.

import { isNodata } from "./dtype.js";
import { crsWords, gridMap, placeOf } from "./geo.js";
import { Refusal } from "./refusal.js";

/** A raster of the same place at another date. */
export class OtherDate {
  /** Throws a Refusal when the raster cannot be brought onto the scene. */
  constructor(scene, raster, name) {
    const [own, theirs] = [placeOf(scene), placeOf(raster)];
    this.map = gridMap(own, theirs);
    if (this.map === "size") {
      throw new Refusal(`The other date has ${raster.width} x ${raster.height} pixels, the scene ${scene.width} x ${scene.height}, and without georeference nobody knows how they lie.`);
    }
    if (this.map === "crs") {
      throw new Refusal(`The other date is in another CRS (${crsWords(theirs)}, the scene ${crsWords(own)}); bring it there first: gdalwarp -t_srs ${crsWords(own)}.`);
    }
    if (this.map === "elsewhere") throw new Refusal("The other date shows another place: it does not touch the scene.");
    Object.assign(this, { raster, name, bands: Array.from({ length: raster.samples }, (_, i) => i).filter((i) => !raster.alpha.includes(i)) });
  }

  /** The window of the scene: { image, observed, bands }; nearest pixels where the grid differs. */
  async read(place) {
    const { raster, bands, map } = this;
    const { width, height } = place;
    const all = [...bands, ...raster.alpha];
    const pixels = width * height;
    const image = new Float32Array(bands.length * pixels);
    const observed = new Uint8Array(pixels);
    const source = map === "same" ? place : this.under(place);
    if (!source) return { image, observed, bands: bands.length };
    const values = await raster.read(source, all);
    for (let r = 0, i = 0; r < height; r += 1) {
      for (let c = 0; c < width; c += 1, i += 1) {
        const at = this.index(place, source, c, r);
        if (at < 0) continue;
        let seen = true;
        values.forEach((band, b) => {
          const value = band[at];
          if (b >= bands.length) seen &&= value !== 0;
          else if (!Number.isFinite(value) || isNodata(value, raster.nodata)) seen = false;
          else image[b * pixels + i] = value;
        });
        observed[i] = seen ? 1 : 0;
      }
    }
    return { image, observed, bands: bands.length };
  }

  /** The part of the raster under a window, or undefined. */
  under({ col, row, width, height }) {
    const corners = [[col, row], [col + width, row], [col, row + height], [col + width, row + height]].map(([c, r]) => this.map(c, r));
    const clamp = (value, most) => Math.min(Math.max(value, 0), most);
    const [cols, rows] = [corners.map(([c]) => c), corners.map(([, r]) => r)];
    const left = clamp(Math.floor(Math.min(...cols)), this.raster.width);
    const right = clamp(Math.ceil(Math.max(...cols)), this.raster.width);
    const top = clamp(Math.floor(Math.min(...rows)), this.raster.height);
    const bottom = clamp(Math.ceil(Math.max(...rows)), this.raster.height);
    return right > left && bottom > top ? { col: left, row: top, width: right - left, height: bottom - top } : undefined;
  }

  index(place, source, c, r) {
    if (this.map === "same") return r * place.width + c;
    const [x, y] = this.map(place.col + c + 0.5, place.row + r + 0.5);
    const [col, row] = [Math.floor(x) - source.col, Math.floor(y) - source.row];
    return col >= 0 && row >= 0 && col < source.width && row < source.height ? row * source.width + col : -1;
  }
}
