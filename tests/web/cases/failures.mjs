// What goes wrong: each shows a sentence, and the page goes on working.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, truncateSync, copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { header } from "../../../web-demo/build/pack-model.mjs";
import { bytesOf, complaint, demo, engineReady, fill, gdal, open, openFile, problemOf, repo, run, scratch } from "../harness.mjs";

const SCENE = demo("punjab_20200823.tif");

/** After a failure the sample still runs to its end. */
async function goesOn(page) {
  await page.click("#sample");
  await page.waitForFunction(() => /Press Remove the clouds/.test(document.getElementById("status").textContent), undefined, { timeout: 30000 });
  assert.equal(await problemOf(page), "");
  await fill(page, { "win-col": 100, "win-row": 100, "win-width": 40, "win-height": 40, steps: 1, samples: 1 });
  await page.click("#win-apply");
  await page.waitForFunction(() => /window of 40/.test(document.getElementById("status").textContent));
  await page.click("#tool-brush");
  await page.focus("#picture");
  await page.keyboard.press("Space");
  await run(page, 120000);
  assert.match(await page.textContent("#verdict"), /^0 of \d+ clear/);
}

const wrong = (name, bytes) => {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  return path;
};

async function wrongFiles(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const whole = bytesOf(SCENE);
  const refused = async (path, pattern) => {
    await page.setInputFiles("#scene-file", path);
    const sentence = await complaint(page, pattern);
    assert.match(sentence, /^[A-Z].*[.!?]$/, "a sentence");
  };
  await refused(wrong("text.tif", "this is no picture"), /neither a GeoTIFF nor a picture/);
  await refused(wrong("empty.tif", ""), /empty/);
  await refused(wrong("half.tif", whole.subarray(0, whole.length >> 1)), /truncated/);
  await refused(wrong("head.tif", whole.subarray(0, 8)), /truncated|damaged/);
  await refused(wrong("few.tif", whole.subarray(0, 400)), /truncated|damaged/);
  const plain = join(scratch, "plain.tif");
  gdal("crop", SCENE, plain, 0, 0, 64, 64, "UInt16", "COMPRESS=NONE");
  const cut = join(scratch, "cut.tif");
  copyFileSync(plain, cut);
  truncateSync(cut, readFileSync(plain).length - 1000);
  await refused(cut, /truncated: its directory points to byte \d+, the file ends at \d+/);
  const garbled = Buffer.from(whole);
  garbled.fill(0x55, 2000, whole.length >> 1);
  await refused(wrong("garbled.tif", garbled), /damaged|cannot be (read|decoded)/);
  const complex = join(scratch, "complex.tif");
  gdal("crop", SCENE, complex, 0, 0, 16, 16, "CFloat32");
  await refused(complex, /not supported/);
  // The scene before is still there.
  assert.match(await page.textContent("#scene-about"), /latium/);
  const small = join(scratch, "small_mask.png");
  execFileSync("gdal_translate", ["-q", "-of", "PNG", "-srcwin", "0", "0", "50", "50", demo("latium_20180705_mask.tif"), small]);
  await page.setInputFiles("#mask-file", small);
  await complaint(page, /mask has 50 x 50 pixels, the scene 256 x 256/);
  await fill(page, { "mask-values": "77" });
  await page.setInputFiles("#mask-file", demo("latium_20180705_mask.tif"));
  await complaint(page, /none of the values 77 .* it has 0, 1, 2/);
  await page.click("#mask-clear");
  await page.click("#run");
  await complaint(page, /Nothing is masked/);
  await goesOn(page);
  await close();
}

