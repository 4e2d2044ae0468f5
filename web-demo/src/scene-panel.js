// Step 1, the scene: opening, bands, stretch, the window of interest, the sample.

import { app, assets, drawn, mask, mayGo, refresh, scenes, viewer } from "./app.js";
import { guessBands } from "./bands.js";
import { loadMask } from "./mask-panel.js";
import { $, megabytes, number, say } from "./page.js";

/** Windows are at most this wide and high unless the user asks for more. */
const DEFAULT_SIDE_PX = 512;
/** Cloud edges and thin haze reach this much farther than a detector or a hand says. */
const GROWTH_M = 40;
/** A second date that is clouded at more than this share of the mask is worth a word. */
const CLOUDED_SHARE = 0.05;

/** A small picture of the whole scene, or only its frame; for scenes larger than the window. */
let overview;

/** Opens a file as the scene and shows a window in its middle. */
export async function openScene(blob, name) {
  const { scene, window } = await scenes.call("open", { blob, name, side: DEFAULT_SIDE_PX });
  Object.assign(app, { scene, bands: guessBands(scene, app.model.bands.length), other: undefined });
  listBands();
  $("mask-values").value = "";
  $("grow").value = Math.round(GROWTH_M / (scene.pixelM ?? 10));
  tellOther();
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
  Object.assign(app, { place, valid, finished: undefined, painted: false });
  for (const side of ["col", "row", "width", "height"]) $(`win-${side}`).value = place[side];
  viewer.reset(place.width, place.height);
  mask.reset(place.width, place.height);
  $("verdict").hidden = true;
  await redraw();
  const { scene } = app;
  const part = place.width < scene.width || place.height < scene.height;
  const next = "Next: find the clouds, or paint them.";
  say(part ? `A window of ${place.width} x ${place.height} pixels of the scene; ${megabytes(bytesRead)} of ${megabytes(scene.bytes)} read. ${next}` : `The whole scene, ${place.width} x ${place.height} pixels. ${next}`);
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
  if (!overview.rgba) {
    context.fillStyle = "#fff";
    context.font = "13px sans-serif";
    context.textAlign = "center";
    context.fillText("The file holds no small picture of itself", canvas.width / 2, canvas.height / 2);
  }
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
  const { scene, mask: clouds, other } = assets.sample;
  const get = async (file) => {
    const response = await fetch(file).catch(() => undefined);
    if (!response?.ok) throw new Error("The sample cannot be downloaded: check the connection, or open a file of your own.");
    return response.blob();
  };
  const file = (path) => path.split("/").pop();
  const [picture, marks, second] = await Promise.all([get(scene), get(clouds), get(other)]);
  await openScene(picture, file(scene));
  await loadMask(marks, [1, 2], 0);
  app.other = await scenes.call("other", { blob: second, name: file(other) });
  tellOther();
  say("The sample: pink clouds and shadows are to be replaced, with the help of a second date. Press Remove the clouds.");
}

/** Takes a second date of the scene, and looks where it is clouded itself. */
export async function openOther(blob, name) {
  app.other = await scenes.call("other", { blob, name });
  if ($("write").value === "texture") $("write").value = "mean";
  say("Second date taken. Looking for its own clouds…");
  const classes = await app.engine.detect(await scenes.call("cloudy", { ofOther: true, growPx: number("grow", 0) })).catch(() => undefined);
  if (!app.other) return;
  const clouds = classes && Uint8Array.from(classes, (value) => (value ? 1 : 0));
  const hidden = clouds ? clouds.reduce((sum, cloud, i) => sum + (cloud && mask.flags[i]), 0) / Math.max(mask.count, 1) : 0;
  app.other.clouds = hidden > CLOUDED_SHARE ? clouds : undefined;
  app.other.hidden = hidden;
  tellOther();
  say("The fill will follow the second date. Next: Remove the clouds.");
}

/** Goes back to the scene alone. */
export async function closeOther() {
  app.other = await scenes.call("other", {});
  tellOther();
  say("The scene alone again.");
}

function tellOther() {
  const { other } = app;
  const clouded = other?.clouds ? ` It is clouded itself at ${Math.round(100 * other.hidden)} % of the mask; there it is not used.` : "";
  $("other-about").textContent = other ? `${other.name} shows the ground under the clouds.${clouded}` : "An image of another day shows the ground under the clouds: the fill then follows it.";
  refresh();
}
