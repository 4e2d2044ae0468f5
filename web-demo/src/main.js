// The page: what happens when. Workers read and compute, the viewer draws, this file decides.

import { guessBands } from "./bands.js";
import { Engine } from "./engine.js";
import { Mask } from "./mask.js";
import { $, complain, megabytes, number, save, say, themeButton } from "./page.js";
import { toRgba } from "./render.js";
import { Viewer } from "./viewer.js";
import { WorkerClient } from "./worker-client.js";

/* global ASSETS -- files, bytes and versions, put in by the build */
const assets = ASSETS;

/** Windows are at most this wide and high unless the user asks for more. */
const DEFAULT_SIDE_PX = 512;
const QUALITY = { fast: { steps: 1, samples: 2 }, standard: {}, fine: { samples: 8 } };

const viewer = new Viewer($("picture"));
const mask = new Mask(1, 1);
const scenes = new WorkerClient(new Worker(new URL("scene.worker.js", import.meta.url), { type: "module" }), ({ crashed }) => {
  if (crashed) complain(`The part of the page that reads files stopped (${crashed}); reload the page.`);
});
let scene; // what the scene worker said about it
let place; // the window in view
let valid; // 1 where a masked pixel would be data
let bands = [0, 0, 0];
let stretch; // [low, high] for each band shown
let model = { bands: ["red", "green", "blue"], ...assets.model.card };
let busy = false;
let finished = false; // there is a result for this window

const engine = new Engine(assets, {
  state: ({ label, note, engine: kind }) => {
    $("engine-label").textContent = `Engine: ${label}${note ? ` (${note})` : ""}`;
    document.querySelector(".dot").classList.toggle("ready", Boolean(kind));
    document.body.dataset.engine = kind ?? "";
  },
  bytes: (what, bytes) => {
    const whole = what === "model" ? assets.model.bytes : assets.code.bytes;
    if (what === "model") say(`Downloading the model, once: ${megabytes(bytes)} of ${megabytes(whole)}`);
    $("bytes").textContent = `Downloading the ${what}: ${megabytes(bytes)} of ${megabytes(whole)}`;
    if (bytes >= whole) showBytes();
  },
  notice: (text) => complain(text),
});

function showBytes() {
  const { page, code, sample, model: weights } = assets;
  $("bytes").textContent = `Downloads: page ${megabytes(page.bytes)}, engine ${megabytes(code.bytes)}, sample ${megabytes(sample.bytes)}; with the first run the model, ${megabytes(weights.bytes)}. Each once, then kept for use offline.`;
}

/** Runs something that may refuse; shows why, and the page goes on. */
async function attempt(work, during) {
  complain(undefined);
  if (during) say(during);
  try {
    return await work();
  } catch (error) {
    complain(error);
    say(scene ? "" : "Open a scene to begin.");
    return undefined;
  } finally {
    refresh();
  }
}

/** Which controls can be used. */
function refresh() {
  $("run").disabled = busy || !place;
  $("run").hidden = busy;
  $("cancel").hidden = !busy;
  $("progress").hidden = !busy;
  for (const id of ["save-result", "save-provenance", "save-png"]) $(id).disabled = !finished || busy;
  $("save-uncertainty").disabled = !finished || busy || !finished.uncertainty;
  for (const id of ["detect", "mask-clear", "mask-file", "scene-file", "sample", "win-apply", "engine", "model-file", "undo", "quality", "steps", "samples", "seed"]) {
    $(id).disabled = busy || (!place && ["detect", "mask-clear", "mask-file", "win-apply", "undo"].includes(id));
  }
  $("show-uncertainty").disabled = !finished || !finished.uncertainty;
  $("show-provenance").disabled = !finished;
  $("swipe").disabled = !viewer.hasAfter;
  $("tag-before").hidden = $("tag-after").hidden = !viewer.hasAfter;
  const kept = engine.model ? "own file" : `${megabytes(assets.model.bytes)}, downloaded once`;
  $("model-about").textContent = `Model: ${model.name} (${kept}). ${model.description ?? ""}`;
  $("model-default").hidden = !engine.model;
}

// Scene and window

