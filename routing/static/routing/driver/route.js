// Promise: what the driver sees is the route as the server knows it, with what was answered on this
// phone on top; it never shows a stop as open that was answered here.

import { el, page, sender } from "./common.js";
import { answered, begun, forget, sure } from "./dialogs.js";
import { cookie, servedAt } from "./sender.js";
import { store } from "./store.js";

const LOOK_AGAIN = 60_000;
const main = document.getElementById("route");
let route = page.route;
let served = page.served;
let chosen = null; // a stop that is done out of its turn
let heard = 0; // how often the server has told this page of the route
let said = ""; // what the server had to say to this page last

// --- what is so -----------------------------------------------------------------------------

function take(other, at) {
  if (other.id !== route.id || at < served) return;
  route = other;
  served = at;
  heard += 1;
  store().then((kept) => kept.put("routes", { id: other.id, route: other, served: at })).catch(() => {});
  draw();
}

// A page that was kept for want of network is older than what was heard since.
async function recall() {
  const kept = (await (await store()).all("routes")).find((one) => one.id === route.id);
  if (kept && kept.served >= served) take(kept.route, kept.served);
}

async function look() {
  const before = heard;
  try {
    const response = await fetch(`/api/v1/routes/${route.id}/`, { headers: { Accept: "application/json" } });
    const seen = response.ok && (await response.json());
    // What was asked for before an answer arrived may not know of it.
    if (seen && before === heard) take(seen, servedAt(response));
  } catch {
    // Without network it stays as it is.
  }
}

function answerTo(stop) {
  return sender.waiting.find((one) => one.stop === stop.id);
}

function standing() {
  const stops = route.stops.filter((stop) => stop.state !== "dropped");
  const open = stops.filter((stop) => stop.state === "pending" && !answerTo(stop));
  return { stops, open, done: stops.filter((stop) => !open.includes(stop)) };
}

// --- what is done ---------------------------------------------------------------------------

async function answer(stop, before) {
  const given = await answered(stop, route.id, before);
  if (!given) return;
  await sender.keep(given);
  await forget(stop.id);
  chosen = null;
  navigator.vibrate?.(40);
  draw();
  scrollTo({ top: 0 });
}

async function leave() {
  const count = standing().open.length;
  const text = `${count} ${count === 1 ? "stop" : "stops"}, ${kilos(route.load_kg)}. The route does not change any more after that.`;
  if (!(await sure("Leave the depot?", text, "Yes, leave now"))) return;
  said = "";
  try {
    const response = await fetch(`/api/v1/routes/${route.id}/dispatch/`, {
      method: "POST",
      headers: { "X-CSRFToken": cookie("csrftoken"), Accept: "application/json" },
    });
    if (response.ok) return take(await response.json(), servedAt(response));
    said = response.status === 401 ? "Log in again first." : (await response.json()).errors[0].reason;
  } catch {
    said = "Leaving needs network: try again, or call your dispatcher.";
  }
  draw();
  await look();
}

async function again(refused) {
  const stop = route.stops.find((one) => one.id === refused.stop);
  const { recalled } = stop;
  const { name, photos } = refused;
  const kind = recalled ? "fail" : refused.kind;
  const before = { kind, name, photos, recalled, reason: recalled ? page.recalled : refused.reason };
  const given = await answered(stop, route.id, before);
  if (!given) return;
  await sender.keep(given);
  await sender.drop(refused.reference);
  await forget(stop.id);
  draw();
}

// --- what is shown --------------------------------------------------------------------------

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: page.zone });
const time = (moment) => clock.format(new Date(moment));
const kilos = (number) => `${Number(number.toFixed(1))} kg`;

function promise(stop) {
  const { window_from: from, window_until: until } = stop;
  if (from && until) return `${time(from)} – ${time(until)}`;
  if (until) return `until ${time(until)}`;
  return from ? `from ${time(from)}` : null;
}

