/** Promise: one dialog at a time, closed by Escape as well, that says what a button does. */

import { h } from "./dom.js";

const dialog = () => document.getElementById("plan-dialog");

/** Show it; gives what is called to close it. `act` is null where there is nothing to confirm. */
export function open(title, content, { act = null, label = "OK", danger = false, closed = () => {} } = {}) {
  const box = dialog();
  const confirm = act && h("button", { type: "button", class: `plan-button ${danger ? "danger" : "strong"}`, id: "plan-confirm", on: { click: () => act(confirm) } }, label);
  box.replaceChildren(
    h("h2", { id: "plan-dialog-title" }, title),
    content,
    h("div", { class: "plan-dialog-buttons" }, confirm, h("button", { type: "button", class: "plan-button", on: { click: () => box.close() } }, act ? "Cancel" : "Close")),
  );
  box.setAttribute("aria-labelledby", "plan-dialog-title");
  box.onclose = closed;
  if (!box.open) box.showModal();
  return () => box.close();
}

