// The worker that holds the scene: reads windows, draws them, finds clouds, writes results.
// The page asks with { id, call, args }, the answer is { id, result } or { id, error }.

import { detectClouds, dilate } from "./detect.js";
import { descriptionsOnly, withTags } from "./gdal-metadata.js";
import { openGeoTiff } from "./geotiff-read.js";
import { keptTags, writeGeoTiff } from "./geotiff-write.js";
import { KINDS } from "./dtype.js";
import { openPicture } from "./image-read.js";
import { Refusal, sendable } from "./refusal.js";
import { classes, heat, stretchOf, toRgba } from "./render.js";
import { readWindow } from "./window.js";

let scene;
let current; // the window in view
let outcome; // what the last run made of it

async function open(blob) {
  if (blob.size === 0) throw new Refusal("This file is empty.");
  const magic = new Uint8Array(await blob.slice(0, 4).arrayBuffer());
  const text = String.fromCharCode(...magic.slice(0, 2));
  const tiff = (text === "II" && [42, 43].includes(magic[2])) || (text === "MM" && [42, 43].includes(magic[3]));
  return tiff ? openGeoTiff(blob) : openPicture(blob);
}

/** Where the scene lies, in words. */
function georeference({ tag }) {
  const keys = tag(34735);
  if (!tag(33550) && !tag(34264) && !tag(33922)) return "not georeferenced";
  if (!keys) return "georeferenced, CRS not named";
  for (let i = 4; i + 3 < keys.length; i += 4) {
    const named = (keys[i] === 3072 || keys[i] === 2048) && keys[i + 1] === 0 && keys[i + 3] < 32767;
    if (named && (keys[i] === 3072 || ![...keys].includes(3072))) return `EPSG:${keys[i + 3]}`;
  }
  return "georeferenced, CRS of its own";
}

/** What the page has to know of the window in view. */
function shown() {
  return { place: current.place, valid: current.some.map((data, i) => data | current.every[i]), bytesRead: scene.bytesRead };
}