async function openScene(blob, name) {
  scene = await scenes.call("open", { blob, name });
  place = undefined;
  finished = false;
  bands = guessBands(scene, model.bands.length);
  listBands();
  const nodata = scene.nodata === undefined ? "" : `, nodata ${scene.nodata}`;
  $("scene-about").textContent = `${name}: ${scene.width} x ${scene.height} pixels, ${scene.samples} bands, ${scene.dtype}, ${scene.crs}${nodata}, ${megabytes(scene.bytes)}`;
  const [width, height] = [Math.min(scene.width, DEFAULT_SIDE_PX), Math.min(scene.height, DEFAULT_SIDE_PX)];
  await showWindow({ col: (scene.width - width) >> 1, row: (scene.height - height) >> 1, width, height });
  await showOverview();
}

async function showWindow(wanted) {
  const { every, some, bytesRead } = await scenes.call("window", { place: wanted });
  place = wanted;
  finished = false;
  valid = some.map((data, i) => data | every[i]);
  for (const side of ["col", "row", "width", "height"]) $(`win-${side}`).value = place[side];
  viewer.reset(place.width, place.height);
  mask.reset(place.width, place.height);
  $("verdict").hidden = true;
  await redraw();
  const part = place.width < scene.width || place.height < scene.height;
  say(part ? `A window of ${place.width} x ${place.height} pixels; ${megabytes(bytesRead)} of ${megabytes(scene.bytes)} read.` : "Ready.");
  document.body.dataset.bytesRead = bytesRead;
  drawOverview();
}

let overview; // { canvas-sized bitmap, width, height } of the whole scene
async function showOverview() {
  overview = undefined;
  const whole = place.width === scene.width && place.height === scene.height;
  if (!whole) overview = (await scenes.call("overview", { bands })) ?? {};
  $("overview").hidden = whole;
  drawOverview();
}

function drawOverview() {
  if (!overview) return;
  const canvas = $("overview");
  const scale = 340 / Math.max(scene.width, scene.height);
  canvas.width = overview.width ?? Math.max(1, Math.round(scene.width * scale));
  canvas.height = overview.height ?? Math.max(1, Math.round(scene.height * scale));
  const context = canvas.getContext("2d");
  context.fillStyle = "#7d8a80";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (overview.rgba) context.putImageData(new ImageData(overview.rgba, overview.width, overview.height), 0, 0);
  const [x, y] = [canvas.width / scene.width, canvas.height / scene.height];
  context.lineWidth = Math.max(2, canvas.width / 170);
  context.strokeStyle = "#ff2d87";
  context.strokeRect(place.col * x, place.row * y, Math.max(place.width * x, 2), Math.max(place.height * y, 2));
}

function listBands() {
  const labels = model.bands.length === 3 ? ["Red", "Green", "Blue"] : model.bands;
  $("bands").replaceChildren(...labels.map((label, i) => {
    const select = document.createElement("select");
    for (let band = 0; band < scene.samples; band += 1) {
      if (!scene.alpha.includes(band)) select.add(new Option(scene.names[band] ? `${band + 1}: ${scene.names[band]}` : `${band + 1}`, band));
    }
    select.value = bands[i];
    select.id = `band-${i}`;
    select.addEventListener("change", () => {
      bands[i] = Number(select.value);
      attempt(async () => { await redraw(); await showOverview(); });
    });
    const wrap = document.createElement("label");
    wrap.append(label, select);
    return wrap;
  }));
}

/** The bands drawn: the model's first three, or its one band three times. */
const drawn = () => [0, 1, 2].map((i) => bands[Math.min(i, bands.length - 1)]);

async function redraw() {
  const own = $("stretch").value === "own";
  for (const field of document.querySelectorAll(".own")) field.hidden = !own;
  const limits = own ? [number("low", 0), number("high", 1)] : undefined;
  const args = { bands: drawn(), tail: Number($("stretch").value) || 0, limits, mask: mask.flags };
  const picture = await scenes.call("view", args);
  stretch = picture.stretch;
  viewer.put("before", picture.before);
  if (picture.after) viewer.put("after", picture.after);
}

// Mask

