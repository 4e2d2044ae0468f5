// Makes the static folder: bundles the scripts, packs engine and model, copies the sample, and
// writes down what everything weighs. Called by .ci/web-dist, which made the .wasm before.
//
//   node build.mjs PKG OUT     (PKG: folder of wasm-bindgen, its .wasm already optimised)

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";
import { header, packed, rounded } from "./pack-model.mjs";

const web = dirname(dirname(fileURLToPath(import.meta.url)));
const repo = dirname(web);
const [pkg, out] = process.argv.slice(2).map((path) => resolve(path));
const DEMO = join(repo, "tests/data/demo");
const SCENE = "latium_20180705.tif";
const MASK = "latium_20180705_mask.tif";
const OTHER = "latium_20181112.tif";
/** Where the source is, if whoever publishes the page says so. */
const SOURCE = process.env.PAGE_SOURCE_URL;

/** The first model of core/src/model/bundled.rs, which is the default of every face. */
function defaultModel() {
  const source = readFileSync(join(repo, "core/src/model/bundled.rs"), "utf8");
  const [, name] = /include_bytes!\("[./]*\/models\/([^"]+)"\)/.exec(source);
  return join(repo, "core/models", name);
}

const put = (name, bytes) => {
  mkdirSync(dirname(join(out, name)), { recursive: true });
  writeFileSync(join(out, name), bytes);
};
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 12);
const size = (name) => statSync(join(out, name)).size;

rmSync(out, { recursive: true, force: true });
const wasm = gzipSync(readFileSync(join(pkg, "unclouded_wasm_bg.wasm")), { level: 9 });
const code = `engine-${hash(wasm)}.wasm.gz`;
put(code, wasm);
const original = readFileSync(defaultModel());
const checkpoint = rounded(original);
const weights = packed(checkpoint);
const model = `model-${hash(weights)}.gz`;
put(model, weights);
const card = JSON.parse(header(checkpoint).text.__metadata__["unclouded.model_card"]);
cpSync(join(DEMO, SCENE), join(out, "sample", SCENE));
cpSync(join(DEMO, MASK), join(out, "sample", MASK));
cpSync(join(DEMO, OTHER), join(out, "sample", OTHER));
for (const file of ["help.html", "style.css", "icon.svg"]) cpSync(join(web, file), join(out, file));
put("index.html", readFileSync(join(web, "index.html"), "utf8").replace("SOURCE_LINK", SOURCE ? `, <a href="${SOURCE}">source</a>` : ""));

const assets = {
  code: { url: code, bytes: wasm.length },
  model: {
    url: model,
    bytes: weights.length,
    card: { name: card.name, description: card.description, bands: card.bands },
  },
  sample: { scene: `sample/${SCENE}`, mask: `sample/${MASK}`, other: `sample/${OTHER}`, bytes: [SCENE, MASK, OTHER].reduce((sum, name) => sum + size(`sample/${name}`), 0) },
  page: { bytes: 0 },
};
const bundle = async (pageBytes) => {
  const result = await esbuild.build({
    entryPoints: ["main.js", "scene.worker.js", "engine.worker.js"].map((name) => join(web, "src", name)),
    outdir: out,
    bundle: true,
    format: "esm",
    minify: true,
    target: "es2022",
    metafile: true,
    legalComments: "none",
    define: { ASSETS: JSON.stringify({ ...assets, page: { bytes: pageBytes } }) },
    plugins: [{ name: "pkg", setup: (build) => build.onResolve({ filter: /^\.\.\/pkg\// }, ({ path }) => ({ path: join(pkg, path.slice(7)) })) }],
    // geotiff.js reads files and opens worker pools; here it does neither.
    external: ["fs", "http", "https", "url", "worker_threads"],
    logLevel: "warning",
  });
  return Object.keys(result.metafile.inputs);
};
const shell = ["index.html", "help.html", "style.css", "icon.svg", "main.js", "scene.worker.js", "engine.worker.js"];
await bundle(0);
const inputs = await bundle(shell.reduce((sum, name) => sum + size(name), 0));
put("licences.txt", licences(inputs));
const version = hash(Buffer.concat([...shell, code, model].map((name) => readFileSync(join(out, name)))));
const worker = readFileSync(join(web, "src/sw.js"), "utf8");
const kept = ["./", ...shell.slice(1), "licences.txt", code, assets.sample.scene, assets.sample.mask, assets.sample.other];
put("sw.js", worker.replace("__VERSION__", version).replace("__KEPT__", JSON.stringify(kept)));

const report = { code: wasm.length, model: weights.length, page: shell.reduce((sum, name) => sum + gzipSync(readFileSync(join(out, name))).length, 0), sample: assets.sample.bytes };
console.log(`engine ${report.code} bytes gzipped, model ${report.model}, page ${report.page} gzipped, sample ${report.sample}`);
const [codeLimit, modelLimit] = [4e6, 6e6];
if (report.code > codeLimit || report.model > modelLimit) {
  console.error(`error: engine and model must stay within ${codeLimit} and ${modelLimit} bytes on the wire`);
  process.exit(1);
}

/** The licences of everything that is in the bundle, and of the sample. */
function licences(paths) {
  const packages = new Set(paths.flatMap((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []));
  const texts = [...packages].sort().map((path) => {
    const folder = resolve(path);
    const { name, version: number, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    return `== ${name} ${number}, ${license}\n\n${file ? readFileSync(join(folder, file), "utf8") : ""}`;
  });
  const own = ["LICENSE", "LICENSE-MIT"].filter((file) => existsSync(join(repo, file))).map((file) => readFileSync(join(repo, file), "utf8"));
  const sample = `== The sample scene\n\nSEN12MS-CR-TS (Ebel et al. 2022), ROI 146 of 2017, patch 162, CC BY 4.0, tiled anew; the mask is this project's.\nContains modified Copernicus Sentinel data 2018.\n`;
  const training = card.training.data.map((data) => `${data.name}: ${data.licence}. ${data.attribution}`).join("\n");
  return [`unclouded\n\n${own.join("\n")}`, `== The model\n\nTrained by this project on\n${training}\n`, sample, ...texts].join("\n\n");
}
