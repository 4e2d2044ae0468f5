// Step 2, the mask: found, loaded, painted.

import { app, drawn, mask, scenes, viewer } from "./app.js";
import { $, number, say } from "./page.js";
import { redraw } from "./scene-panel.js";

/** Finds the clouds of the window. */
export async function findClouds() {
  const args = { bands: drawn(), sensitivity: number("sensitivity", 5), growPx: number("grow", 0) };
  mask.set(await scenes.call("detect", args));
  await redraw();
  say(mask.count ? "Clouds found; correct them with brush and eraser." : "No clouds found: raise the sensitivity, or paint them.");
}

/** Takes the pixels of a raster that have one of the values. */
export async function loadMask(blob, values, growPx) {
  mask.set(await scenes.call("mask", { blob, values, growPx }));
  await redraw();
  say("Mask loaded, clouds marked.");
}

/** The values a loaded mask fills. */
export function maskValues() {
  const values = $("mask-values").value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (values.length === 0 || values.some((value) => !Number.isFinite(value))) {
    throw new Error("Mask values are numbers with commas between them, e.g. 3,8,9,10.");
  }
  return values;
}

/** Chooses what the pointer does: pan, brush or eraser. */
export function chooseTool(tool) {
  viewer.tool = tool;
  for (const name of ["pan", "brush", "eraser"]) $(`tool-${name}`).setAttribute("aria-pressed", String(name === tool));
  $("picture").classList.toggle("paint", tool !== "pan");
  viewer.draw();
}

/** Follows the mask with the picture and the count, and the brush with the mask. */
export function followMask() {
  let counting;
  mask.addEventListener("change", ({ detail }) => {
    if (!viewer.width) return;
    viewer.drawMask(mask, detail ?? undefined);
    clearTimeout(counting);
    counting = setTimeout(() => {
      const count = mask.count;
      $("mask-count").textContent = count ? `${count} pixels, ${((100 * count) / mask.flags.length).toFixed(1)} %` : "empty";
    }, 60);
  });
  viewer.addEventListener("stroke", ({ detail: { phase, from, to, value } }) => {
    if (app.busy) return;
    if (phase === "begin") {
      mask.remember();
      mask.stamp(to.col, to.row, viewer.radius, value);
      if (value && !viewer.shown.mask) $("show-mask").click();
    } else {
      mask.stroke(from, to, viewer.radius, value);
    }
  });
  viewer.addEventListener("radius", ({ detail }) => {
    $("radius").value = detail;
    viewer.radius = Number($("radius").value);
    viewer.draw();
  });
}
