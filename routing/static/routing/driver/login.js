// Whoever stands before the log-in page sees nothing of who was here before. What that one answered
// stays, and is sent when they are back.

import { store } from "./store.js";

if ("caches" in window) caches.delete("drive-pages");
const kept = await store();
for (const route of await kept.all("routes")) await kept.remove("routes", route.id);
