// The list of a driver's routes: sends what waits, and forgets the pages of routes that are over.

import { sender } from "./common.js";
import { store } from "./store.js";

sender.start();

const listed = new Set([...document.querySelectorAll("a.card")].map((link) => link.pathname));
if ("caches" in window) {
  const pages = await caches.open("drive-pages");
  for (const kept of await pages.keys()) {
    const path = new URL(kept.url).pathname;
    if (path !== location.pathname && !listed.has(path)) pages.delete(kept);
  }
}
const kept = await store();
for (const route of await kept.all("routes")) {
  if (![...listed].some((path) => path.includes(route.id))) await kept.remove("routes", route.id);
}
