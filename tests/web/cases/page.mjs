// The page itself: opens fast, asks nobody else, works with the keyboard, reads well.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { dist, engineReady, fill, open, run, scratch } from "../harness.mjs";

async function opens(browser, note) {
  const { page, requests, problems, close } = await open(browser);
  note(`usable after ${await page.getAttribute("body", "data-usable")} ms`);
  assert.ok(await page.isEnabled("#run"), "the sample is ready to run");
  assert.match(await page.textContent("#scene-about"), /256 x 256 pixels, 13 bands, uint16, EPSG:4326/);
  assert.match(await page.textContent("#mask-count"), /29\.\d %/);
  // Either the list of downloads or, where the model is on its way already, how far it is.
  assert.match(await page.textContent("#bytes"), /model,? \d\.\d MB|Downloading the (engine|model), once: .* of \d\.\d MB/);
  const label = await engineReady(page, "cpu");
  assert.match(label, /CPU: this browser has no WebGPU/);
  assert.match(await page.textContent("#status"), /pink clouds and shadows.*Press Remove the clouds/);
  assert.match(await page.textContent("#other-about"), /latium_20181112\.tif shows the ground/);
  await page.waitForFunction(() => /, model \d/.test(document.getElementById("bytes").textContent), undefined, { timeout: 60000 });
  assert.ok(requests.some((url) => /model-/.test(url)), "the model is fetched on the first visit");
  assert.deepEqual(problems, []);
  await close();
}

/** The policy forbids other hosts to the page and its workers, and the recorder sees an attempt. */
async function asksNobody(browser) {
  const { page, requests, close } = await open(browser);
  const blocked = await page.evaluate(async () => {
    const violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(event.effectiveDirective));
    await fetch("https://example.invalid/x").catch(() => {});
    const script = document.createElement("script");
    script.src = "https://example.invalid/x.js";
    document.head.append(script);
    const style = document.createElement("div");
    style.setAttribute("style", "background:url(https://example.invalid/x.png)");
    document.body.append(style);
    await new Promise((done) => { setTimeout(done, 300); });
    return violations;
  });
  for (const directive of ["connect-src", "script-src-elem", "style-src-attr"]) {
    assert.ok(blocked.includes(directive), `${directive} allows other hosts: ${blocked}`);
  }
  await engineReady(page);
  for (const worker of page.workers()) {
    const answer = await worker.evaluate(() => fetch("https://example.invalid/y").then(() => "reached", (error) => error.name));
    assert.equal(answer, "TypeError");
  }
  // Chromium reports the blocked attempts of the page as requests: the recorder is not blind.
  const attempts = requests.filter((url) => url.includes("example.invalid"));
  requests.splice(0, requests.length, ...requests.filter((url) => !url.includes("example.invalid")));
  assert.ok(attempts.length > 0, "the recorder misses requests to other hosts");
  await close();
  const html = readFileSync(join(dist, "index.html"), "utf8").replace(/<a [^>]*>/g, "");
  assert.doesNotMatch(html, /(?:src|href)="(?:https?:)?\/\//);
}

/** Every control has a name a screen reader can say, ids are unique, errors are announced. */
async function labels(browser) {
  const { page, close } = await open(browser);
  await page.evaluate(() => document.querySelectorAll("details").forEach((box) => { box.open = true; }));
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, canvas:not([hidden]), progress")]
      .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || [...(e.labels ?? [])].some((l) => l.textContent.trim())))
      .map((e) => e.outerHTML.slice(0, 80)));
  assert.deepEqual(nameless, []);
  const twice = await page.evaluate(() => [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i));
  assert.deepEqual(twice, []);
  assert.equal(await page.getAttribute("#problem", "role"), "alert");
  assert.equal(await page.getAttribute("html", "lang"), "en");
  await close();
}

