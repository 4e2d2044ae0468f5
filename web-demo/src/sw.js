// Keeps the page for use without a connection. Small files come from the network when it is
// there; engine and model carry their hash in their name and are downloaded once.

const CACHE = "unclouded-__VERSION__";
const KEPT = __KEPT__;
const HASHED = /-[0-9a-f]{12}\./;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    for (const name of await caches.keys()) {
      if (name === CACHE || !name.startsWith("unclouded-")) continue;
      // A model that did not change need not be downloaded again.
      const old = await caches.open(name);
      for (const request of await old.keys()) {
        if (/\/model-/.test(request.url) && !(await cache.match(request))) await cache.put(request, await old.match(request));
      }
      await caches.delete(name);
    }
    await self.clients.claim();
  })());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && new URL(request.url).origin === self.location.origin) event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const known = await cache.match(request, { ignoreSearch: true });
  if (known && HASHED.test(request.url)) return known;
  try {
    const response = await fetch(request);
    if (response.ok && response.status === 200) cache.put(request, response.clone()).catch(() => {});
    return response;
  } catch (error) {
    if (known) return known;
    throw error;
  }
}