mask.addEventListener("change", ({ detail }) => {
  if (!viewer.width) return;
  viewer.drawMask(mask, detail ?? undefined);
  clearTimeout(mask.counting);
  mask.counting = setTimeout(() => {
    const count = mask.count;
    $("mask-count").textContent = count ? `${count} pixels, ${((100 * count) / mask.flags.length).toFixed(1)} %` : "empty";
  }, 60);
});

async function findClouds() {
  const args = { bands: drawn(), sensitivity: number("sensitivity", 5), growPx: number("grow", 0) };
  mask.set(await scenes.call("detect", args));
  say(mask.count ? "Clouds found; correct them with brush and eraser." : "No clouds found: raise the sensitivity, or paint them.");
  await redraw();
}

async function loadMask(blob, values, growPx) {
  mask.set(await scenes.call("mask", { blob, values, growPx }));
  await redraw();
}

const maskValues = () => {
  const values = $("mask-values").value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (values.length === 0 || values.some((v) => !Number.isFinite(v))) throw new Error("Mask values are numbers with commas between, e.g. 3,8,9,10");
  return values;
};

// The sample

async function openSample() {
  const get = async (file) => {
    const response = await fetch(file);
    if (!response.ok) throw new Error(`The sample cannot be downloaded (${file}: ${response.status}).`);
    return response.blob();
  };
  const offline = () => { throw new Error("The sample cannot be downloaded: no connection. Open a file of your own."); };
  const [picture, clouds] = await Promise.all([get(assets.sample.scene), get(assets.sample.mask)]).catch((error) => (error instanceof TypeError ? offline() : Promise.reject(error)));
  await openScene(picture, "punjab_20200823.tif");
  $("mask-values").value = "1,2";
  await loadMask(clouds, [1, 2], 0);
  say("The sample scene, with its clouds and shadows marked. One click removes them.");
}

// A run

async function run() {
  busy = true;
  finished = false;
  viewer.clear("uncertainty");
  viewer.clear("provenance");
  $("verdict").hidden = true;
  refresh();
  const began = performance.now();
  let computing;
  const begin = () => { computing = undefined; viewer.beginAfter(); refresh(); };
  const onUpdate = ({ progress, preview }) => {
    if (preview) return showPreview(preview);
    if (!progress) return undefined;
    computing ??= { at: performance.now(), done: progress.done };
    const { done, total } = progress;
    $("progress").value = done / total;
    const rate = (performance.now() - computing.at) / Math.max(done - computing.done, 1);
    const left = done - computing.done > 1 ? `, about ${Math.ceil((rate * (total - done)) / 1000)} s left` : "";
    say(`Step ${done} of ${total}${left}`);
    return undefined;
  };
  try {
    say("Loading the model…");
    await adopt(await engine.load());
    const options = { modelBands: modelBands(), seed: number("seed", 1), steps: number("steps", 4), samples: number("samples", 4) };
    const job = async () => {
      const input = await scenes.call("job", { mask: mask.flags });
      if (input.reflectanceScale) options.reflectanceScale = input.reflectanceScale;
      return input;
    };
    begin();
    const restored = await engine.restore(job, options, { onUpdate, onRestart: begin, previews: true });
    await finish(restored, (performance.now() - began) / 1000);
  } catch (error) {
    viewer.hasAfter = false;
    viewer.draw();
    if (error.kind === "interrupted") say("Cancelled. Nothing was changed.");
    else {
      complain(error);
      say("");
    }
  } finally {
    busy = false;
    refresh();
  }
}

/** Model bands as positions among the bands without alpha. */
const modelBands = () => bands.map((band) => band - scene.alpha.filter((alpha) => alpha < band).length);

async function finish(restored, seconds) {
  const { filledPx, tags } = restored;
  const args = { image: restored.image, std: restored.std, provenance: restored.provenance, tags };
  const drawnResult = await scenes.call("compose", args);
  finished = { uncertainty: Boolean(drawnResult.uncertainty), seconds, ...drawnResult };
  await redraw();
  if (drawnResult.uncertainty) viewer.put("uncertainty", drawnResult.uncertainty);
  viewer.put("provenance", drawnResult.provenance);
  $("show-mask").checked = viewer.shown.mask = false;
  $("verdict").textContent = `${drawnResult.changedClear} of ${drawnResult.clear} clear pixels changed`;
  $("verdict").hidden = false;
  say(`${filledPx} pixels filled in ${seconds.toFixed(1)} s. Drag the slider under the picture to compare.`);
  document.body.dataset.seconds = seconds.toFixed(2);
}

