// How a driver answers: a full-screen form, with what was begun kept until it is sent or given up.

import { el, page } from "./common.js";
import { shrunk } from "./photos.js";
import { store } from "./store.js";

const NEARLY = ["The customer", "A neighbour", "Reception"];
const OTHER = "Something else";

// randomUUID() is there on https only.
function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}

export async function begun(route) {
  const drafts = await (await store()).all("drafts");
  return drafts.find((one) => one.user === page.user && one.route === route);
}

export function forget(stop) {
  return store().then((kept) => kept.remove("drafts", stop)).catch(() => {});
}

// Resolves to the answer, or to null when it was given up.
export function answered(stop, route, before) {
  const draft = { name: "", reason: "", photos: [], ...before, stop: stop.id, route, user: page.user };
  const deliver = draft.kind === "deliver";
  const wrong = el("p", { class: "wrong-word", role: "alert", hidden: true });
  const fields = deliver ? nameFields(draft, keep) : reasonFields(draft, keep);
  const camera = cameraFields(draft, keep, complain);
  const sure = el("button", { class: deliver ? "go" : "stop sure" }, deliver ? "Yes, delivered" : "Yes, not delivered");
  const back = el("button", { type: "button", onclick: () => close(null) }, "Back");
  const form = el(
    "form",
    { method: "dialog", novalidate: true, onsubmit: confirm },
    // The focus is here, so that no keyboard covers the form before somebody wants it.
    el("h1", { tabindex: -1, autofocus: true }, deliver ? "Delivered" : "Not delivered"),
    el("div", {}, `${stop.customer}, ${stop.address}`),
    ...fields,
    ...camera,
    el("div", { class: "foot" }, wrong, el("div", { class: "yesno" }, back, sure)),
  );
  const dialog = el("dialog", { oncancel: (event) => (event.preventDefault(), close(null)) }, form);
  let resolve;

  function keep() {
    store().then((kept) => kept.put("drafts", draft)).catch(() => {});
  }

  function complain(text) {
    wrong.textContent = text;
    wrong.hidden = !text;
    if (text) wrong.scrollIntoView({ block: "nearest" });
  }

  function confirm(event) {
    event.preventDefault();
    const missing = lacking(draft, deliver);
    complain(missing);
    if (missing) return;
    const { kind, photos } = draft;
    const said = { name: draft.name.trim(), reason: draft.reason.trim() };
    const place = { stop: stop.id, route, customer: stop.customer };
    close({ reference: uuid(), at: Date.now(), kind, photos, ...said, ...place });
  }

  function close(answer) {
    dialog.close();
    dialog.remove();
    if (!answer) forget(stop.id); // else when the answer itself is kept
    resolve(answer);
  }

  document.body.append(dialog);
  dialog.showModal();
  dialog.scrollTop = 0;
  return new Promise((done) => (resolve = done));
}

function lacking(draft, deliver) {
  if (draft.busy) return "One moment: the photo is being prepared.";
  if (deliver && !draft.name.trim() && !draft.photos.length) return "Say who took it, or take a photo of where it is.";
  if (!deliver && !draft.reason.trim()) return "Say why.";
  return "";
}

function nameFields(draft, keep) {
  const input = el("input", {
    ...{ type: "text", id: "took", maxlength: 120, autocomplete: "off", autocapitalize: "words", enterkeyhint: "done" },
    value: draft.name,
    oninput: () => ((draft.name = input.value), keep()),
    onkeydown: (event) => event.key === "Enter" && (event.preventDefault(), input.blur()),
  });
  const chips = NEARLY.map((name) =>
    el("button", { type: "button", onclick: () => ((input.value = draft.name = name), keep()) }, name),
  );
  return [el("label", { class: "field", for: "took" }, "Who took it?"), input, el("div", { class: "chips" }, ...chips)];
}

function reasonFields(draft, keep) {
  const listed = page.reasons.includes(draft.reason) || draft.reason === page.recalled;
  const words = el("input", {
    ...{ type: "text", maxlength: 300, "aria-label": "Why it was not delivered", placeholder: "In your words" },
    value: listed ? "" : draft.reason,
    oninput: () => ((draft.reason = words.value), keep()),
  });
  words.hidden = listed || !draft.reason;
  function choose(reason) {
    words.hidden = reason !== OTHER;
    draft.reason = reason === OTHER ? words.value : reason;
    if (reason === OTHER) {
      words.focus();
      words.scrollIntoView({ block: "nearest" });
    }
    keep();
  }
  const reasons = draft.recalled ? [page.recalled] : [...page.reasons, OTHER];
  const choices = reasons.map((reason) => {
    const checked = reason === draft.reason || (reason === OTHER && Boolean(draft.reason) && !listed);
    const radio = el("input", { type: "radio", name: "reason", checked, onchange: () => choose(reason) });
    return el("label", { class: "choice" }, radio, reason);
  });
  return [el("fieldset", {}, el("h2", {}, "Why?"), ...choices), words];
}

function cameraFields(draft, keep, complain) {
  const shown = el("div", { class: "photos" });
  const input = el("input", {
    ...{ type: "file", accept: "image/jpeg,image/png,image/webp", capture: "environment", "aria-label": "Take a photo" },
    onchange: take,
  });
  const text = el("span");
  const label = el("label", { class: "camera" }, input, text);

  async function take() {
    const [file] = input.files;
    if (!file) return;
    draft.busy = true;
    draw();
    try {
      draft.photos.push(await shrunk(file));
      complain("");
      keep();
    } catch (refusal) {
      complain(refusal.message);
    }
    delete draft.busy;
    input.value = "";
    draw();
  }

  function draw() {
    const full = draft.photos.length >= page.photos;
    label.hidden = full;
    text.textContent = draft.busy ? "One moment …" : draft.photos.length ? "One more photo" : "Take a photo";
    for (const image of shown.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    shown.replaceChildren(...draft.photos.map(thumbnail));
  }

  function thumbnail(photo, n) {
    const image = el("img", { src: URL.createObjectURL(photo), alt: `Photo ${n + 1}` });
    const away = () => (draft.photos.splice(n, 1), keep(), draw());
    const cross = el("button", { type: "button", "aria-label": `Remove photo ${n + 1}`, onclick: away }, "×");
    return el("figure", {}, image, cross);
  }

  draw();
  const later = el("p", { class: "note wait", hidden: true }, "This browser keeps no photos: have network when you confirm.");
  store().then((kept) => (later.hidden = kept.photos));
  return [shown, label, later];
}

// A question with a yes and a no.
export function sure(title, text, yes) {
  return new Promise((resolve) => {
    const end = (answer) => (dialog.close(), dialog.remove(), resolve(answer));
    const dialog = el(
      "dialog",
      { class: "small", oncancel: (event) => (event.preventDefault(), end(false)) },
      el(
        "form",
        { method: "dialog" },
        el("h1", { tabindex: -1, autofocus: true }, title),
        el("p", {}, text),
        el("button", { type: "button", class: "go", onclick: () => end(true) }, yes),
        el("button", { type: "button", class: "plain", onclick: () => end(false) }, "Back"),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