const calls = {
  /** Opens a scene and the window in its middle; the scene before stays if either fails. */
  async open({ blob, name, side }) {
    const opened = await open(blob);
    if (opened.kind.bits !== 8 && opened.tag(258)?.[0] < 8) throw new Refusal("A packed raster can only be a mask.");
    if (opened.photometric === 3) throw new Refusal("This raster has a palette: its values are classes, not brightness, and cannot be filled.");
    const { width, height, samples, names, alpha, type, photometric, nodata } = opened;
    const [w, h] = [Math.min(width, side), Math.min(height, side)];
    current = await readWindow(opened, { col: (width - w) >> 1, row: (height - h) >> 1, width: w, height: h });
    scene = Object.assign(opened, { name });
    outcome = undefined;
    const about = { name, width, height, samples, names, alpha, type, photometric, nodata };
    return { scene: { ...about, dtype: scene.kind.name, crs: georeference(scene), bytes: blob.size }, window: shown() };
  },

  async overview({ bands }) {
    const small = await scene.overview(bands);
    if (!small) return undefined;
    const all = new Uint8Array(small.width * small.height).fill(1);
    const rgba = toRgba(small.bands, small.bands.map((band) => stretchOf(band, all, 0.02)), undefined);
    return { width: small.width, height: small.height, rgba };
  },

  async window({ place }) {
    current = await readWindow(scene, place);
    outcome = undefined;
    return shown();
  },

  view({ bands, tail, limits, mask }) {
    const use = Uint8Array.from(current.every, (data, i) => (data && !mask[i] ? 1 : 0));
    const source = bands.map((band) => current.all[band]);
    const stretch = limits ? bands.map(() => limits) : source.map((band) => stretchOf(band, use.includes(1) ? use : current.every, tail));
    const valid = Uint8Array.from(current.some, (data, i) => data | current.every[i]);
    const after = outcome && toRgba(bands.map((band) => outcome.bands[band]), stretch, valid);
    return { stretch, before: toRgba(source, stretch, valid), after };
  },

  detect({ bands, sensitivity, growPx }) {
    const { width, height } = current.place;
    const values = bands.map((band) => current.all[band]);
    return detectClouds(values, current.some, { kind: scene.kind, width, height, sensitivity, growPx });
  },

  async mask({ blob, values, growPx }) {
    const raster = await open(blob);
    if (raster.width !== scene.width || raster.height !== scene.height) {
      throw new Refusal(`The mask has ${raster.width} x ${raster.height} pixels, the scene ${scene.width} x ${scene.height}: they must lie on one grid.`);
    }
    const [flags] = await raster.read(current.place, [0]);
    const wanted = new Set(values);
    const mask = Uint8Array.from(flags, (value) => (wanted.has(value) ? 1 : 0));
    if (!mask.includes(1)) {
      const found = [...new Set(flags)].slice(0, 12).sort((a, b) => a - b).join(", ");
      throw new Refusal(`The mask has none of the values ${values.join(", ")} in this window; it has ${found}.`);
    }
    return dilate(mask, current.place.width, current.place.height, growPx);
  },

  job({ mask }) {
    const job = current.job(mask);
    const masked = mask.some((flag, i) => flag && job.valid[i]);
    const visible = mask.some((flag, i) => !flag && job.valid[i]);
    if (!masked) throw new Refusal("Nothing is masked: find the clouds, load a mask or paint one first.");
    if (!visible) throw new Refusal("Every pixel of the window is masked: a fill needs clear ground to go by. Choose a larger window or a smaller mask.");
    return job;
  },

  compose({ image, std, provenance, tags }) {
    const { bands, changedClear } = current.compose(image, provenance);
    outcome = { bands, std, provenance: provenance.slice(), tags };
    const clear = provenance.reduce((sum, value) => sum + (value === 1), 0);
    const spread = std && meanOverBands(std, current.dataBands.length, current.pixels);
    const full = spread && stretchOf(spread, provenance.map((value) => (value === 2 ? 1 : 0)), 0.02)[1];
    return { changedClear, clear, uncertainty: spread && heat(spread, full), provenance: classes(provenance) };
  },

  async write({ what }) {
    if (!outcome) throw new Refusal("There is no result to download yet.");
    const { width, height } = current.place;
    const tags = keptTags(scene.tag, current.place);
    const xml = scene.tag(42112);
    const all = { width, height, planar: scene.tag(284) ?? 1, photometric: scene.photometric, tags };
    if (what === "result") {
      const extraSamples = scene.type === "geotiff" ? scene.tag(338) && [...scene.tag(338)] : scene.alpha.length ? [2] : undefined;
      return writeGeoTiff({ ...all, kind: scene.kind, bands: outcome.bands, extraSamples, xml: withTags(xml, outcome.tags) });
    }
    const plain = { ...all, photometric: 1, tags: without(tags, 42113) };
    if (what === "provenance") {
      return writeGeoTiff({ ...plain, kind: KINDS.uint8, bands: [outcome.provenance], xml: withTags(undefined, outcome.tags) });
    }
    if (!outcome.std) throw new Refusal("One sample has no spread: run with 2 samples or more for the uncertainty.");
    const bands = current.dataBands.map((_, b) => outcome.std.subarray(b * current.pixels, (b + 1) * current.pixels));
    const names = scene.alpha.length ? undefined : descriptionsOnly(xml);
    return writeGeoTiff({ ...plain, kind: KINDS.float32, bands, xml: withTags(names, outcome.tags) });
  },
};

function without(tags, tag) {
  const { [tag]: _gone, ...rest } = tags;
  return rest;
}

function meanOverBands(std, bands, pixels) {
  const mean = new Float32Array(pixels);
  for (let b = 0; b < bands; b += 1) {
    for (let i = 0; i < pixels; i += 1) mean[i] += std[b * pixels + i] / bands;
  }
  return mean;
}

/** The buffers of an answer that may move instead of being copied. */
function movable(result) {
  const values = result && !(result instanceof Blob) ? [result, ...Object.values(result)] : [];
  return [...new Set(values.filter((v) => ArrayBuffer.isView(v)).map((v) => v.buffer))];
}

// One question after the other: a window is not replaced while it is being drawn.
let queue = Promise.resolve();
self.onmessage = ({ data: { id, call, args } }) => {
  queue = queue.then(async () => {
    try {
      const result = await calls[call](args);
      self.postMessage({ id, result }, movable(result));
    } catch (error) {
      const memory = error instanceof RangeError && /allocation|length/i.test(error.message);
      const shown = memory ? new Refusal("The memory of this page does not suffice for that; choose a smaller window.") : error;
      self.postMessage({ id, error: sendable(shown) });
    }
  });
};