function load(stop) {
  const items = stop.items ? `${stop.items} ${stop.items === 1 ? "item" : "items"}, ` : "";
  return items + kilos(stop.weight_kg);
}

/** A line per product; nothing where only their number is known. */
function goods(stop) {
  return stop.goods?.length ? el("ul", { class: "goods" }, ...stop.goods.map(({ sku, quantity }) => el("li", {}, `${quantity} × ${sku}`))) : null;
}

function wayTo(stop) {
  const place = `${stop.latitude},${stop.longitude}`;
  if (/iPhone|iPad/.test(navigator.userAgent)) return `maps:?daddr=${place}`;
  return `geo:${place}?q=${place}(${encodeURIComponent(stop.customer)})`;
}

function fact(name, value) {
  return value == null ? [] : [el("dt", {}, name), el("dd", {}, value)];
}

function nextCard(stop, next) {
  const window = promise(stop);
  const late = stop.window_until && new Date(stop.window_until) < new Date();
  return el(
    "section",
    { class: "card", id: "next" },
    el("p", { class: "kicker" }, stop === next ? `Next: stop ${stop.position}` : `Stop ${stop.position}, out of its turn`),
    el("h1", {}, stop.customer),
    el("div", { class: "where" }, stop.address),
    stop.recalled && el("p", { class: "note stop" }, "Cancelled: do not hand it over. Bring it back."),
    el(
      "dl",
      { class: "facts" },
      ...fact("Planned", time(stop.eta)),
      ...fact("Promised", window && (late ? `${window} (over)` : window)),
      ...fact("Load", load(stop)),
      ...fact("Goods", goods(stop)),
      ...fact("Keep", stop.skills.length ? stop.skills.join(", ") : null),
    ),
    el("a", { class: "button", href: wayTo(stop) }, "Navigate"),
    !stop.recalled && el("button", { class: "go", onclick: () => answer(stop, { kind: "deliver" }) }, "Delivered"),
    stop.recalled
      ? el("button", { class: "stop", onclick: () => answer(stop, { kind: "fail", reason: page.recalled, recalled: true }) }, "I bring it back")
      : el("button", { class: "stop", onclick: () => answer(stop, { kind: "fail" }) }, "Not delivered"),
    stop !== next && el("button", { class: "plain", onclick: () => choose(null) }, "Back to the next stop"),
  );
}

function choose(stop) {
  chosen = stop?.id ?? null;
  draw();
  scrollTo({ top: 0 });
}

function refusedCard(one) {
  const stop = route.stops.find((other) => other.id === one.stop);
  const drop = () => sender.drop(one.reference).then(draw);
  const mend = stop?.state === "pending" && one.status !== 404;
  return el(
    "section",
    { class: "card refused", role: "alert" },
    el("p", { class: "kicker" }, "Not accepted"),
    el("h1", {}, one.customer),
    el("p", {}, one.kind === "deliver" ? `You said: delivered to ${one.name || "nobody named"}.` : `You said: not delivered, ${one.reason}.`),
    el("p", { class: "note stop" }, one.refused.text),
    mend && el("button", { class: "go", onclick: () => again(one) }, stop.recalled ? "I bring it back" : "Answer again"),
    el("button", { class: mend ? "plain" : "", onclick: drop }, "I have read it"),
  );
}

function line(stop) {
  const given = answerTo(stop);
  const open = stop.state === "pending" && !given;
  const text = el(
    "span",
    {},
    el("b", {}, stop.customer),
    el("small", {}, stop.address),
    ...ending(stop, given),
    open && stop.recalled && el("small", { class: "stop" }, "cancelled: bring it back"),
  );
  const cells = [el("span", { class: "number" }, stop.position), text, mark(stop, given)];
  const choice = open && route.state === "dispatched";
  const inner = choice ? el("button", { onclick: () => choose(stop) }, ...cells) : el("div", { class: "row" }, ...cells);
  return el("li", {}, inner);
}