/** From the address bar to a finished run without a pointer: masks, paints, runs, compares. */
async function keyboard(browser) {
  const { page, close } = await open(browser);
  await fill(page, { "win-col": 100, "win-row": 100, "win-width": 48, "win-height": 48, quality: "fast" });
  const tabTo = async (id) => {
    for (let i = 0; i < 80; i += 1) {
      if (await page.evaluate((wanted) => document.activeElement?.id === wanted, id)) return;
      await page.keyboard.press("Tab");
    }
    assert.fail(`#${id} cannot be reached with Tab`);
  };
  await tabTo("win-apply");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /window of 48/.test(document.getElementById("status").textContent));
  assert.match(await page.textContent("#mask-count").then((t) => t || "empty"), /empty|pixels/);
  await page.focus("#picture");
  await page.keyboard.press("b");
  // The count follows the mask with a delay: every change is awaited before the next.
  const count = () => page.textContent("#mask-count");
  const changed = (from) => page.waitForFunction((before) => document.getElementById("mask-count").textContent !== before, from);
  await page.waitForTimeout(500);
  const empty = await count();
  for (const key of ["ArrowRight", "]", "]", " "]) await page.keyboard.press(key);
  await changed(empty);
  const painted = await count();
  assert.match(painted, /^\d+ pixels/);
  await page.keyboard.press("e");
  await page.keyboard.press("[");
  await page.keyboard.press(" ");
  await changed(painted);
  await page.keyboard.press("Control+z");
  await page.waitForFunction((before) => document.getElementById("mask-count").textContent === before, painted);
  await page.evaluate(() => document.activeElement.blur());
  await tabTo("run");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "cancel", "the focus is lost with the button");
  await page.waitForSelector("#verdict:not([hidden])", { timeout: 60000 });
  await page.waitForFunction(() => document.activeElement.id === "run");
  assert.match(await page.textContent("#verdict"), /^0 of \d+ clear pixels changed/);
  await tabTo("swipe");
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.inputValue("#swipe"), "51");
  await close();
}

/** A run leaves the page free: no task of its thread is longer than 50 ms. */
async function neverBlocks(browser, note) {
  const { page, close } = await open(browser);
  await engineReady(page);
  await fill(page, { quality: "fast" });
  await page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((e) => { window.longest = Math.max(window.longest, e.duration); })).observe({ type: "longtask" });
  });
  await run(page);
  const longest = await page.evaluate(() => window.longest);
  note(`longest task of the page's thread while running: ${longest ? `${longest.toFixed(0)} ms` : "under 50 ms"}`);
  // A busy machine stretches tasks: ten times the aim would be a blocked page.
  assert.ok(longest < 500, `blocked for ${longest} ms`);
  await close();
}

/** Works from a folder of any file server, with nothing above it. */
async function subPath(browser) {
  const { page, requests, problems, close } = await open(browser, { base: "/some/where/" });
  await engineReady(page);
  assert.ok(requests.every((url) => url.includes("/some/where/") || url.startsWith("blob:")), requests.join("\n"));
  assert.deepEqual(problems, []);
  await close();
}

/** The page on a desk and on a phone, in both themes; pictures are left for the eye. */
async function pictures(browser, note) {
  const sizes = [["desktop", { width: 1360, height: 860 }, "light"], ["desktop-dark", { width: 1360, height: 860 }, "dark"], ["phone", { width: 390, height: 844 }, "light"]];
  for (const [name, viewport, scheme] of sizes) {
    const { page, close } = await open(browser, { viewport, scheme, deviceScaleFactor: name === "phone" ? 2 : 1, hasTouch: name === "phone", isMobile: name === "phone" });
    await engineReady(page);
    await fill(page, { quality: "fast" });
    await run(page);
    await page.waitForTimeout(300);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wide <= 0, `${name}: the page is ${wide} px too wide`);
    const box = await page.locator("#picture").boundingBox();
    assert.ok(box.width > 300 && box.height > 200, `${name}: the picture is ${box.width} x ${box.height}`);
    if (name !== "phone") {
      const button = await page.locator("#save-png").boundingBox();
      assert.ok(button.y + button.height < viewport.height, `${name}: the downloads are below the screen`);
    }
    await page.screenshot({ path: join(scratch, `${name}.jpg`), type: "jpeg", quality: 82 });
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = /\d+/.exec(dark);
    assert.ok(scheme === "dark" ? Number(red) < 60 : Number(red) > 200, `${name}: ${dark}`);
    await close();
  }
  note(`screenshots in ${scratch}`);
}

export const cases = [
  { name: "page: opens with the sample ready", engine: "cpu", run: opens },
  { name: "page: asks no other host", engine: "cpu", run: asksNobody },
  { name: "page: labels", engine: "cpu", run: labels },
  { name: "page: keyboard alone", engine: "cpu", run: keyboard },
  { name: "page: thread stays free", engine: "cpu", run: neverBlocks },
  { name: "page: under a sub-path", engine: "cpu", run: subPath },
  { name: "page: pictures", engine: "cpu", run: pictures },
];
