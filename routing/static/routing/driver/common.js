// What both pages of a driver have: the strip that says what waits to be sent, and the worker that
// opens the pages without network.

import { Sender } from "./sender.js";

export const page = JSON.parse(document.getElementById("page").textContent);
export const sender = new Sender(page.user);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child != null && child !== false));
  return made;
}

const strip = document.getElementById("sending");

function show() {
  const count = sender.waiting.length;
  const login = el("a", { href: `${page.login}?next=${encodeURIComponent(location.pathname)}` }, "Log in again");
  const words = [];
  if (count && sender.state === "login") words.push(`${count} waiting to be sent. `, login);
  else if (count && sender.state === "sending") words.push(`Sending ${count} …`);
  else if (count) words.push(`${count} waiting to be sent`, navigator.onLine ? "" : " · no network");
  else if (!navigator.onLine) words.push("No network: what you answer is kept and sent later");
  if (sender.unkept.length) words.push(" · this phone can't keep it: leave this page open");
  if (sender.others) words.push(` · ${sender.others} of somebody else who used this phone`);
  strip.hidden = !words.length;
  strip.classList.toggle("wrong", sender.state === "login" || sender.unkept.length > 0);
  strip.replaceChildren(...words);
}

sender.addEventListener("change", show);
addEventListener("online", show);
addEventListener("offline", show);
addEventListener("beforeunload", (event) => sender.unkept.length && event.preventDefault());

document.getElementById("leave")?.addEventListener("submit", async (event) => {
  const count = sender.waiting.length;
  const warning = `${count} waiting to be sent. They stay on this phone and are sent when you log in again. Log out?`;
  if (count && !confirm(warning)) event.preventDefault();
});

navigator.serviceWorker?.register(page.worker, { scope: page.scope }).catch(() => {});
