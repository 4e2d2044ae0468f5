// The page begins here: controls are tied to what they do, then the sample and the engine start.

import { app, assets, attempt, mask, mayGo, refresh, showBytes, unsaved, viewer } from "./app.js";
import { Engine } from "./engine.js";
import { chooseTool, findClouds, followMask, loadMask, maskValues } from "./mask-panel.js";
import { $, complain, megabytes, number, say, themeButton } from "./page.js";
import { adopt, applyQuality, run, savePng, saveTiff } from "./run-panel.js";
import { askedWindow, closeOther, openOther, openSample, openScene, redraw, showOverview, showWindow, windowAround } from "./scene-panel.js";

app.engine = new Engine(assets, {
  state: ({ label, note, engine: kind }) => {
    $("engine-label").textContent = `Engine: ${label}${note ? ` (${note})` : ""}`;
    document.querySelector(".dot").classList.toggle("ready", Boolean(kind));
    document.body.dataset.engine = kind ?? "";
  },
  bytes: (what, bytes) => {
    const whole = what === "model" ? assets.model.bytes : assets.code.bytes;
    const text = `Downloading the ${what}, once: ${megabytes(bytes)} of ${megabytes(whole)}`;
    if (app.busy) say(text);
    $("bytes").textContent = text;
    if (bytes >= whole) showBytes();
  },
  notice: complain,
});

const on = (id, type, work) => $(id).addEventListener(type, work);
const click = (id, work, during) => on(id, "click", () => attempt(work, during));
const file = (id, work, may = () => true) => on(id, "change", ({ target }) => {
  const [chosen] = target.files;
  if (chosen && !may()) target.value = "";
  else if (chosen) attempt(() => work(chosen), `Opening ${chosen.name}…`).finally(() => { target.value = ""; });
});

// Picture
for (const tool of ["pan", "brush", "eraser"]) on(`tool-${tool}`, "click", () => chooseTool(tool));
on("radius", "input", ({ target }) => { viewer.radius = Number(target.value); viewer.draw(); });
on("undo", "click", () => mask.undo());
on("redo", "click", () => mask.redo());
on("zoom-in", "click", () => viewer.zoomBy(1.25));
on("zoom-out", "click", () => viewer.zoomBy(0.8));
on("fit", "click", () => viewer.fit());
on("swipe", "input", ({ target }) => { viewer.swipe = target.value / 100; viewer.draw(); refresh(); });
viewer.addEventListener("swipe", ({ detail }) => { $("swipe").value = Math.round(100 * detail); refresh(); });
viewer.swipe = 0.5;
for (const name of ["mask", "uncertainty", "provenance"]) {
  on(`show-${name}`, "change", ({ target }) => {
    viewer.shown[name] = target.checked;
    viewer.draw();
    $(`legend-${name}`).hidden = !target.checked;
  });
}
followMask();

// Scene
const show = async (place) => { await showWindow(place); await showOverview(); };
file("scene-file", (chosen) => openScene(chosen, chosen.name), mayGo);
on("sample", "click", () => { if (mayGo()) attempt(openSample, "Loading the sample scene…"); });
file("other-file", (chosen) => openOther(chosen, chosen.name));
click("other-clear", closeOther);
on("stretch", "change", () => attempt(redraw));
for (const id of ["low", "high"]) on(id, "change", () => attempt(redraw));
on("bands", "change", ({ target }) => {
  app.bands[Number(target.id.slice(5))] = Number(target.value);
  attempt(async () => { await redraw(); await showOverview(); });
});
on("win-apply", "click", () => { if (mayGo()) attempt(() => show(askedWindow()), "Reading…"); });
on("overview", "click", (event) => { if (!app.busy && mayGo()) attempt(() => showWindow(windowAround(event)), "Reading…"); });

// Mask
click("detect", findClouds, "Finding the clouds…");
on("mask-clear", "click", () => mask.set(new Uint8Array(mask.flags.length)));
file("mask-file", (chosen) => loadMask(chosen, maskValues(), number("grow", 0)));

// Settings
on("quality", "change", applyQuality);
for (const id of ["steps", "samples"]) on(id, "change", () => { $("quality").value = "own"; });
on("engine", "change", ({ target }) => attempt(() => app.engine.choose(target.value)));
const useModel = async (chosen) => {
  await adopt(await app.engine.useModel(chosen));
  say(`Model: ${app.model.name}`);
};
file("model-file", useModel);
click("model-default", () => useModel(undefined));

// Run and result
on("run", "click", run);
on("cancel", "click", () => { say("Cancelling…"); app.engine.cancel(); });
click("save-result", () => saveTiff("result", "unclouded"));
click("save-uncertainty", () => saveTiff("uncertainty", "uncertainty"));
click("save-provenance", () => saveTiff("provenance", "provenance"));
click("save-png", savePng);
themeButton($("theme"));

const KEYS = { v: () => chooseTool("pan"), b: () => chooseTool("brush"), e: () => chooseTool("eraser") };
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  const command = event.ctrlKey || event.metaKey;
  if (command && (key === "y" || (key === "z" && event.shiftKey))) mask.redo();
  else if (command && key === "z") mask.undo();
  else if (command || event.altKey) return;
  else if (key in KEYS) KEYS[key]();
  else if (key === "escape" && app.busy) app.engine.cancel();
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
  if (!dropped || app.busy) return;
  if (event.target.closest("#other-drop")) {
    attempt(() => openOther(dropped, dropped.name), `Opening ${dropped.name}…`);
    return;
  }
  if (!mayGo()) return;
  const work = /\.safetensors$/i.test(dropped.name) ? () => useModel(dropped) : () => openScene(dropped, dropped.name);
  attempt(work, `Opening ${dropped.name}…`);
});

window.addEventListener("beforeunload", (event) => { if (unsaved()) event.preventDefault(); });

// What works without a connection after the first visit; refused by browsers without https.
const kept = navigator.serviceWorker?.register(new URL("sw.js", import.meta.url)).then(() => navigator.serviceWorker.ready).catch(() => {});

/** Fetches the model ahead of the first run, unless the connection is to be spared. */
async function fetchAhead() {
  const { saveData, type } = navigator.connection ?? {};
  if (saveData || type === "cellular") return;
  await kept;
  await app.engine.load();
  app.modelKept = true;
  showBytes();
}

const forced = new URLSearchParams(location.search).get("engine");
if (["webgpu", "cpu"].includes(forced)) app.engine.asked = $("engine").value = forced;
showBytes();
applyQuality();
refresh();
await attempt(openSample, "Loading the sample scene…");
document.body.dataset.usable = Math.round(performance.now());
// A failure here shows again, with its reason, when somebody presses the button.
app.engine.start().then(() => fetchAhead().catch(() => {}), (error) => { if (!error.expected) complain(error); });
