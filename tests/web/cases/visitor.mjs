// What a visitor meets in the first ten minutes: clouds found, other masks, a second date, nothing lost.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { complaint, demo, download, engineReady, fill, gdal, native, open, openFile, problemOf, repo, run, scratch } from "../harness.mjs";

const SCENE = demo("punjab_20200823.tif");
const MASK = demo("punjab_20200823_mask.tif");
const OTHER = demo("punjab_20200604.tif");
/** Scenes with clouds and without, where somebody put them beside the project. */
const SHARED = join(repo, "../shared/data/sen12ms-cr");
const CLOUDY = ["fall_s2_cloudy_136_p500", "fall_s2_cloudy_136_p139", "summer_s2_cloudy_100_p840"];
const CLEAR = ["summer_s2_100_p500", "summer_s2_100_p840", "fall_s2_136_p139"];
/** How far the marked share may be from the program's, in points. */
const MOST_POINTS = 3;

const status = (page) => page.textContent("#status");
const says = (page, pattern) => page.waitForFunction((source) => new RegExp(source).test(document.getElementById("status").textContent), pattern.source, { timeout: 60000 });
const share = async (page) => Number(/([\d.]+) %/.exec(await page.textContent("#mask-count"))?.[1] ?? 0);

/** Marks with the button; the share of the window in percent. */
async function found(page) {
  await page.click("#detect");
  await says(page, /found and marked|No clouds found/);
  await page.waitForTimeout(200);
  return share(page);
}

