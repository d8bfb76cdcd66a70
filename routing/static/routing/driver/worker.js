// Promise: the pages open without network as they were seen last; with network nothing old is shown.
// VERSION and FILES stand above: routing/driver_page.py writes them.

const FILES_KEPT = `drive-files-${VERSION}`;
const PAGES_KEPT = "drive-pages"; // login.js throws it away
const PATIENCE = 5_000; // for a network that is there and answers nothing
const PAGE = /^\/drive\/([0-9a-f-]{36}\/)?$/;

self.addEventListener("install", (event) => {
  const kept = caches.open(FILES_KEPT).then((files) => files.addAll(FILES));
  event.waitUntil(kept.then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOld().then(() => self.clients.claim()));
});

async function forgetOld() {
  for (const name of await caches.keys()) {
    if (name.startsWith("drive-files-") && name !== FILES_KEPT) await caches.delete(name);
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (FILES.includes(url.pathname)) event.respondWith(fresh(event, FILES_KEPT));
  else if (request.mode === "navigate" && PAGE.test(url.pathname)) event.respondWith(fresh(event, PAGES_KEPT));
});

// From the network; what was kept only if that fails, or says nothing for too long.
async function fresh(event, name) {
  const cache = await caches.open(name);
  const kept = await cache.match(event.request);
  const network = fetch(event.request).then(async (answer) => {
    if (answer.ok && !answer.redirected) await cache.put(event.request, answer.clone());
    return answer;
  });
  event.waitUntil(network.catch(() => {}));
  if (!kept) return network;
  const patience = new Promise((resolve) => setTimeout(resolve, PATIENCE, kept));
  return Promise.race([network.catch(() => kept), patience]);
}
