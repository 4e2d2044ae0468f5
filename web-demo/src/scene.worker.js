// The worker that holds the scene: reads windows and masks, draws them, writes results.
// The page asks with { id, call, args }, the answer is { id, result } or { id, error }.

import { guessBands } from "./bands.js";
import { descriptionsOnly, withTags } from "./gdal-metadata.js";
import { openGeoTiff } from "./geotiff-read.js";
import { keptTags, writeGeoTiff } from "./geotiff-write.js";
import { KINDS, reflectance } from "./dtype.js";
import { crsWords, gridMap, latitude, northUp, pixelM, placeOf } from "./geo.js";
import { openPicture } from "./image-read.js";
import { OtherDate } from "./other-date.js";
import { burnGeoJson, looksLikeJson } from "./polygons.js";
import { Refusal, sendable } from "./refusal.js";
import { classes, heat, stretchOf, toRgba } from "./render.js";
import { MOST_VALUES, readWindow } from "./window.js";

/** Scenes of at most this many pixels are opened whole. */
const WHOLE_PX = 1.5e6;
/** Scenes of at most this many pixels are read whole for a small picture of them. */
const OVERVIEW_PX = 6e6;
const OVERVIEW_SIDE = 340;

let scene;
let other; // the second date, if there is one
let current; // the window in view
let outcome; // what the last run made of it

async function open(blob) {
  if (blob.size === 0) throw new Refusal("This file is empty.");
  const magic = new Uint8Array(await blob.slice(0, 16).arrayBuffer());
  const text = String.fromCharCode(...magic.slice(0, 2));
  const signature = String.fromCharCode(...magic);
  if (/^\0\0\0\fjP/.test(signature) || /^\xffO\xffQ/.test(signature)) {
    throw new Refusal("This is JPEG 2000, which browsers do not read; make a GeoTIFF of it: gdal_translate in.jp2 out.tif");
  }
  if (/^SQLite format 3/.test(signature)) {
    throw new Refusal("This is a GeoPackage, which the page does not read; make a GeoTIFF of a raster (gdal_translate in.gpkg out.tif), GeoJSON of polygons (ogr2ogr -t_srs EPSG:4326 out.geojson in.gpkg).");
  }
  const tiff = (text === "II" && [42, 43].includes(magic[2])) || (text === "MM" && [42, 43].includes(magic[3]));
  return tiff ? openGeoTiff(blob) : openPicture(blob);
}

/** What the page has to know of the window in view. */
function shown() {
  return { place: current.place, valid: current.some.map((data, i) => data | current.every[i]), bytesRead: Math.min(scene.bytesRead, scene.bytes) };
}