async function wrongModels(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const original = readFileSync(join(repo, "core/models", /models\/([^"]+\.safetensors)/.exec(readFileSync(join(repo, "core/src/model/bundled.rs"), "utf8"))[1]));
  const { text, end } = header(original);
  const card = JSON.parse(text.__metadata__["unclouded.model_card"]);
  text.__metadata__["unclouded.model_card"] = JSON.stringify({ ...card, format: 99 });
  const head = Buffer.from(JSON.stringify(text).padEnd(end, " "));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  const newer = wrong("newer.safetensors", Buffer.concat([length, head, original.subarray(end)]));
  await fill(page, {});
  for (const [path, pattern] of [
    [newer, /expected card format \d+, got 99/],
    [wrong("cut.safetensors", original.subarray(0, original.length >> 1)), /truncated/],
    [wrong("text.safetensors", "no model at all"), /not a readable safetensors file/],
  ]) {
    await page.setInputFiles("#model-file", path);
    await complaint(page, pattern);
  }
  const own = wrong("own.safetensors", original);
  await openFile(page, own, "#model-file");
  assert.equal(await problemOf(page), "");
  assert.match(await page.textContent("#model-about"), /own file/);
  await goesOn(page);
  await close();
}

/** A run stops when asked: by itself between short batches, by force within a long one. */
async function cancel(browser, note) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const engine = () => page.workers().filter((worker) => worker.url().includes("engine.worker"));
  for (const [steps, samples, politely] of [[1, 64, true], [60, 16, false]]) {
    const [before] = engine();
    await fill(page, { steps, samples });
    await page.click("#run");
    await page.waitForFunction(() => document.getElementById("progress").value > 0, undefined, { timeout: 60000 });
    const began = Date.now();
    await page.click("#cancel");
    await page.waitForFunction(() => /Cancelled/.test(document.getElementById("status").textContent), undefined, { timeout: 20000 });
    note(`${steps} steps a batch: cancelled after ${Date.now() - began} ms`);
    assert.equal(await problemOf(page), "");
    assert.ok(await page.isDisabled("#save-result"), "no half result to download");
    await engineReady(page);
    if (politely) assert.ok(engine().includes(before), "the engine was replaced");
    // A worker that is ended while it computes is gone a moment later.
    for (let i = 0; !politely && engine().includes(before); i += 1) {
      assert.ok(i < 100, "the engine goes on computing");
      await page.waitForTimeout(100);
    }
  }
  await goesOn(page);
  await close();
}

/** The engine is chosen anew while it still starts: the last choice counts, and it works. */
async function changedMind(browser) {
  const { page, problems, close } = await open(browser);
  for (const asked of ["webgpu", "cpu", "auto", "cpu"]) await fill(page, { engine: asked });
  await page.waitForFunction(() => /CPU: as asked/.test(document.getElementById("engine-label").textContent), undefined, { timeout: 60000 });
  await goesOn(page);
  assert.equal(page.workers().filter((worker) => worker.url().includes("engine.worker")).length, 1);
  assert.deepEqual(problems, []);
  await close();
}

/** A worker that dies (memory) is replaced. */
async function crash(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await fill(page, { steps: 20, samples: 16 });
  await page.click("#run");
  await page.waitForFunction(() => document.getElementById("progress").value > 0, undefined, { timeout: 60000 });
  const [worker] = page.workers().filter((each) => each.url().includes("engine.worker"));
  await worker.evaluate(() => { setTimeout(() => { throw new WebAssembly.RuntimeError("memory access out of bounds"); }, 0); });
  await complaint(page, /engine ran out of memory or crashed and was started anew; choose a smaller window/);
  await goesOn(page);
  await close();
}

/** After the first visit the server may be gone: reload, run. */
async function offline(browser) {
  const { page, server, close } = await open(browser);
  await engineReady(page);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await page.waitForSelector("body[data-usable]");
  await fill(page, { quality: "fast" });
  await run(page);
  await new Promise((done) => { server.close(done); server.closeAllConnections?.(); });
  await page.reload();
  await page.waitForSelector("body[data-usable]", { timeout: 30000 });
  assert.equal(await problemOf(page), "");
  await engineReady(page);
  await goesOn(page);
  await close();
}

/** As where the visitor asks the browser to save data. */
const sparing = () => Object.defineProperty(navigator, "connection", { value: { saveData: true } });

/** Without a connection and without the model: a sentence, then on with the connection. */
async function offlineTooEarly(browser) {
  const { page, tab, requests, close } = await open(browser, { init: sparing });
  await engineReady(page);
  await page.waitForTimeout(1000);
  assert.ok(!requests.some((url) => /model-/.test(url)), "the connection is not spared");
  await tab.route(/model-/, (route) => route.abort());
  await page.click("#run");
  await complaint(page, /model cannot be downloaded/);
  await tab.unroute(/model-/);
  await goesOn(page);
  await close();
}

export const cases = [
  { name: "failures: wrong files", engine: "cpu", run: wrongFiles },
  { name: "failures: wrong models", engine: "cpu", run: wrongModels },
  { name: "failures: cancel", engine: "cpu", run: cancel },
  { name: "failures: engine chosen while starting", engine: "cpu", run: changedMind },
  { name: "failures: crashed engine", engine: "cpu", run: crash },
  { name: "failures: offline after the first visit", engine: "cpu", run: offline },
  { name: "failures: offline too early", engine: "cpu", run: offlineTooEarly },
];
