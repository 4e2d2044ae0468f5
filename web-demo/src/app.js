// What the parts of the page share: the workers, the picture, and the state of the work.

import { Mask } from "./mask.js";
import { $, complain, megabytes, say } from "./page.js";
import { Viewer } from "./viewer.js";
import { WorkerClient } from "./worker-client.js";

/* global ASSETS -- files, bytes and versions, put in by the build */
export const assets = ASSETS;

export const viewer = new Viewer($("picture"));
export const mask = new Mask(1, 1);
export const scenes = new WorkerClient(
  new Worker(new URL("scene.worker.js", import.meta.url), { type: "module" }),
  ({ crashed }) => {
    if (crashed) complain(`The part of the page that reads files stopped (${crashed}); reload the page.`);
  },
);

/** The state of the work. */
export const app = {
  /** What the scene worker said about the scene. */
  scene: undefined,
  /** The window in view: { col, row, width, height }. */
  place: undefined,
  /** 1 where a masked pixel would be data. */
  valid: undefined,
  /** Scene bands, from 0, that feed the model. */
  bands: [0, 0, 0],
  /** [low, high] of each band shown. */
  stretch: undefined,
  model: { bands: ["red", "green", "blue"], ...assets.model.card },
  engine: undefined,
  busy: false,
  /** The result for this window, if there is one. */
  finished: undefined,
  /** The second date: { name, clouds } with the clouds it has itself, if there is one. */
  other: undefined,
  /** Whether the mask holds strokes of the visitor. */
  painted: false,
};

/** What would be lost with the window in view: the visitor's strokes, a result nobody saved. */
export const unsaved = () => (app.painted && mask.count > 0) || Boolean(app.finished && !app.finished.saved);

/** Whether the window in view may go; asks where something would be lost. */
export const mayGo = () => !unsaved() || window.confirm("The mask you painted and the result belong to the part in view and would be lost. Go on?");

/** Whether the mask is another one than that of the result. */
export const outdated = () => Boolean(app.finished) && app.finished.maskState !== mask.state;

/** The bands drawn: the model's first three, or its one band three times. */
export const drawn = () => [0, 1, 2].map((i) => app.bands[Math.min(i, app.bands.length - 1)]);

/** Runs something that may refuse; shows why, and the page goes on. */
export async function attempt(work, during) {
  complain(undefined);
  if (during) say(during);
  try {
    return await work();
  } catch (error) {
    complain(error);
    if (during) say(app.scene ? "" : "Open a scene to begin.");
    return undefined;
  } finally {
    refresh();
  }
}

/** What is downloaded, and when. */
export function showBytes() {
  const { page, code, sample, model } = assets;
  const when = app.modelKept ? "model" : "with the first run the model,";
  $("bytes").textContent = `Downloads: page ${megabytes(page.bytes)}, engine ${megabytes(code.bytes)}, sample ${megabytes(sample.bytes)}, ${when} ${megabytes(model.bytes)}. Each once, then kept for use offline.`;
}

/** Which controls can be used. */
export function refresh() {
  const { busy, place, finished, engine, model } = app;
  $("run").disabled = busy || !place;
  $("run").hidden = busy;
  $("cancel").hidden = $("progress").hidden = !busy;
  const old = outdated();
  for (const id of ["save-result", "save-provenance", "save-png"]) $(id).disabled = !finished || busy || old;
  $("save-uncertainty").disabled = !finished?.uncertainty || busy || old;
  $("downloads").hidden = !finished || busy;
  $("outdated").hidden = !old || busy;
  $("verdict").classList.toggle("old", old);
  for (const id of ["scene-file", "sample", "engine", "model-file", "quality", "write", "steps", "samples", "seed"]) $(id).disabled = busy;
  for (const id of ["detect", "mask-clear", "mask-file", "win-apply", "other-file"]) $(id).disabled = busy || !place;
  $("undo").disabled = busy || mask.past.length === 0;
  $("redo").disabled = busy || mask.future.length === 0;
  $("other-clear").hidden = !app.other;
  // The texture: it is drawn from the scene alone.
  $("write").options[1].disabled = Boolean(app.other);
  $("show-uncertainty").disabled = !finished?.uncertainty;
  $("show-provenance").disabled = !finished;
  $("swipe").disabled = !viewer.hasAfter;
  $("tag-before").hidden = !viewer.hasAfter || viewer.swipe < 0.08;
  $("tag-after").hidden = !viewer.hasAfter || viewer.swipe > 0.92;
  const kept = engine?.model ? "own file" : `${megabytes(assets.model.bytes)}, downloaded once`;
  $("model-about").textContent = `Model: ${model.name} (${kept}). ${model.description ?? ""}`;
  $("model-default").hidden = !engine?.model;
}
