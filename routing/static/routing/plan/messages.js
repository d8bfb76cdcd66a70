/** Promise: what happened stays to be read until it is closed; what went well may go by itself. */

import { h } from "./dom.js";

const SECONDS = 12;

/** `kind`: good, bad or busy; `key`: a message of the same key is replaced, unless it says the same:
 * who listens to the page hears it once. */
export function say(text, { kind = "good", key = null, action = null } = {}) {
  const box = document.getElementById("plan-messages");
  const old = key && find(key);
  if (old && !action && old.firstChild.textContent === text) return;
  old?.remove();
  const message = h(
    "div",
    { class: `plan-message ${kind}`, "data-key": key, role: kind === "bad" ? "alert" : null },
    h("span", {}, text),
    action && h("button", { type: "button", class: "plan-button", on: { click: () => (message.remove(), action.act()) } }, action.label),
    h("button", { type: "button", class: "plan-close", "aria-label": "Close the message", on: { click: () => message.remove() } }, "×"),
  );
  box.append(message);
  if (kind === "good" && !action) setTimeout(() => message.remove(), SECONDS * 1000);
}

export const unsay = (key) => find(key)?.remove();

const find = (key) => document.querySelector(`#plan-messages [data-key="${CSS.escape(key)}"]`);
