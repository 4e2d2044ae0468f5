// Runs the cases of the page's tests one after another; the summary comes last.
//
//   node tests/web/run.mjs [WORD...]     only cases whose name has one of the words

import { browser } from "./harness.mjs";
import * as engines from "./cases/engines.mjs";
import * as failures from "./cases/failures.mjs";
import * as files from "./cases/files.mjs";
import * as page from "./cases/page.mjs";
import * as parts from "./cases/parts.mjs";
import * as visitor from "./cases/visitor.mjs";

const words = process.argv.slice(2);
const wanted = ({ name }) => words.length === 0 || words.some((word) => name.includes(word));
const cases = [parts, page, visitor, files, engines, failures].flatMap(({ cases: list }) => list).filter(wanted);
const results = [];
const browsers = {};

for (const { name, engine, run } of cases) {
  const began = Date.now();
  let failure;
  try {
    if (engine) browsers[engine] ??= await browser(engine);
    await run(browsers[engine], (text) => console.log(`      ${text}`));
  } catch (error) {
    failure = error;
  }
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`${failure ? "FAIL" : "ok  "} ${name} (${seconds} s)`);
  if (failure) console.log(String(failure.stack ?? failure).replace(/^/gm, "      "));
  results.push({ name, failure });
}
await Promise.all(Object.values(browsers).map((each) => each.close()));

const failed = results.filter(({ failure }) => failure);
console.log(`page: ${results.length - failed.length} passed, ${failed.length} failed`);
if (results.length === 0) console.error("error: no case has that name");
process.exit(failed.length || results.length === 0 ? 1 : 0);
