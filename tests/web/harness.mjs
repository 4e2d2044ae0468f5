// What every case of the page's tests uses: a browser, a server, the page, files, GDAL.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { serve } from "../../web-demo/build/serve.mjs";

export const repo = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { chromium } = createRequire(join(repo, "web-demo/package.json"))("playwright-core");

/** Folder with the built page, the program to compare with, a Python with GDAL, where to write. */
export const dist = process.env.WEB_DIST ?? join(repo, "dist/web");
export const native = process.env.UNCLOUDED;
export const python = process.env.PYTHON || "python3";
export const scratch = process.env.WEB_SCRATCH ?? join(repo, "target/web-tests");
mkdirSync(scratch, { recursive: true });

const COMMON = ["--no-sandbox", "--headless=new", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"];
const FLAGS = {
  cpu: ["--disable-features=WebGPU"],
  // A GPU in software: proves the path, says nothing about speed.
  webgpu: ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
};

/** A browser whose pages have this engine. */
export async function browser(engine) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    ignoreDefaultArgs: ["--headless", "--disable-gpu"],
    args: [...COMMON, ...FLAGS[engine]],
  });
}

/** Opens the page on a server of its own; `close` fails the case if a request left for elsewhere. */
export async function open(from, { base = "/", query = "", viewport = { width: 1360, height: 860 }, scheme = "light", ready = true, init, ...context } = {}) {
  const server = await serve(dist, 0, { base });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const tab = await from.newContext({ viewport, colorScheme: scheme, acceptDownloads: true, ...context });
  const requests = [];
  const problems = [];
  tab.on("request", (request) => requests.push(request.url()));
  const page = await tab.newPage();
  if (init) await page.addInitScript(init);
  // A question whether something may be lost: yes, and remembered.
  const questions = [];
  page.on("dialog", (dialog) => {
    questions.push(dialog.message());
    (page.answers?.shift() ?? true ? dialog.accept() : dialog.dismiss()).catch(() => {});
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(`${origin}${base}${query}`);
  if (ready) await page.waitForSelector("body[data-usable]", { timeout: 60000 });
  const close = async () => {
    const foreign = requests.filter((url) => !url.startsWith(origin) && !/^(blob|data):/.test(url));
    await tab.close();
    await new Promise((done) => { server.close(done); server.closeAllConnections?.(); });
    assert.deepEqual(foreign, [], "the page asked another host");
  };
  return { page, tab, server, origin, requests, problems, questions, close };
}

/** Waits until the engine is open. */
export async function engineReady(page, kind) {
  await page.waitForSelector(kind ? `body[data-engine="${kind}"]` : 'body[data-engine="cpu"], body[data-engine="webgpu"]', { timeout: 120000 });
  return page.textContent("#engine-label");
}

/** Presses Run and waits for the end; the seconds the page says it took. */
export async function run(page, timeout = 600000) {
  await page.click("#run");
  await page.waitForSelector("#run:not([hidden])", { timeout });
  const problem = await problemOf(page);
  assert.equal(problem, "", `the run failed: ${problem}`);
  return Number(await page.getAttribute("body", "data-seconds"));
}

/** The sentence of refusal on the page, "" when there is none. */
export async function problemOf(page) {
  return (await page.isVisible("#problem")) ? page.textContent("#problem") : "";
}

/** Waits for a sentence that matches. */
export async function complaint(page, pattern, timeout = 30000) {
  const seen = async () => {
    for (;;) {
      const text = await problemOf(page);
      if (pattern.test(text)) return text;
      await page.waitForTimeout(100);
    }
  };
  const late = new Promise((_, reject) => {
    setTimeout(async () => reject(new Error(`expected a sentence like ${pattern}, the page says «${await problemOf(page).catch(() => "")}»`)), timeout).unref();
  });
  return Promise.race([seen(), late]);
}

/** Sets fields by id. */
export async function fill(page, values) {
  for (const [id, value] of Object.entries(values)) {
    await page.evaluate(([name, v]) => {
      const field = document.getElementById(name);
      for (let box = field.closest("details"); box; box = null) box.open = true;
      field.value = v;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }, [id, String(value)]);
  }
}

/** Opens a file as the scene and waits until its window is shown or refused. */
export async function openFile(page, path, input = "#scene-file") {
  await page.evaluate(() => { document.getElementById("status").textContent = ""; });
  await page.setInputFiles(input, path);
  await page.waitForFunction(() => /whole scene|window of|marked|Model:|follow the second date/.test(document.getElementById("status").textContent) || !document.getElementById("problem").hidden, undefined, { timeout: 60000 });
}

/** Presses a download button; the path of the file. */
export async function download(page, button, name) {
  const [file] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  const path = join(scratch, name);
  await file.saveAs(path);
  return path;
}

/** Runs tests/web/rasters.py; what it prints as JSON. */
export function gdal(...args) {
  const output = execFileSync(python, [join(repo, "tests/web/rasters.py"), ...args.map(String)], { encoding: "utf8" });
  return output.trim() ? JSON.parse(output) : undefined;
}

/** The command line on the same data; returns its output path. */
export function restoreNatively(scene, mask, name, ...options) {
  const out = join(scratch, name);
  execFileSync(native, ["restore", scene, "--mask", mask, "-o", out, "--overwrite", "--device", "cpu", "--progress", "none", ...options.map(String)], { stdio: "pipe" });
  return out;
}

export const demo = (name) => join(repo, "tests/data/demo", name);
export const bytesOf = (path) => readFileSync(path);
