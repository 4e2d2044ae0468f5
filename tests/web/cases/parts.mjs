// The parts of the page that need no browser: pixel types, metadata, packing, bands.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { packed, rounded, header } from "../../../web-demo/build/pack-model.mjs";
import { guessBands } from "../../../web-demo/src/bands.js";
import { KINDS, isNodata, nodataIn } from "../../../web-demo/src/dtype.js";
import { fromLonLat, gridMap, latitude, northUp, pixelM, placeOf } from "../../../web-demo/src/geo.js";
import { descriptions, withTags } from "../../../web-demo/src/gdal-metadata.js";
import { Mask } from "../../../web-demo/src/mask.js";
import { burnGeoJson } from "../../../web-demo/src/polygons.js";
import { fetchCheckpoint } from "../../../web-demo/src/unpack.js";
import { dist, native, repo } from "../harness.mjs";

function storedValues() {
  const { uint8, float32 } = KINDS;
  assert.equal(nodataIn(uint8, -9999), undefined);
  assert.equal(nodataIn(float32, 0.1), Math.fround(0.1));
  assert.ok(isNodata(NaN, NaN) && !isNodata(1, undefined));
}

function metadata() {
  const xml = '<GDALMetadata>\n  <Item name="DESCRIPTION" sample="1" role="description">B &amp; W</Item>\n  <Item name="UNCLOUDED_SEED">3</Item>\n</GDALMetadata>\0';
  assert.deepEqual(descriptions(xml, 3), ["", "B & W", ""]);
  const again = withTags(xml, [["UNCLOUDED_SEED", "4"], ["X", "<"]]);
  assert.match(again, /B &amp; W/);
  assert.equal(again.match(/UNCLOUDED_SEED/g).length, 1);
  assert.match(again, /<Item name="X">&lt;<\/Item>\n<\/GDALMetadata>/);
  assert.match(withTags(undefined, [["A", "1"]]), /^<GDALMetadata>\n  <Item name="A">1<\/Item>/);
}

function bands() {
  const scene = (names, photometric = 1, alpha = []) => ({ samples: names.length, names, alpha, photometric });
  const s2 = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"];
  assert.deepEqual(guessBands(scene(s2), 3), [3, 2, 1]);
  assert.deepEqual(guessBands(scene(["Blue", "Green", "Red Edge 1", "Red"]), 3), [3, 1, 0]);
  assert.deepEqual(guessBands(scene(["", "", "", ""], 2, [3]), 3), [0, 1, 2]);
  assert.deepEqual(guessBands(scene(["", "", "", ""]), 3), [2, 1, 0]);
  assert.deepEqual(guessBands(scene([""]), 3), [0, 0, 0]);
}