function ending(stop, given) {
  if (given) return [el("small", { class: "wait" }, `${given.kind === "deliver" ? "delivered" : given.reason} · waiting to be sent`)];
  if (stop.state === "failed") return [el("small", { class: "stop" }, `${time(stop.ended_at)} not delivered: ${stop.reason}`)];
  if (stop.state !== "delivered") return [];
  const photos = stop.photos.length ? `, ${stop.photos.length} ${stop.photos.length === 1 ? "photo" : "photos"}` : "";
  return [el("small", {}, `${time(stop.ended_at)} delivered${stop.proof_name ? ` to ${stop.proof_name}` : ""}${photos}`)];
}

function mark(stop, given) {
  if (given) return el("span", { class: "mark wait" }, "…");
  if (stop.state === "delivered") return el("span", { class: "mark go" }, "✓");
  if (stop.state === "failed") return el("span", { class: "mark stop" }, "✗");
  return el("span", {}, time(stop.eta));
}

function startCard(open) {
  return el(
    "section",
    { class: "card" },
    el("p", { class: "kicker" }, "Not left yet"),
    el("h1", {}, `Leave at ${time(route.starts_at)}`),
    el("p", {}, `${open.length} ${open.length === 1 ? "stop" : "stops"}, ${kilos(route.load_kg)}, ${Math.round(route.distance_km)} km, back at ${time(route.ends_at)}`),
    page.mayStart
      ? el("button", { class: "go", onclick: leave }, "Leave the depot")
      : el("p", { class: "note wait" }, "Your dispatcher sends you off; then the stops can be answered here."),
  );
}

function endCard(stops) {
  const given = (stop) => answerTo(stop)?.kind;
  const back = stops.filter((stop) => stop.state === "failed" || given(stop) === "fail");
  const handed = stops.length - back.length;
  return el(
    "section",
    { class: "card" },
    el("h1", {}, "All stops done"),
    el("p", {}, `${handed} delivered${back.length ? `, ${back.length} to bring back:` : "."}`),
    back.length ? el("ul", {}, ...back.map((stop) => el("li", {}, `${stop.position}. ${stop.customer}`))) : null,
    sender.waiting.length > 0 && el("p", { class: "note wait" }, "Not all of it is sent yet: keep this page open until it is."),
  );
}

function section(title, stops) {
  return stops.length ? [el("h2", {}, title), el("ol", { class: "stops" }, ...stops.map(line))] : [];
}

function draw() {
  const { stops, open, done } = standing();
  const now = open.find((stop) => stop.id === chosen) ?? open[0];
  const bar = document.getElementById("progress");
  bar.max = stops.length || 1;
  bar.value = done.length;
  document.getElementById("count").textContent = `${done.length} of ${stops.length}`;
  const refused = sender.refused.filter((one) => one.route === route.id);
  const cards = refused.map(refusedCard);
  if (said) cards.push(el("p", { class: "note stop", role: "alert" }, said));
  if (route.state === "planned") cards.push(startCard(open));
  else if (!now) cards.push(endCard(stops));
  else if (!refused.some((one) => one.stop === now.id)) cards.push(nextCard(now, open[0]));
  const still = route.state === "planned" ? open : open.filter((stop) => stop !== now);
  main.replaceChildren(...cards, ...section("Still to come", still), ...section("Done", done.reverse()));
}

// --- and it begins --------------------------------------------------------------------------

sender.addEventListener("sent", ({ detail }) => take(detail.route, detail.served));
sender.addEventListener("refused", () => {
  navigator.vibrate?.([200, 100, 200]);
  look().then(draw);
  scrollTo({ top: 0 });
});
sender.addEventListener("change", draw);
document.addEventListener("visibilitychange", () => document.hidden || look());
addEventListener("online", look);
setInterval(() => document.hidden || look(), LOOK_AGAIN);

draw();
await recall();
take(route, served);
await sender.start();
look();
const draft = await begun(route.id);
const stop = draft && route.stops.find((one) => one.id === draft.stop && one.state === "pending" && !answerTo(one));
if (stop) await answer(stop, draft);