function foundNatively(scene) {
  const out = join(scratch, "native_mask.tif");
  const text = execFileSync(native, ["mask", scene, "-o", out, "--overwrite"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return Number(/\(([\d.]+) %\)/.exec(text)[1]);
}

/** The page's detector is the program's: the same share of every scene, clear ones as well. */
async function detector(browser, note) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const scenes = [SCENE, OTHER, demo("latium_20180705.tif"), demo("latium_20181112.tif")];
  if (existsSync(SHARED)) {
    for (const folder of ["s2_cloudy", "s2"]) {
      const wanted = folder === "s2" ? CLEAR : CLOUDY;
      scenes.push(...readdirSync(join(SHARED, folder)).filter((name) => wanted.some((part) => name.includes(part))).map((name) => join(SHARED, folder, name)));
    }
  } else note("SKIPPED: no SEN12MS-CR scenes beside the project");
  for (const scene of scenes) {
    await openFile(page, scene);
    assert.equal(await problemOf(page), "");
    const [here, there] = [await found(page), foundNatively(scene)];
    note(`${scene.split("/").pop()}: ${here} % marked, the program ${there} %`);
    assert.ok(Math.abs(here - there) <= MOST_POINTS, `${scene}: ${here} and ${there}`);
  }
  await close();
}

/** A second date: same grid, another grid; the scene itself, another CRS and place are refused. */
async function secondDate(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await openFile(page, SCENE);
  assert.match(await page.textContent("#other-about"), /An image of another day/, "the sample's is gone");
  await openFile(page, MASK, "#mask-file");
  await fill(page, { steps: 1, samples: 1 });
  await run(page);
  const alone = await download(page, "#save-result", "visitor_alone.tif");
  await openFile(page, OTHER, "#other-file");
  assert.match(await page.textContent("#other-about"), /punjab_20200604\.tif shows the ground/);
  await run(page);
  const dated = await download(page, "#save-result", "visitor_dated.tif");
  assert.ok(gdal("compare", alone, dated, MASK, "1").mean > 1, "the second date changes nothing");
  const coarse = join(scratch, "visitor_coarse.tif");
  execFileSync("gdalwarp", ["-q", "-overwrite", "-tr", "0.0002", "0.0002", "-r", "average", OTHER, coarse]);
  await openFile(page, coarse, "#other-file");
  await run(page);
  const warped = await download(page, "#save-result", "visitor_warped.tif");
  const [near, far] = [gdal("compare", dated, warped, MASK, "1").mean, gdal("compare", dated, alone, MASK, "1").mean];
  assert.ok(near < far, `${near} and ${far}`);
  for (const [file, pattern] of [[SCENE, /is the scene itself/], [moved("visitor_utm.tif", OTHER, "-t_srs", "EPSG:32643"), /in another CRS \(EPSG:32643, the scene EPSG:4326\)/], [demo("latium_20181112.tif"), /shows another place/]]) {
    await page.setInputFiles("#other-file", file);
    await complaint(page, pattern);
  }
  // One that is clouded itself is used where it is not.
  await openFile(page, OTHER);
  await openFile(page, demo("punjab_20200604_mask.tif"), "#mask-file");
  await openFile(page, SCENE, "#other-file");
  assert.match(await page.textContent("#other-about"), /clouded itself at \d+ % of the mask; there it is not used/);
  await page.click("#other-clear");
  await says(page, /scene alone/);
  assert.ok(!(await page.isVisible("#other-clear")));
  await close();
}

function moved(name, source, ...options) {
  const out = join(scratch, name);
  execFileSync("gdalwarp", ["-q", "-overwrite", ...options, source, out]);
  return out;
}

/** Masks: of another place or CRS refused, of another grid taken, 0 and 255, polygons, JP2. */
async function masks(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await openFile(page, SCENE);
  assert.equal(await page.inputValue("#mask-values"), "", "the sample's values are gone");
  await fill(page, { grow: 0 });
  await openFile(page, MASK, "#mask-file");
  await page.waitForTimeout(200);
  const own = await share(page);
  await openFile(page, moved("visitor_mask_coarse.tif", MASK, "-tr", "0.00018", "0.00018"), "#mask-file");
  await page.waitForTimeout(200);
  assert.ok(Math.abs((await share(page)) - own) < 3, `${await share(page)} and ${own}`);
  for (const [file, pattern] of [[moved("visitor_mask_utm.tif", MASK, "-t_srs", "EPSG:32643"), /mask is in another CRS/], [demo("latium_20180705_mask.tif"), /mask is of another place/]]) {
    await page.setInputFiles("#mask-file", file);
    await complaint(page, pattern);
  }
  const white = join(scratch, "visitor_white.tif");
  execFileSync("gdal_translate", ["-q", "-ot", "Byte", "-scale", "0", "1", "0", "255", MASK, white]);
  await openFile(page, white, "#mask-file");
  await page.waitForTimeout(200);
  assert.ok((await share(page)) >= own - 0.1);
  const bounds = { l: 73.30, r: 73.31, b: 30.455, t: 30.462 };
  const drawn = join(scratch, "visitor.geojson");
  const ring = [[bounds.l, bounds.b], [bounds.r, bounds.b], [bounds.r, bounds.t], [bounds.l, bounds.t], [bounds.l, bounds.b]];
  writeFileSync(drawn, JSON.stringify({ type: "Feature", geometry: { type: "Polygon", coordinates: [ring] } }));
  await openFile(page, drawn, "#mask-file");
  assert.match(await status(page), /polygons marked pink/);
  await page.waitForTimeout(200);
  assert.ok((await share(page)) > 1);
  for (const [name, bytes, pattern] of [["a.jp2", [0, 0, 0, 12, 0x6a, 0x50, 0x20, 0x20], /JPEG 2000.*gdal_translate in\.jp2 out\.tif/], ["a.gpkg", [...Buffer.from("SQLite format 3\0")], /GeoPackage.*gdal_translate/]]) {
    const file = join(scratch, name);
    writeFileSync(file, Buffer.from([...bytes, ...new Array(64).fill(0)]));
    await page.setInputFiles("#scene-file", file);
    await complaint(page, pattern);
  }
  await close();
}

/** A small picture is opened whole; of a window the name of the download tells. */
async function wholeAndPart(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  const scene = join(scratch, "visitor_791.tif");
  execFileSync("gdal_translate", ["-q", "-b", "4", "-b", "3", "-b", "2", "-outsize", "791", "718", SCENE, scene]);
  await openFile(page, scene);
  assert.match(await status(page), /whole scene, 791 x 718/);
  assert.deepEqual([await page.inputValue("#win-width"), await page.inputValue("#win-height")], ["791", "718"]);
  await fill(page, { "win-col": 300, "win-row": 300, "win-width": 64, "win-height": 48, steps: 1, samples: 1 });
  await page.click("#win-apply");
  await says(page, /window of 64 x 48/);
  const [, read, of] = /([\d.]+) MB of ([\d.]+) MB read/.exec(await status(page));
  assert.ok(Number(read) <= Number(of), `${read} of ${of}`);
  await paint(page);
  await run(page);
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("#save-result")]);
  assert.equal(file.suggestedFilename(), "visitor_791_64x48_at_300_300_unclouded.tif");
  await close();
}

/** A stroke in the middle of the picture. */
async function paint(page) {
  await page.click("#tool-brush");
  const box = await page.locator("#picture").boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 3);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 20, box.y + box.height / 3, { steps: 3 });
  await page.mouse.up();
}

