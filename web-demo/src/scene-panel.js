// Step 1, the scene: opening, bands, stretch, the window of interest, the sample.

import { app, assets, drawn, mask, scenes, viewer } from "./app.js";
import { guessBands } from "./bands.js";
import { loadMask } from "./mask-panel.js";
import { $, megabytes, number, say } from "./page.js";

/** Windows are at most this wide and high unless the user asks for more. */
const DEFAULT_SIDE_PX = 512;

/** A small picture of the whole scene, or only its frame; for scenes larger than the window. */
let overview;

/** Opens a file as the scene and shows a window in its middle. */
export async function openScene(blob, name) {
  const { scene, window } = await scenes.call("open", { blob, name, side: DEFAULT_SIDE_PX });
  Object.assign(app, { scene, bands: guessBands(scene, app.model.bands.length) });
  listBands();
  const nodata = scene.nodata === undefined ? "" : `, nodata ${scene.nodata}`;
  $("scene-about").textContent = `${name}: ${scene.width} x ${scene.height} pixels, ${scene.samples} bands, ${scene.dtype}, ${scene.crs}${nodata}, ${megabytes(scene.bytes)}`;
  await showRead(window);
  await showOverview();
}

/** Reads a window and shows it, with an empty mask. */
export async function showWindow(place) {
  await showRead(await scenes.call("window", { place }));
}

async function showRead({ place, valid, bytesRead }) {
  Object.assign(app, { place, valid, finished: undefined });
  for (const side of ["col", "row", "width", "height"]) $(`win-${side}`).value = place[side];
  viewer.reset(place.width, place.height);
  mask.reset(place.width, place.height);
  $("verdict").hidden = true;
  await redraw();
  const { scene } = app;
  const part = place.width < scene.width || place.height < scene.height;
  say(part ? `A window of ${place.width} x ${place.height} pixels; ${megabytes(bytesRead)} of ${megabytes(scene.bytes)} read.` : "Ready.");
  document.body.dataset.bytesRead = bytesRead;
  drawOverview();
}

/** Draws before, and after if there is one, with the bands and the stretch chosen. */
export async function redraw() {
  const own = $("stretch").value === "own";
  for (const field of document.querySelectorAll(".own")) field.hidden = !own;
  const limits = own ? [number("low", 0), number("high", 1)] : undefined;
  const args = { bands: drawn(), tail: Number($("stretch").value) || 0, limits, mask: mask.flags };
  const picture = await scenes.call("view", args);
  app.stretch = picture.stretch;
  if (!own) [$("low").value, $("high").value] = picture.stretch[0];
  viewer.put("before", picture.before);
  if (picture.after) viewer.put("after", picture.after);
}

/** One choice of a band for each band of the model. */
export function listBands() {
  const { scene, model, bands } = app;
  const labels = model.bands.length === 3 ? ["Red", "Green", "Blue"] : model.bands;
  $("bands").replaceChildren(...labels.map((label, i) => {
    const select = document.createElement("select");
    for (let band = 0; band < scene.samples; band += 1) {
      if (!scene.alpha.includes(band)) select.add(new Option(scene.names[band] ? `${band + 1}: ${scene.names[band]}` : `${band + 1}`, band));
    }
    select.value = bands[i];
    select.id = `band-${i}`;
    const wrap = document.createElement("label");
    wrap.append(label, select);
    return wrap;
  }));
}

/** Reads the small version of a scene that does not fit into the window. */
export async function showOverview() {
  const { scene, place } = app;
  const whole = place.width === scene.width && place.height === scene.height;
  overview = whole ? undefined : ((await scenes.call("overview", { bands: drawn() })) ?? {});
  $("overview").hidden = whole;
  drawOverview();
}

function drawOverview() {
  if (!overview) return;
  const { scene, place } = app;
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

/** The window of the present size around a point of the overview. */
export function windowAround({ offsetX, offsetY, target }) {
  const { scene, place: { width, height } } = app;
  // The picture may be letterboxed in its element, at the left.
  const scale = Math.max(target.width / target.clientWidth, target.height / target.clientHeight);
  const spare = (target.clientHeight - target.height / scale) / 2;
  const limit = (share, size, whole) => Math.min(Math.max(Math.round(share * whole - size / 2), 0), whole - size);
  return {
    col: limit((offsetX * scale) / target.width, width, scene.width),
    row: limit(((offsetY - spare) * scale) / target.height, height, scene.height),
    width,
    height,
  };
}

/** The window the fields ask for. */
export const askedWindow = () => ({ col: number("win-col", 0), row: number("win-row", 0), width: number("win-width", 64), height: number("win-height", 64) });

/** The bundled scene with its mask, ready to run. */
export async function openSample() {
  const { scene, mask: clouds } = assets.sample;
  const get = async (file) => {
    const response = await fetch(file).catch(() => undefined);
    if (!response?.ok) throw new Error("The sample cannot be downloaded: check the connection, or open a file of your own.");
    return response.blob();
  };
  const [picture, marks] = await Promise.all([get(scene), get(clouds)]);
  await openScene(picture, scene.split("/").pop());
  $("mask-values").value = "1,2";
  await loadMask(marks, [1, 2], 0);
  say("The sample scene, with its clouds and shadows marked. One click removes them.");
}
