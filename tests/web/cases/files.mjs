// GeoTIFFs of many kinds into the page and out again, checked with GDAL.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";

import { complaint, demo, download, engineReady, fill, gdal, open, openFile, problemOf, run, scratch } from "../harness.mjs";

const SCENE = demo("punjab_20200823.tif");
const MASK = demo("punjab_20200823_mask.tif");

/** Types, layouts and compressions a scene may come in; [name, GDAL type, creation options]. */
const KINDS = [
  ["tiled_lzw", "UInt16", ["TILED=YES", "COMPRESS=LZW", "PREDICTOR=2", "BLOCKXSIZE=32", "BLOCKYSIZE=32"]],
  ["striped_band", "UInt16", ["INTERLEAVE=BAND", "COMPRESS=DEFLATE", "BLOCKYSIZE=7"]],
  ["plain_big", "UInt16", ["BIGTIFF=YES", "COMPRESS=NONE"]],
  ["big_endian", "Int16", ["ENDIANNESS=BIG", "COMPRESS=NONE"]],
  ["float_zstd", "Float32", ["COMPRESS=ZSTD", "PREDICTOR=3", "TILED=YES"]],
  ["bytes_packbits", "Byte", ["COMPRESS=PACKBITS"]],
];

async function roundTrips(browser, note) {
  const { page, problems, close } = await open(browser);
  await engineReady(page);
  const mask = join(scratch, "trip_mask.tif");
  gdal("crop", MASK, mask, 40, 120, 64, 48, "Byte");
  for (const [name, type, options] of KINDS) {
    const scene = join(scratch, `trip_${name}.tif`);
    gdal("crop", SCENE, scene, 40, 120, 64, 48, type, ...options);
    gdal("dress", scene, type === "Byte" ? 0 : 7);
    await openFile(page, scene);
    assert.equal(await problemOf(page), "", name);
    await fill(page, { "mask-values": "1,2", grow: 0, steps: 1, samples: 1 });
    await openFile(page, mask, "#mask-file");
    await run(page);
    const result = await download(page, "#save-result", `trip_${name}_out.tif`);
    const trip = gdal("round-trip", scene, result, mask, "1,2");
    assert.deepEqual(trip.problems, {}, name);
    assert.equal(trip.clear_changed, 0, name);
    assert.ok(trip.filled_changed > 0, name);
    assert.ok(trip.tags.includes("UNCLOUDED_SEED") && trip.tags.includes("UNCLOUDED_CHECKPOINT_SHA256"), name);
    assert.equal(gdal("nodata-filled", result, mask, "1,2").count, 0, `${name}: a fill became nodata`);
  }
  note(`${KINDS.length} layouts: ${KINDS.map(([name]) => name).join(", ")}`);
  assert.deepEqual(problems, []);
  await close();
}

/** A scene of Sentinel-2's full size: a window is shown without reading the rest. */
async function hugeScene(browser, note) {
  const scene = join(scratch, "huge.tif");
  gdal("huge", scene, 10980);
  const { page, close } = await open(browser);
  await engineReady(page);
  const began = Date.now();
  await openFile(page, scene);
  assert.equal(await problemOf(page), "");
  const read = Number(await page.getAttribute("body", "data-bytes-read"));
  const whole = statSync(scene).size;
  note(`10980 x 10980: window shown in ${Date.now() - began} ms, ${read} of ${whole} bytes read`);
  assert.ok(read < whole / 4, `${read} of ${whole} bytes read`);
  assert.equal(await page.inputValue("#win-width"), "512");
  await fill(page, { "win-col": 5400, "win-row": 5300, "win-width": 96, "win-height": 64 });
  await page.click("#win-apply");
  await page.waitForFunction(() => /window of 96 x 64/.test(document.getElementById("status").textContent));
  await page.click("#tool-brush");
  const box = await page.locator("#picture").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 60, box.y + box.height / 2, { steps: 4 });
  await page.mouse.up();
  await fill(page, { steps: 1, samples: 1 });
  await run(page);
  const [result, marked] = [await download(page, "#save-result", "huge_window.tif"), await download(page, "#save-provenance", "huge_provenance.tif")];
  const trip = gdal("window-trip", scene, result, marked, 5400, 5300);
  assert.deepEqual(trip.problems, {});
  assert.equal(trip.clear_changed, 0);
  // The whole of it at once is refused, and the page goes on.
  await fill(page, { "win-col": 0, "win-row": 0, "win-width": 10980, "win-height": 10980 });
  await page.click("#win-apply");
  await complaint(page, /does not fit into a page's memory; choose at most about \d+ x \d+/);
  assert.ok(await page.isEnabled("#run"));
  await close();
}

/** PNG with a painted mask; a scene's clouds found by the page. */
async function picturesAndDetection(browser, note) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await openFile(page, SCENE);
  await fill(page, { grow: 3 });
  await page.click("#detect");
  await page.waitForFunction(() => /found and marked pink/.test(document.getElementById("status").textContent));
  await fill(page, { steps: 1, samples: 1 });
  await run(page);
  const found = await download(page, "#save-provenance", "detected.tif");
  const { iou } = gdal("iou", found, MASK, "1,2");
  note(`clouds found by the page against the bundled mask: intersection over union ${iou.toFixed(2)}`);
  assert.ok(iou > 0.6, `found ${iou}`);
  const png = join(scratch, "picture.png");
  gdal("png", SCENE, png);
  await openFile(page, png);
  assert.match(await page.textContent("#scene-about"), /3 bands, uint8, not georeferenced/);
  await fill(page, { grow: 0 });
  await openFile(page, MASK, "#mask-file");
  await run(page);
  const out = await download(page, "#save-result", "picture_out.tif");
  const same = gdal("compare", png, out, MASK, "1");
  assert.equal(same.clear_changed, 0);
  assert.ok(same.mean > 0, "nothing was filled");
  await close();
}

export const cases = [
  { name: "files: round trips", engine: "cpu", run: roundTrips },
  { name: "files: 10980 x 10980", engine: "cpu", run: hugeScene },
  { name: "files: pictures and detection", engine: "cpu", run: picturesAndDetection },
];
