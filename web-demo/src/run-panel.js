// Steps 3 and 4: settings, a run with its previews, the result and its files.

import { app, drawn, mask, refresh, scenes, viewer } from "./app.js";
import { guessBands } from "./bands.js";
import { $, complain, number, save, say } from "./page.js";
import { toRgba } from "./render.js";
import { listBands, redraw } from "./scene-panel.js";

/** Puts steps and samples of the chosen quality into their fields, as far as the model is known. */
export function applyQuality() {
  const level = $("quality").value;
  if (level === "own") return;
  const effort = app.model.qualities?.find(({ name }) => name === level);
  for (const what of ["steps", "samples"]) $(what).value = effort?.[what] ?? "";
}

/** What a run is asked for: a level of quality, or one's own steps and samples. */
function effort() {
  const level = $("quality").value;
  return level === "own" ? { steps: number("steps", 4), samples: number("samples", 4) } : { quality: level };
}

/** A model was loaded: its bands and defaults take effect. */
export async function adopt(loaded) {
  const rebanded = loaded.bands.join() !== app.model.bands.join();
  app.model = loaded;
  applyQuality();
  if (rebanded && app.scene) {
    app.bands = guessBands(app.scene, loaded.bands.length);
    listBands();
    await redraw();
  }
}

/** Model bands as positions among the bands without alpha. */
const modelBands = () => app.bands.map((band) => band - app.scene.alpha.filter((alpha) => alpha < band).length);

/** Fills the masked pixels of the window in view. */
export async function run() {
  const focused = document.activeElement === $("run");
  Object.assign(app, { busy: true, finished: undefined });
  complain(undefined);
  viewer.hasAfter = false;
  viewer.clear("uncertainty");
  viewer.clear("provenance");
  $("verdict").hidden = true;
  refresh();
  // The button with the focus is hidden: its place is taken by another.
  if (focused) $("cancel").focus();
  const began = performance.now();
  let clock;
  let maskState;
  const begin = () => {
    clock = undefined;
    $("progress").value = 0;
    viewer.beginAfter();
    refresh();
  };
  const onUpdate = ({ progress, preview }) => {
    if (preview) showPreview(preview);
    // The first step takes the shaders with it; the clock starts after it.
    if (progress?.done) {
      clock ??= { at: performance.now(), first: progress.done, last: progress, steps: 0, texture: 0 };
      showProgress(progress, clock);
    }
  };
  try {
    say("Loading the model…");
    await adopt(await app.engine.load());
    const options = { modelBands: modelBands(), write: $("write").value, seed: number("seed", 1), ...effort() };
    const job = async () => {
      maskState = mask.state;
      const input = await scenes.call("job", { mask: mask.flags, clouds: app.other?.clouds });
      options.stored = input.stored;
      return input;
    };
    begin();
    const restored = await app.engine.restore(job, options, { onUpdate, onRestart: begin, previews: true });
    await finish(restored, (performance.now() - began) / 1000, maskState);
  } catch (error) {
    viewer.hasAfter = false;
    viewer.draw();
    say(error.kind === "interrupted" ? "Cancelled. Nothing was changed." : "");
    if (error.kind !== "interrupted") complain(error);
  } finally {
    app.busy = false;
    refresh();
    if (focused && [document.body, $("cancel")].includes(document.activeElement)) $("run").focus();
  }
}

/** Steps and texture are timed each for itself; while a part of a texture is drawn nothing can be
 * counted, and the bar only shows that work goes on. */
function showProgress(progress, clock) {
  const { done, total, texture } = progress;
  const now = performance.now();
  clock[texture?.drawn > clock.last.texture?.drawn ? "texture" : "steps"] += now - clock.at;
  Object.assign(clock, { at: now, last: progress });
  const steps = done - clock.first;
  const drawn = texture?.drawn ?? 1;
  const milliseconds = (clock.steps / steps) * (total - done) + (clock.texture / drawn) * (1 - drawn);
  const left = steps > 1 && drawn > 0 ? `, about ${Math.ceil(milliseconds / 1000)} s left` : "";
  if (texture?.drawing) {
    $("progress").removeAttribute("value");
    say(`Drawing the texture${left || "…"}`);
  } else {
    $("progress").value = texture ? (done / total + drawn) / 2 : done / total;
    say(`Step ${done} of ${total}${left}`);
  }
}

/** One tile after one step, as far as it is masked. */
function showPreview({ row, col, height, width, bands, image }) {
  const { place, valid, stretch } = app;
  const plane = (band) => {
    const at = bands.indexOf(modelBands()[app.bands.indexOf(band)]);
    return image.subarray(at * height * width, (at + 1) * height * width);
  };
  const shown = new Uint8Array(height * width);
  for (let r = 0, i = 0; r < height; r += 1) {
    for (let at = (row + r) * place.width + col, c = 0; c < width; c += 1, i += 1, at += 1) {
      shown[i] = mask.flags[at] && valid[at] ? 1 : 0;
    }
  }
  const tile = document.createElement("canvas");
  Object.assign(tile, { width, height });
  tile.getContext("2d").putImageData(new ImageData(toRgba(drawn().map(plane), stretch, shown), width, height), 0, 0);
  viewer.layers.after.getContext("2d").drawImage(tile, col, row);
  viewer.draw();
}

async function finish({ stored, std, provenance, tags, filledPx }, seconds, maskState) {
  const result = await scenes.call("compose", { stored, std, provenance, tags });
  app.finished = { uncertainty: Boolean(result.uncertainty), seconds, maskState, saved: false };
  $("scale-high").textContent = result.full === undefined ? "" : `${Number(result.full.toPrecision(3))} (scene's units): a guess`;
  await redraw();
  if (result.uncertainty) viewer.put("uncertainty", result.uncertainty);
  viewer.put("provenance", result.provenance);
  $("show-mask").checked = true;
  $("show-mask").click();
  $("verdict").textContent = `${result.changedClear} of ${result.clear} clear pixels changed`;
  $("verdict").hidden = false;
  say(`${filledPx} pixels filled in ${seconds.toFixed(1)} s. Drag the line in the picture to compare.`);
  document.body.dataset.seconds = seconds.toFixed(2);
}

/** The scene's name, with the window where it is not the whole. */
function stem() {
  const { scene, place: { col, row, width, height } } = app;
  const whole = width === scene.width && height === scene.height;
  return scene.name.replace(/\.[^.]*$/, "") + (whole ? "" : `_${width}x${height}_at_${col}_${row}`);
}

/** Downloads "result", "uncertainty" or "provenance" as a GeoTIFF. */
export async function saveTiff(what, suffix) {
  save(await scenes.call("write", { what }), `${stem()}_${suffix}.tif`);
  if (what === "result") app.finished.saved = true;
}

/** Downloads a picture: before on the left, after on the right. */
export async function savePng() {
  const { width, height } = app.place;
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
