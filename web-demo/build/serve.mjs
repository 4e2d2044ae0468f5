// Serves the static folder on localhost, with the Content-Security-Policy as a header too, so
// that it holds for the workers.
//
//   node serve.mjs FOLDER [PORT]

import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";

const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8", ".tif": "image/tiff" };

/** A server of `folder` under `base`; listens on 127.0.0.1 only. */
export function serve(folder, port, { base = "/" } = {}) {
  const root = resolve(folder);
  const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(readFileSync(join(root, "index.html"), "utf8"));
  const server = createServer((request, response) => {
    const refuse = (code) => response.writeHead(code).end();
    let path;
    try {
      path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    } catch {
      return refuse(400);
    }
    if (!path.startsWith(base)) return refuse(404);
    const name = normalize(path.slice(base.length)) || ".";
    const file = join(root, name === "." || name.endsWith("/") ? join(name, "index.html") : name);
    if (!file.startsWith(root)) return refuse(403);
    let size;
    try {
      const stats = statSync(file);
      if (!stats.isFile()) return refuse(404);
      size = stats.size;
    } catch {
      return refuse(404);
    }
    response.writeHead(200, {
      "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
      "Content-Length": size,
      "Content-Security-Policy": policy,
      "Cache-Control": "no-cache",
    });
    return createReadStream(file).pipe(response);
  });
  return new Promise((done, failed) => {
    server.once("error", failed);
    server.listen(port, "127.0.0.1", () => done(server));
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [folder, port = "8080"] = process.argv.slice(2);
  try {
    const server = await serve(folder, Number(port));
    console.log(`unclouded is at http://localhost:${server.address().port}/ (Ctrl-C ends)`);
  } catch (error) {
    console.error(`error: cannot serve on port ${port} (${error.message})\nhint: choose another: make web PORT=8081`);
    process.exit(1);
  }
}
