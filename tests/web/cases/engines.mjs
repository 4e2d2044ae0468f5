// Both engines against the native program on the same seed, and what a run promises.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { rounded } from "../../../web-demo/build/pack-model.mjs";
import { complaint, demo, download, engineReady, fill, gdal, open, openFile, repo, restoreNatively, run, scratch } from "../harness.mjs";

/** Published in README: largest difference to the native program, of the range of a band. */
const TOLERANCE = { cpu: 1e-3, webgpu: 5e-3 };
/** A texture is a chain of choices, some of which rounding flips: least share of pixels that agree (0.996 seen). */
const AGREEING = 0.7;
/** A GPU in software on a busy machine takes its time. */
const GPU_PATIENCE_MS = 900000;
const SCENE = demo("latium_20180705.tif");
const MASK = demo("latium_20180705_mask.tif");
const OTHER = demo("latium_20181112.tif");

/** The checkpoint the page downloads, as a file for the program. */
function pageModel() {
  const source = readFileSync(join(repo, "core/src/model/bundled.rs"), "utf8");
  const [, name] = /models\/([^"]+\.safetensors)/.exec(source);
  const path = join(scratch, name);
  writeFileSync(path, rounded(readFileSync(join(repo, "core/models", name))));
  return path;
}

/** A part of the sample as floating point, so that differences are not rounded away. */
function part(name, col, row, side) {
  const [scene, mask] = [join(scratch, `${name}.tif`), join(scratch, `${name}_mask.tif`)];
  gdal("crop", SCENE, scene, col, row, side, side, "Float32", "COMPRESS=DEFLATE", "TILED=YES", "BLOCKXSIZE=64", "BLOCKYSIZE=64");
  gdal("crop", MASK, mask, col, row, side, side, "Byte");
  return [scene, mask];
}

/** Restores a file in an open page and downloads the result. */
async function restoreInPage(page, [scene, mask], name, settings) {
  await openFile(page, scene);
  await fill(page, { "mask-values": "1,2", grow: 0, ...settings });
  await openFile(page, mask, "#mask-file");
  const seconds = await run(page, GPU_PATIENCE_MS);
  assert.match(await page.textContent("#verdict"), /^0 of \d+ clear pixels changed/);
  return { out: await download(page, "#save-result", name), seconds };
}

/** The whole sample at the page's own quality, which is the program's, on the CPU. */
async function sampleOnCpu(browser, note) {
  const { page, tab, requests, problems, close } = await open(browser);
  await engineReady(page, "cpu");
  const seconds = await run(page);
  note(`sample (256 x 256, 13 bands, 29 % hidden) at balanced quality: ${seconds} s`);
  assert.ok(requests.some((url) => /model-/.test(url)));
  const page1 = await download(page, "#save-result", "sample_page.tif");
  const [uncertainty, provenance, png] = [
    await download(page, "#save-uncertainty", "sample_uncertainty.tif"),
    await download(page, "#save-provenance", "sample_provenance.tif"),
    await download(page, "#save-png", "sample_page.png"),
  ];
  assert.ok(readFileSync(png).subarray(1, 4).equals(Buffer.from("PNG")));
  assert.deepEqual(problems, []);
  await close();
  const options = ["--mask-values", "1,2", "--seed", 1, "--model", pageModel(), "--reference", OTHER];
  const other = restoreNatively(SCENE, MASK, "sample_native.tif", ...options, "--uncertainty", join(scratch, "native_uncertainty.tif"), "--provenance", join(scratch, "native_provenance.tif"));
  const same = gdal("compare", other, page1, MASK, "1,2");
  note(`to the native program, as uint16: at most ${same.absolute} of the pixel's unit`);
  assert.equal(same.clear_changed, 0);
  // Rounded to integers, two values that agree may still come out one apart.
  assert.ok(same.max < TOLERANCE.cpu || same.absolute <= 1, JSON.stringify(same));
  const spread = gdal("compare", join(scratch, "native_uncertainty.tif"), uncertainty);
  assert.ok(spread.max < 0.01, `uncertainty differs by ${spread.max}`);
  const classes = gdal("compare", join(scratch, "native_provenance.tif"), provenance);
  assert.equal(classes.absolute, 0, "provenance differs");
  const bundled = restoreNatively(SCENE, MASK, "sample_bundled.tif", "--mask-values", "1,2", "--seed", 1, "--reference", OTHER);
  const rounding = gdal("compare", bundled, page1, MASK, "1,2");
  note(`rounding the model by one bit: ${rounding.mean.toFixed(2)} digital numbers on average, ${(100 * rounding.max).toFixed(2)} % of the range at most`);
  await tab.close().catch(() => {});
}

/** A texture for the eye: asked for, shown while it is drawn, and the command line's. */
async function textured(browser, note) {
  const { page, problems, close } = await open(browser);
  await engineReady(page, "cpu");
  assert.equal(await page.inputValue("#write"), "mean", "the one closest to the truth comes by itself");
  await page.evaluate(() => {
    Object.assign(window, { asked: [], said: [] });
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function post(message, ...rest) {
      if (message.call === "restore") window.asked.push(message.args.options.write);
      return postMessage.call(this, message, ...rest);
    };
    const [status, bar] = [document.getElementById("status"), document.getElementById("progress")];
    const note = () => window.said.push({ text: status.textContent, at: performance.now(), counted: bar.hasAttribute("value") });
    new MutationObserver(note).observe(status, { childList: true, characterData: true, subtree: true });
  });
  // A texture is drawn from the scene alone.
  assert.ok(await page.evaluate(() => document.querySelector('#write [value="texture"]').disabled));
  await page.click("#other-clear");
  await page.waitForFunction(() => /scene alone/.test(document.getElementById("status").textContent));
  await fill(page, { write: "texture" });
  const seconds = await run(page);
  const [asked, said] = await page.evaluate(() => [window.asked, window.said]);
  assert.deepEqual(asked, ["texture"]);
  const drawing = said.findIndex(({ text }) => /^Drawing the texture/.test(text));
  assert.ok(drawing > 0 && !said[drawing].counted, "the page says nothing while it draws");
  const drew = (said[drawing + 1].at - said[drawing].at) / 1000;
  note(`sample with a texture at balanced quality: ${seconds} s, ${drew.toFixed(1)} s of them for the texture`);
  const out = await download(page, "#save-result", "texture_page.tif");
  assert.equal(gdal("tag", out, "UNCLOUDED_WRITTEN").value, "texture");
  assert.match(await page.textContent("#verdict"), /^0 of \d+ clear pixels changed/);
  const options = ["--mask-values", "1,2", "--seed", 1, "--model", pageModel()];
  const other = restoreNatively(SCENE, MASK, "texture_native.tif", ...options, "--write", "texture");
  for (const name of ["UNCLOUDED_WRITTEN", "UNCLOUDED_TILE_PX", "UNCLOUDED_OVERLAP_PX"]) {
    assert.equal(gdal("tag", out, name).value, gdal("tag", other, name).value, name);
  }
  const same = gdal("compare", other, out, MASK, "1,2");
  note(`to the native program: ${(100 * same.agreeing).toFixed(2)} % of the filled pixels agree, ${same.mean.toFixed(2)} digital numbers apart on average`);
  assert.equal(same.clear_changed, 0);
  assert.ok(same.agreeing >= AGREEING, JSON.stringify(same));
  const mean = gdal("compare", restoreNatively(SCENE, MASK, "texture_mean.tif", ...options), out, MASK, "1,2");
  note(`to the mean: ${mean.mean.toFixed(2)} digital numbers on average`);
  assert.ok(mean.agreeing < 0.5, "the mean was written");
  assert.deepEqual(problems, []);
  await page.evaluate(() => { document.querySelector("#write option:checked").value = "magic"; });
  await page.click("#run");
  await complaint(page, /Write: expected one of mean, sample, texture, got magic/);
  await close();
}

/** A small window at fast quality, compared before anything is rounded. */
async function fastOnCpu(browser, note) {
  const { page, problems, close } = await open(browser);
  await engineReady(page, "cpu");
  const files = part("part128", 60, 60, 128);
  const { out, seconds } = await restoreInPage(page, files, "part128_page.tif", { quality: "fast", seed: 5 });
  note(`128 x 128, 13 bands, fast quality, CPU: ${seconds} s`);
  const other = restoreNatively(...files, "part128_native.tif", "--mask-values", "1,2", "--seed", 5, "--quality", "fast", "--model", pageModel());
  const same = gdal("compare", other, out, files[1], "1,2");
  note(`to the native program, as float32: ${same.max.toExponential(1)} of the range at most`);
  assert.ok(same.max < TOLERANCE.cpu, JSON.stringify(same));
  assert.equal(same.clear_changed, 0);
  assert.deepEqual(problems, []);
  await close();
}

/**
 * The GPU engine, in software: several steps on a part of the sample, and the device lost in the
 * middle of the next run. One page, since its shaders take most of the time.
 */
async function onWebGpu(browser, note) {
  const { page, problems, close } = await open(browser, { query: "?engine=webgpu" });
  const label = await engineReady(page, "webgpu");
  note(label);
  assert.match(label, /WebGPU: .*software/);

  const files = part("part128", 60, 60, 128);
  const first = await restoreInPage(page, files, "part128_webgpu.tif", { steps: 2, samples: 1, seed: 9 });
  note(`128 x 128, 13 bands, 2 steps, 1 sample, shaders compiled first: ${first.seconds} s`);
  const options = ["--mask-values", "1,2", "--samples", 1, "--model", pageModel()];
  const exact = gdal("compare", restoreNatively(...files, "part128_native2.tif", ...options, "--seed", 9, "--steps", 2), first.out, files[1], "1,2");
  note(`to the native program, as float32: ${exact.max.toExponential(1)} of the range at most`);
  assert.ok(exact.max < TOLERANCE.webgpu, JSON.stringify(exact));
  assert.equal(exact.clear_changed, 0);
  assert.deepEqual(problems, []);

  await page.click("#run");
  await page.waitForFunction(() => document.getElementById("progress").value > 0, undefined, { timeout: GPU_PATIENCE_MS });
  const workers = page.workers().filter((worker) => worker.url().includes("engine.worker"));
  await Promise.all(workers.map((worker) => worker.evaluate(() => self.gpuDevice.destroy())));
  await complaint(page, /WebGPU device was lost.*going on with the CPU engine/, 60000);
  await page.waitForSelector("#verdict:not([hidden])", { timeout: 120000 });
  assert.match(await page.textContent("#engine-label"), /CPU: the WebGPU device was lost/);
  const again = gdal("compare", first.out, await download(page, "#save-result", "part128_fallback.tif"), files[1], "1,2");
  assert.ok(again.max < TOLERANCE.webgpu, "the CPU went on with the same seed");
  await close();
}

/** A software GPU is slower than the CPU: left to itself the page takes the CPU, and says why. */
async function choosesByItself(browser) {
  const { page, close } = await open(browser);
  const label = await engineReady(page);
  assert.match(label, /CPU: the only WebGPU adapter here \(.*\) is software/);
  await close();
}

/** Tiles come in while a run goes on: the picture changes before it is over. */
async function previews(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const print = () => page.evaluate(() => document.getElementById("picture").toDataURL().length);
  await fill(page, { samples: 1, steps: 4 });
  await page.evaluate(() => { document.getElementById("show-mask").click(); });
  const before = await print();
  await page.click("#run");
  await page.waitForFunction(() => Number(document.getElementById("progress").value) > 0.3, undefined, { timeout: 60000 });
  assert.ok(await page.isVisible("#cancel"), "still running");
  assert.match(await page.textContent("#status"), /Step \d+ of \d+/);
  assert.notEqual(await print(), before, "no preview was drawn");
  await page.waitForSelector("#verdict:not([hidden])", { timeout: 120000 });
  await close();
}

export const cases = [
  { name: "engines: the sample on the CPU", engine: "cpu", run: sampleOnCpu },
  { name: "engines: a texture on the CPU", engine: "cpu", run: textured },
  { name: "engines: 128 x 128 at fast quality", engine: "cpu", run: fastOnCpu },
  { name: "engines: previews", engine: "cpu", run: previews },
  { name: "engines: chosen by itself", engine: "webgpu", run: choosesByItself },
  { name: "engines: WebGPU and its loss", engine: "webgpu", run: onWebGpu },
];