/** Nothing painted is lost without asking; it is undone and redone; a result can be outdated. */
async function nothingLost(browser) {
  const { page, questions, close } = await open(browser);
  await engineReady(page);
  await openFile(page, SCENE);
  assert.deepEqual(questions, [], "nothing was painted");
  assert.ok(!(await page.isEnabled("#undo")) && !(await page.isEnabled("#redo")));
  await paint(page);
  await page.waitForTimeout(200);
  const painted = await page.textContent("#mask-count");
  for (const [key, count] of [["Control+z", "empty"], ["Control+Shift+Z", painted], ["Control+z", "empty"], ["Control+y", painted]]) {
    await page.keyboard.press(key);
    await page.waitForFunction((wanted) => document.getElementById("mask-count").textContent === wanted, count);
  }
  await page.click("#undo");
  assert.ok(!(await page.isEnabled("#undo")) && (await page.isEnabled("#redo")));
  await page.click("#redo");
  page.answers = [false];
  await page.click("#win-apply");
  await page.waitForTimeout(300);
  assert.equal(questions.length, 1);
  assert.equal(await page.textContent("#mask-count"), painted, "kept when the answer is no");
  await fill(page, { steps: 1, samples: 1 });
  await run(page);
  assert.ok(await page.isEnabled("#save-result"));
  await page.click("#tool-pan");
  await paint(page);
  await page.waitForSelector("#outdated:not([hidden])");
  assert.ok(!(await page.isEnabled("#save-result")), "an old result is no result of this mask");
  await page.keyboard.press("Control+z");
  await page.waitForSelector("#outdated", { state: "hidden" });
  assert.ok(await page.isEnabled("#save-result"));
  const asked = questions.length;
  await page.close({ runBeforeUnload: true });
  for (let i = 0; i < 50 && questions.length === asked; i += 1) await new Promise((done) => { setTimeout(done, 100); });
  assert.equal(questions.length, asked + 1, "the tab closes without a question");
  await close();
}

/** The divider is dragged where it is seen, and agrees with the slider however the picture lies. */
async function divider(browser) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await fill(page, { quality: "fast" });
  await run(page);
  const box = await page.locator("#picture").boundingBox();
  const at = (part) => [box.x + part * box.width, box.y + box.height / 2];
  const drag = async (from, to) => {
    await page.mouse.move(...at(from));
    await page.mouse.down();
    await page.mouse.move(...at(to), { steps: 5 });
    await page.mouse.up();
  };
  await drag(0.5, 0.3);
  assert.equal(await page.inputValue("#swipe"), "30");
  // Elsewhere the picture moves, and the divider stays where the slider says.
  await drag(0.6, 0.7);
  assert.equal(await page.inputValue("#swipe"), "30");
  await drag(0.3, 0.97);
  assert.ok(await page.isVisible("#tag-before") && !(await page.isVisible("#tag-after")), "all of it is before");
  await drag(0.97, 0.02);
  assert.ok(!(await page.isVisible("#tag-before")) && await page.isVisible("#tag-after"), "all of it is after");
  await close();
}

/** What the page says of itself: what it is, pink, next step, help, licences, the legend's numbers. */
async function explains(browser) {
  const { page, tab, origin, close } = await open(browser);
  await engineReady(page);
  assert.match(await page.textContent(".tagline"), /Removes clouds from satellite images.*pink.*estimate of the ground/);
  assert.ok(await page.isVisible("#legend-mask"));
  await page.evaluate(() => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  assert.match(await page.textContent("#about"), /SEN12MS-CR-TS, CC BY 4\.0/);
  const links = await page.evaluate(() => [...document.querySelectorAll("a[href]")].map((a) => a.href).filter((href) => !href.includes("#")));
  assert.ok(links.some((href) => href.endsWith("help.html")) && links.some((href) => href.endsWith("licences.txt")));
  for (const href of links) {
    assert.ok(href.startsWith(origin), `${href} leads elsewhere`);
    assert.equal((await tab.request.get(href)).status(), 200, href);
  }
  await fill(page, { quality: "fast" });
  await run(page);
  assert.ok(!(await page.isVisible("#legend-mask")), "the mask is off, and so is its legend");
  await page.click("#show-uncertainty");
  assert.match(await page.textContent("#legend-uncertainty"), /0 .*[\d.]+ \(scene's units\): a guess/);
  await close();
}

export const cases = [
  { name: "visitor: the detector of the program", engine: "cpu", run: detector },
  { name: "visitor: a second date", engine: "cpu", run: secondDate },
  { name: "visitor: masks", engine: "cpu", run: masks },
  { name: "visitor: the whole, and a part", engine: "cpu", run: wholeAndPart },
  { name: "visitor: nothing is lost", engine: "cpu", run: nothingLost },
  { name: "visitor: the divider", engine: "cpu", run: divider },
  { name: "visitor: explained", engine: "cpu", run: explains },
];