/** One tile after one step, as far as it is masked. */
function showPreview({ row, col, height, width, bands: which, image }) {
  const plane = (band) => {
    const at = which.indexOf(modelBands()[bands.indexOf(band)]);
    return image.subarray(at * height * width, (at + 1) * height * width);
  };
  const shown = new Uint8Array(height * width);
  for (let r = 0, i = 0; r < height; r += 1) {
    for (let c = 0; c < width; c += 1, i += 1) {
      const at = (row + r) * place.width + col + c;
      shown[i] = mask.flags[at] && valid[at] ? 1 : 0;
    }
  }
  const tile = document.createElement("canvas");
  Object.assign(tile, { width, height });
  tile.getContext("2d").putImageData(new ImageData(toRgba(drawn().map(plane), stretch, shown), width, height), 0, 0);
  viewer.layers.after.getContext("2d").drawImage(tile, col, row);
  viewer.draw();
}

/** A model was loaded: its bands and defaults take effect. */
async function adopt(loaded) {
  const another = loaded.sha256 !== model.sha256;
  const rebanded = loaded.bands.join() !== model.bands.join();
  model = loaded;
  if (another) applyQuality();
  if (rebanded && scene) {
    bands = guessBands(scene, model.bands.length);
    listBands();
    await redraw();
  }
}

function applyQuality() {
  const preset = QUALITY[$("quality").value];
  if (!preset) return;
  $("steps").value = preset.steps ?? model.steps ?? 4;
  $("samples").value = preset.samples ?? model.samples ?? 4;
}

// Results

async function savePng() {
  const { width, height } = place;
  const [gap, picture] = [8, document.createElement("canvas")];
  Object.assign(picture, { width: 2 * width + gap, height });
  const context = picture.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, picture.width, height);
  context.drawImage(viewer.layers.before, 0, 0);
  context.drawImage(viewer.layers.after, width + gap, 0);
  const blob = await new Promise((resolve) => { picture.toBlob(resolve, "image/png"); });
  save(blob, `${stem()}_before_after.png`);
}

const stem = () => scene.name.replace(/\.[^.]*$/, "");

async function saveTiff(what, suffix) {
  save(await scenes.call("write", { what }), `${stem()}_${suffix}.tif`);
}

// Wiring