/** What the page unpacks is the checkpoint the build rounded, byte for byte. */
async function packing(_browser, note) {
  const model = readdirSync(dist).find((name) => name.startsWith("model-"));
  const file = readFileSync(join(dist, model));
  const there = globalThis.fetch;
  globalThis.fetch = async () => new Response(file);
  let seen = 0;
  const unpacked = Buffer.from(await fetchCheckpoint("model", (bytes) => { seen = bytes; })).buffer;
  globalThis.fetch = there;
  const source = readFileSync(join(repo, "core/src/model/bundled.rs"), "utf8");
  const [, name] = /models\/([^"]+\.safetensors)/.exec(source);
  const original = readFileSync(join(repo, "core/models", name));
  const expected = rounded(original);
  assert.ok(Buffer.from(unpacked).equals(expected));
  assert.equal(seen, file.length);
  assert.ok(packed(original).length > file.length, "rounding makes it smaller");
  const { end } = header(original);
  let changed = 0;
  for (let at = end; at < original.length; at += 2) {
    const difference = Math.abs((original.readUInt16LE(at) & 0x7fff) - (expected.readUInt16LE(at) & 0x7fff));
    assert.ok(difference <= 1, "a weight changed by more than its last bit");
    changed += difference;
  }
  note(`model on the wire: ${file.length} bytes for ${original.length}; ${changed} weights rounded by one last bit`);
}

function wire(_browser, note) {
  const code = readdirSync(dist).find((name) => name.startsWith("engine-"));
  const bytes = statSync(join(dist, code)).size;
  note(`engine on the wire: ${bytes} bytes`);
  assert.ok(bytes <= 4e6);
  for (const name of readdirSync(dist)) assert.ok(!/\.map$/.test(name), `${name} ships`);
}

/** A scene in memory: tags of a GeoTIFF of 10 m pixels (or `step` degrees) at a corner. */
function placed({ epsg = 32633, x = 300000, y = 4640000, step = 10, width = 100, height = 80, model = 1 } = {}) {
  const tags = { 33550: [step, step, 0], 33922: [0, 0, 0, x, y, 0], 34735: [1, 1, 0, 2, 1024, 0, 1, model, model === 2 ? 2048 : 3072, 0, 1, epsg] };
  return placeOf({ tag: (tag) => tags[tag], width, height });
}

function places() {
  const scene = placed();
  assert.equal(pixelM(scene), 10);
  assert.ok(northUp(scene) && Math.abs(latitude(scene) - 41.88) < 0.2, `${latitude(scene)}`);
  assert.equal(gridMap(scene, placed()), "same");
  assert.equal(gridMap(scene, placed({ epsg: 32632 })), "crs");
  assert.equal(gridMap(scene, placed({ x: 900000 })), "elsewhere");
  assert.equal(gridMap(scene, placed({ width: 50, height: 40, step: 20 }))(50, 40).join(), "25,20");
  const bare = placeOf({ tag: () => undefined, width: 100, height: 80 });
  assert.equal(gridMap(scene, bare), "same", "pixel by pixel");
  assert.equal(gridMap(scene, { ...bare, width: 99 }), "size");
  // UTM against PROJ: gdaltransform -s_srs EPSG:4326 -t_srs EPSG:32633, and 32719.
  const [col, row] = fromLonLat(placed({ x: 0, y: 0, step: 1 }))(12.5, 41.9);
  assert.ok(Math.hypot(col - 292624.8753, -row - 4641695.8779) < 0.001, `${col} ${-row}`);
  const [east, south] = fromLonLat(placed({ epsg: 32719, x: 0, y: 0, step: 1 }))(-70.6, -33.4);
  assert.ok(Math.hypot(east - 351205.0646, -south - 6303223.7507) < 0.001, `${east} ${-south}`);
  assert.equal(fromLonLat(placed({ epsg: 2056 })), undefined);
}

function polygons() {
  const scene = placed({ epsg: 4326, model: 2, x: 10, y: 50, step: 0.01, width: 20, height: 10 });
  const box = (l, b, r, t) => [[l, b], [r, b], [r, t], [l, t], [l, b]];
  const json = (geometry) => JSON.stringify({ type: "FeatureCollection", features: [{ type: "Feature", geometry }] });
  const window = { col: 2, row: 1, width: 10, height: 8 };
  const ring = { type: "Polygon", coordinates: [box(10.03, 49.93, 10.07, 49.97), box(10.04, 49.94, 10.06, 49.96)] };
  const flags = burnGeoJson(json(ring), scene, window);
  assert.equal(flags.reduce((sum, flag) => sum + flag, 0), 16 - 4);
  assert.equal(flags[(3 - 1) * 10 + (3 - 2)], 1);
  assert.throws(() => burnGeoJson(json({ type: "Point", coordinates: [10, 50] }), scene, window), /no polygons/);
  assert.throws(() => burnGeoJson(json({ type: "Polygon", coordinates: [box(0, 0, 1, 1)] }), scene, window), /do not lie over/);
  assert.throws(() => burnGeoJson("{", scene, window), /no GeoJSON/);
}

function undoing() {
  const mask = new Mask(4, 1);
  const first = mask.state;
  mask.set(Uint8Array.of(1, 0, 0, 0));
  const second = mask.state;
  mask.set(Uint8Array.of(1, 1, 0, 0));
  assert.ok(mask.undo() && mask.state === second && mask.count === 1);
  assert.ok(mask.undo() && mask.state === first && !mask.undo());
  assert.ok(mask.redo() && mask.redo() && mask.count === 2 && !mask.redo());
  mask.undo();
  mask.set(Uint8Array.of(0, 0, 0, 1));
  assert.ok(!mask.redo(), "a new change ends what could be redone");
  assert.ok(![first, second].includes(mask.state));
}

/** The page offers the core's levels of quality, and its default is theirs. */
function qualities() {
  const page = readFileSync(join(repo, "web-demo", "index.html"), "utf8");
  const select = /<select id="quality">(.*?)<\/select>/s.exec(page)[1];
  const offered = [...select.matchAll(/<option value="(\w+)"/g)].map(([, value]) => value);
  const { qualities: known } = JSON.parse(execFileSync(native, ["capabilities", "--json"], { encoding: "utf8" }));
  assert.deepEqual(offered, [...known.map(({ name }) => name), "own"]);
  assert.match(select, /value="balanced" selected/);
}

export const cases = [
  { name: "parts: stored values", run: storedValues },
  { name: "parts: metadata", run: metadata },
  { name: "parts: bands", run: bands },
  { name: "parts: places", run: places },
  { name: "parts: polygons", run: polygons },
  { name: "parts: undo and redo", run: undoing },
  { name: "parts: qualities", run: qualities },
  { name: "parts: model packing", run: packing },
  { name: "parts: size on the wire", run: wire },
];