const calls = {
  /** Opens a scene and the window in its middle; the scene before stays if either fails. */
  async open({ blob, name, side }) {
    const opened = await open(blob);
    if (opened.kind.bits !== 8 && opened.tag(258)?.[0] < 8) throw new Refusal("A packed raster can only be a mask.");
    if (opened.photometric === 3) throw new Refusal("This raster has a palette: its values are classes, not brightness, and cannot be filled.");
    const { width, height, samples, names, alpha, type, photometric, nodata } = opened;
    const whole = width * height <= WHOLE_PX && width * height * samples <= MOST_VALUES;
    const [w, h] = whole ? [width, height] : [Math.min(width, side), Math.min(height, side)];
    current = await readWindow(opened, { col: (width - w) >> 1, row: (height - h) >> 1, width: w, height: h });
    scene = Object.assign(opened, { name, bytes: blob.size });
    outcome = other = undefined;
    const about = { name, width, height, samples, names, alpha, type, photometric, nodata };
    const place = placeOf(scene);
    return { scene: { ...about, dtype: scene.kind.name, crs: crsWords(place), pixelM: pixelM(place), bytes: blob.size }, window: shown() };
  },

  async overview({ bands }) {
    const small = (await scene.overview(bands)) ?? (await shrunk(bands));
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

  /** What the detector takes: the window in view, or the second date under it. */
  async cloudy({ ofOther, growPx }) {
    const raster = ofOther ? other.raster : scene;
    const { width, height } = current.place;
    const { image, observed, bands } = ofOther ? await other.read(current.place) : current.job(new Uint8Array(current.pixels));
    const place = placeOf(scene);
    const data = Array.from({ length: raster.samples }, (_, i) => i).filter((i) => !raster.alpha.includes(i));
    const rgb = guessBands(raster, 3).map((band) => data.indexOf(band));
    const blue = image.subarray(rgb[2] * width * height, (rgb[2] + 1) * width * height);
    return {
      image, valid: observed ?? current.every.slice(), bands, height, width,
      names: data.map((band) => raster.names[band] ?? ""), rgb, ...reflectance(raster.kind, blue),
      pixelM: pixelM(place), latitude: latitude(place), northUp: northUp(place), growPx,
    };
  },

  /** Takes another date of the scene, or with nothing goes back to one. */
  async other({ blob, name }) {
    if (!blob) {
      other = undefined;
      return undefined;
    }
    const raster = await open(blob);
    const opened = new OtherDate(scene, raster, name);
    const [theirs, own] = [await opened.read(current.place), current.job(new Uint8Array(current.pixels))];
    if (!theirs.observed.includes(1)) throw new Refusal("The other date shows nothing in this window.");
    if (opened.map === "same" && theirs.bands === own.bands && theirs.image.every((value, i) => value === own.image[i])) {
      throw new Refusal("The other date is the scene itself: its clouds would be painted back. Choose an image of another day.");
    }
    other = opened;
    return { name, bands: theirs.bands };
  },

  async mask({ blob, values }) {
    const head = new Uint8Array(await blob.slice(0, 64).arrayBuffer());
    if (looksLikeJson(head)) return { flags: burnGeoJson(await blob.text(), placeOf(scene), current.place), drawn: true };
    const raster = await open(blob);
    const map = gridMap(placeOf(scene), placeOf(raster));
    if (map === "size") {
      throw new Refusal(`The mask has ${raster.width} x ${raster.height} pixels, the scene ${scene.width} x ${scene.height}, and without georeference nobody knows how they lie.`);
    }
    if (map === "crs") throw new Refusal(`The mask is in another CRS (${crsWords(placeOf(raster))}, the scene ${crsWords(placeOf(scene))}); bring it there first: gdalwarp -r near -t_srs ${crsWords(placeOf(scene))}.`);
    if (map === "elsewhere") throw new Refusal("The mask is of another place: it does not touch the scene.");
    const { image } = await new OtherDate(scene, raster, "mask").read(current.place);
    const flags = image.subarray(0, current.pixels);
    let wanted = new Set(values ?? [1]);
    let mask = Uint8Array.from(flags, (value) => (wanted.has(value) ? 1 : 0));
    const found = [...new Set(flags)].sort((a, b) => a - b);
    if (!mask.includes(1) && !values && found.every((value) => value === 0 || value === 255)) {
      // A picture in black and white: the most usual mask of all.
      wanted = new Set([255]);
      mask = Uint8Array.from(flags, (value) => (wanted.has(value) ? 1 : 0));
    }
    if (!mask.includes(1)) {
      throw new Refusal(`The mask has none of the values ${[...wanted].join(", ")} in this window; it has ${found.slice(0, 12).join(", ")}.`);
    }
    return { flags: mask, drawn: false };
  },

  async job({ mask, clouds }) {
    const job = current.job(mask);
    if (other) {
      job.reference = await other.read(current.place);
      // Where the second date is clouded itself it shows no ground.
      clouds?.forEach((cloud, i) => { if (cloud) job.reference.observed[i] = 0; });
    }
    const masked = mask.some((flag, i) => flag && job.valid[i]);
    const visible = mask.some((flag, i) => !flag && job.valid[i]);
    if (!masked) throw new Refusal("Nothing is masked: find the clouds, load a mask or paint one first.");
    if (!visible) throw new Refusal("Every pixel of the window is masked: a fill needs clear ground to go by. Choose a larger window or a smaller mask.");
    return job;
  },

  compose({ stored, std, provenance, tags }) {
    const { bands, changedClear } = current.compose(stored, provenance);
    outcome = { bands, std, provenance: provenance.slice(), tags };
    const clear = provenance.reduce((sum, value) => sum + (value === 1), 0);
    const spread = std && meanOverBands(std, current.dataBands.length, current.pixels);
    const full = spread && stretchOf(spread, provenance.map((value) => (value === 2 ? 1 : 0)), 0.02)[1];
    return { changedClear, clear, full, uncertainty: spread && heat(spread, full), provenance: classes(provenance) };
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

/** A small picture of a scene that holds none, if it is quickly read. */
async function shrunk(bands) {
  const { width, height } = scene;
  if (width * height > OVERVIEW_PX) return undefined;
  const all = await scene.read({ col: 0, row: 0, width, height }, bands);
  const step = Math.max(1, Math.ceil(Math.max(width, height) / OVERVIEW_SIDE));
  const [w, h] = [Math.ceil(width / step), Math.ceil(height / step)];
  const small = all.map((band) => Float32Array.from({ length: w * h }, (_, i) => band[Math.floor(i / w) * step * width + (i % w) * step]));
  return { width: w, height: h, bands: small };
}

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
