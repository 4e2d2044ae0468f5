// The parts of the page that need no browser: pixel types, metadata, packing, bands.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { packed, rounded, header } from "../../../web-demo/build/pack-model.mjs";
import { guessBands } from "../../../web-demo/src/bands.js";
import { detectClouds, dilate } from "../../../web-demo/src/detect.js";
import { KINDS, fromFill, isNodata, nodataIn } from "../../../web-demo/src/dtype.js";
import { descriptions, withTags } from "../../../web-demo/src/gdal-metadata.js";
import { fetchCheckpoint } from "../../../web-demo/src/unpack.js";
import { dist, repo } from "../harness.mjs";

function storedValues() {
  const { uint8, int16, uint16, float32, float64 } = KINDS;
  assert.equal(fromFill(uint8, 2.5), 3);
  assert.equal(fromFill(int16, -2.5), -3, "half goes away from zero");
  assert.equal(fromFill(uint8, 300), 255);
  assert.equal(fromFill(uint16, -4), 0);
  assert.equal(fromFill(uint8, 0.2, 0), 1, "never nodata");
  assert.equal(fromFill(uint16, 99.8, 100), 99);
  assert.equal(fromFill(uint16, 100.2, 100), 101);
  assert.equal(fromFill(uint8, 255, 255), 254);
  assert.equal(fromFill(float32, 7, 7), Math.fround(7.0000005));
  assert.ok(fromFill(float32, 0, 0) > 0);
  assert.ok(fromFill(float64, -1, -1) > -1);
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
  const source = readFileSync(join(repo, "core/src/models.rs"), "utf8");
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

function growing() {
  const one = new Uint8Array(49);
  one[3 * 7 + 3] = 1;
  const grown = dilate(one, 7, 7, 2);
  for (let i = 0; i < 49; i += 1) {
    const inside = Math.abs(Math.floor(i / 7) - 3) <= 2 && Math.abs((i % 7) - 3) <= 2;
    assert.equal(grown[i], inside ? 1 : 0, `pixel ${i}`);
  }
  const [width, height] = [32, 32];
  const cloud = (i) => Math.hypot((i % width) - 16, Math.floor(i / width) - 16) < 7;
  const band = (ground, bright) => Uint16Array.from({ length: width * height }, (_, i) => (cloud(i) ? bright : ground + (i % 5)));
  const found = detectClouds([band(900, 3000), band(850, 3000), band(800, 3100)], new Uint8Array(width * height).fill(1), { kind: KINDS.uint16, width, height, growPx: 0 });
  const wrong = found.filter((flag, i) => flag !== (cloud(i) ? 1 : 0)).length;
  assert.ok(wrong < 12, `${wrong} pixels are wrong`);
}

export const cases = [
  { name: "parts: stored values", run: storedValues },
  { name: "parts: metadata", run: metadata },
  { name: "parts: bands", run: bands },
  { name: "parts: masks", run: growing },
  { name: "parts: model packing", run: packing },
  { name: "parts: size on the wire", run: wire },
];
