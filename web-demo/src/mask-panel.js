// Step 2, the mask: found, loaded, painted.

import { app, mask, refresh, scenes, viewer } from "./app.js";
import { $, number, say } from "./page.js";
import { redraw } from "./scene-panel.js";

/** Finds the clouds of the window and their shadows, with the detector of the command line. */
export async function findClouds() {
  const scene = await scenes.call("cloudy", { growPx: number("grow", 0) });
  const classes = await app.engine.detect(scene);
  mask.set(Uint8Array.from(classes, (value) => (value ? 1 : 0)));
  await redraw();
  const shadows = classes.includes(2) ? " and shadows" : "";
  say(mask.count ? `Clouds${shadows} found and marked pink. Correct them with brush and eraser, then remove them.` : "No clouds found. If you see some, paint them with the brush.");
}

/** Takes the polygons of a file, or the pixels of a raster that have one of the values. */
export async function loadMask(blob, values, growPx) {
  const { flags, drawn: byHand } = await scenes.call("mask", { blob, values });
  const { width, height } = app.place;
  mask.set(await app.engine.grow(flags, width, height, growPx));
  await redraw();
  say(`Mask loaded${byHand ? ", its polygons" : ", its clouds"} marked pink. Next: Remove the clouds.`);
}

/** The values a loaded mask fills; undefined for the usual ones. */
export function maskValues() {
  const values = $("mask-values").value.split(/[\s,;]+/).filter(Boolean).map(Number);
  if (values.length === 0) return undefined;
  if (values.some((value) => !Number.isFinite(value))) {
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
    refresh();
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
      app.painted = true;
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