function chooseTool(tool) {
  viewer.tool = tool;
  for (const name of ["pan", "brush", "eraser"]) $(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
  $("picture").classList.toggle("paint", tool !== "pan");
  viewer.draw();
}

const on = (id, type, work) => $(id).addEventListener(type, work);
const file = (id, work) => on(id, "change", ({ target }) => {
  const [chosen] = target.files;
  target.value = ""; // the same file can be chosen again
  if (chosen) attempt(() => work(chosen), `Opening ${chosen.name}…`);
});

for (const tool of ["pan", "brush", "eraser"]) on(`tool-${tool}`, "click", () => chooseTool(tool));
on("radius", "input", ({ target }) => { viewer.radius = Number(target.value); viewer.draw(); });
viewer.addEventListener("radius", ({ detail }) => {
  $("radius").value = detail;
  viewer.radius = Number($("radius").value);
  viewer.draw();
});
viewer.addEventListener("stroke", ({ detail: { phase, from, to, value } }) => {
  if (busy) return;
  if (phase === "begin") {
    mask.remember();
    mask.stamp(to.col, to.row, viewer.radius, value);
  } else mask.stroke(from, to, viewer.radius, value);
});
on("undo", "click", () => mask.undo());
on("zoom-in", "click", () => viewer.zoomBy(1.25));
on("zoom-out", "click", () => viewer.zoomBy(0.8));
on("fit", "click", () => viewer.fit());
on("swipe", "input", ({ target }) => { viewer.swipe = target.value / 100; viewer.draw(); });
viewer.swipe = 0.5;
for (const name of ["mask", "uncertainty", "provenance"]) {
  on(`show-${name}`, "change", ({ target }) => {
    viewer.shown[name] = target.checked;
    viewer.draw();
    const legends = { uncertainty: "Uncertainty: violet little, yellow much", provenance: "Provenance: blue observed, orange filled, grey nodata" };
    const texts = Object.keys(legends).filter((key) => viewer.shown[key]).map((key) => legends[key]);
    $("legend").textContent = texts.join("; ");
    $("legend").hidden = texts.length === 0;
  });
}
file("scene-file", (chosen) => openScene(chosen, chosen.name));
on("sample", "click", () => attempt(openSample, "Loading the sample scene…"));
on("stretch", "change", () => attempt(redraw));
for (const id of ["low", "high"]) on(id, "change", () => attempt(redraw));
const askedWindow = () => ({ col: number("win-col", 0), row: number("win-row", 0), width: number("win-width", 64), height: number("win-height", 64) });
on("win-apply", "click", () => attempt(async () => { await showWindow(askedWindow()); await showOverview(); }, "Reading…"));
on("overview", "click", ({ offsetX, offsetY, target }) => {
  if (busy) return;
  // The picture may be letterboxed in its element, at the left.
  const scale = Math.max(target.width / target.clientWidth, target.height / target.clientHeight);
  const [x, y] = [(offsetX * scale) / target.width, (offsetY * scale) / target.height];
  const limit = (at, size, whole) => Math.min(Math.max(Math.round(at * whole - size / 2), 0), whole - size);
  const { width, height } = place;
  attempt(() => showWindow({ col: limit(x, width, scene.width), row: limit(y, height, scene.height), width, height }), "Reading…");
});
on("detect", "click", () => attempt(findClouds, "Finding the clouds…"));
on("mask-clear", "click", () => mask.set(new Uint8Array(mask.flags.length)));
file("mask-file", (chosen) => loadMask(chosen, maskValues(), number("grow", 0)));
on("quality", "change", applyQuality);
for (const id of ["steps", "samples"]) on(id, "change", () => { $("quality").value = "own"; });
on("engine", "change", ({ target }) => attempt(() => engine.choose(target.value)));
file("model-file", async (chosen) => { await adopt(await engine.useModel(chosen)); say(`Model: ${model.name}`); });
on("model-default", "click", () => attempt(async () => { await adopt(await engine.useModel(undefined)); }));
on("run", "click", () => { complain(undefined); run(); });
on("cancel", "click", () => { say("Cancelling…"); engine.cancel(); });
on("save-result", "click", () => attempt(() => saveTiff("result", "unclouded")));
on("save-uncertainty", "click", () => attempt(() => saveTiff("uncertainty", "uncertainty")));
on("save-provenance", "click", () => attempt(() => saveTiff("provenance", "provenance")));
on("save-png", "click", () => attempt(savePng));
themeButton($("theme"));

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") mask.undo();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (key === "v") chooseTool("pan");
  else if (key === "b") chooseTool("brush");
  else if (key === "e") chooseTool("eraser");
  else if (key === "escape" && busy) engine.cancel();
  else return;
  event.preventDefault();
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("dropping");
  const [dropped] = event.dataTransfer.files;
  if (!dropped || busy) return;
  if (/\.safetensors$/i.test(dropped.name)) attempt(async () => adopt(await engine.useModel(dropped)), "Loading the model…");
  else attempt(() => openScene(dropped, dropped.name), `Opening ${dropped.name}…`);
});

// What works without a connection after the first visit.
if ("serviceWorker" in navigator) {
  navigator.serviceWorker.register(new URL("sw.js", import.meta.url)).catch(() => {});
}
const forced = new URLSearchParams(location.search).get("engine");
if (["webgpu", "cpu"].includes(forced)) {
  $("engine").value = forced;
  engine.asked = forced;
}
showBytes();
applyQuality();
refresh();
attempt(openSample).then(() => {
  document.body.dataset.usable = Math.round(performance.now());
  return attempt2(() => engine.start());
});

/** As attempt, but leaves what the page says alone unless it fails. */
async function attempt2(work) {
  try {
    await work();
  } catch (error) {
    complain(error);
  }
}
