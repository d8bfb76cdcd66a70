/** Promise: every route and stop can be read and reached without a map, a mouse or colours. */

import { h, replace } from "./dom.js";
import { clock, hours, km, many, number, span } from "./words.js";

/** `act`: select, toggle, move, freeze, dispatch, drag (what is done); `view`: what is shown. */
export function drawList(box, day, view, act) {
  const shown = view.found ? day.routes.filter((route) => view.found.routes.has(route.id)) : day.routes;
  if (!shown.length) {
    replace(box, h("p", { class: "plan-quiet" }, view.found ? "No stop of this day matches." : nothing(act)));
    return;
  }
  replace(box, shown.map((route) => routeCard(route, day, view, act)));
  shade(box, view);
}

function nothing({ mayChange }) {
  return `No route on this day.${mayChange ? " “Plan now” plans what waits, for today or a day to come." : ""}`;
}

/** Without drawing anew: what is selected or hovered. */
export function shade(box, view) {
  for (const card of box.querySelectorAll("[data-route]")) {
    card.classList.toggle("selected", card.dataset.route === view.selected);
    card.classList.toggle("hovered", card.dataset.route === view.hovered);
  }
}

function routeCard(route, day, view, act) {
  const open = Boolean(view.found) || view.expanded.has(route.id);
  const card = h(
    "article",
    {
      class: "plan-route",
      "data-route": route.id,
      "aria-label": `Route ${route.label}, ${route.vehicle}`,
      style: `--route: ${route.colour}`,
      on: { mouseenter: () => act.hover(route.id), mouseleave: () => act.hover(null) },
    },
    head(route, open, act),
    bars(route),
    foot(route, act),
    open && stopList(route, day, view, act),
  );
  if (act.mayChange && route.open) act.dropOn(card, () => ({ route, position: null }));
  return card;
}

function head(route, open, act) {
  const state = route.frozen && route.state === "planned" ? "frozen" : route.state;
  return h(
    "header",
    {},
    h(
      "button",
      {
        type: "button",
        class: "plan-route-name",
        "aria-expanded": String(open),
        "data-focus": `route-${route.id}`,
        on: { click: () => act.toggle(route.id) },
      },
      badge(route),
      h("span", { class: "plan-name" }, route.vehicle),
      route.driver && h("span", { class: "plan-quiet" }, route.driver),
      h("span", { class: `plan-state ${state}` }, state),
      route.late ? h("span", { class: "plan-state late" }, `${route.late} late`) : null,
      route.overdue ? h("span", { class: "plan-state late" }, "should have left") : null,
    ),
  );
}

/** Number, colour and dash of a route. */
export function badge(route) {
  return h("span", { class: "plan-badge", style: `--route: ${route.colour}; border-style: ${route.dash ? "dashed" : "solid"}` }, String(route.label));
}

function bars(route) {
  const has = route.vehicleRow;
  const loads = [
    ["kg", route.load_kg, has?.capacity_kg, 0],
    ["m³", route.load_m3, has?.capacity_m3, 2],
    ...(has?.capacity_items ? [["items", route.items, has.capacity_items, 0]] : []),
  ];
  return h(
    "div",
    { class: "plan-figures" },
    h("span", {}, `${clock(route.starts_at)}–${clock(route.ends_at)}`),
    route.departs_at && h("span", {}, `departure ${clock(route.departs_at)}`),
    h("span", {}, route.done ? `${route.done}/${many(route.stops.length, "stop")}` : many(route.stops.length, "stop")),
    h("span", {}, km(route.distance_km)),
    h("span", {}, `cost ${number(route.cost, 2)}`),
    loads.map(([unit, load, most, digits]) => bar(unit, load, most, digits)),
    h("span", { class: "plan-quiet" }, `${hours(route.drive)} driving${route.wait > 59 ? `, ${hours(route.wait)} waiting` : ""}`),
  );
}

function bar(unit, load, most, digits) {
  const use = most ? load / most : 0;
  const text = most ? `${number(load, digits)} of ${number(most, digits)} ${unit}` : `${number(load, digits)} ${unit}`;
  return h(
    "span",
    { class: "plan-load", title: text },
    h("span", { class: `plan-bar${use > 1.000001 ? " over" : ""}`, role: "img", "aria-label": `${Math.round(use * 100)} % of its ${unit}` }, h("i", { style: `width: ${Math.min(100, use * 100).toFixed(1)}%` })),
    h("small", {}, text),
  );
}

function foot(route, act) {
  const button = (name, label, run) => h("button", { type: "button", class: "plan-small", "data-focus": `${name}-${route.id}`, on: { click: run } }, label);
  const planned = route.state === "planned" && act.mayChange;
  return h(
    "div",
    { class: "plan-route-actions" },
    button("show", "Show", () => act.show(route)),
    planned && button("freeze", route.frozen ? "Thaw" : "Freeze", () => act.freeze(route)),
    planned && button("dispatch", "Dispatch", () => act.dispatch(route)),
    h("a", { class: "plan-small", href: `${act.urls.manifest}?route=${route.id}` }, "Manifest"),
    act.mayChange && h("a", { class: "plan-small", href: act.urls.drive(route.id), title: `${route.driver ? `${route.driver} drives it` : "Nobody is known to drive it"}: see their page, or give it to somebody` }, "Driver"),
    h("a", { class: "plan-small", href: act.urls.route(route.id) }, "Details"),
  );
}

function stopList(route, day, view, act) {
  const stops = view.found ? route.stops.filter((stop) => view.found.stops.has(stop.id)) : route.stops;
  return h("ol", { class: "plan-stops", "aria-label": `Stops of ${route.vehicle}` }, stops.map((stop) => stopRow(route, stop, day, act)));
}

function stopRow(route, stop, day, act) {
  const movable = act.mayChange && route.open && stop.state === "pending";
  const row = h(
    "li",
    { class: `plan-stop ${stop.state}${stop.late ? " late" : ""}`, "data-stop": stop.id, draggable: movable ? "true" : null },
    h("span", { class: "plan-number" }, movable ? h("span", { class: "plan-grip", "aria-hidden": "true" }, "⠿") : null, String(stop.number)),
    h(
      "div",
      { class: "plan-stop-text" },
      h("button", { type: "button", class: "plan-link", "data-focus": `stop-${stop.id}`, on: { click: () => act.select(route.id, stop.id) } }, stop.customer),
      h("span", { class: "plan-quiet plan-address" }, stop.address),
      h(
        "span",
        { class: "plan-stop-facts" },
        h("b", {}, clock(stop.ended_at ?? stop.eta)),
        h("span", {}, span(stop.window_from, stop.window_until, day.day)),
        h("span", {}, `${number(stop.weight_kg, 1)} kg`),
        stop.state !== "pending" ? h("span", { class: `plan-state ${stop.state}` }, stop.state) : null,
        stop.late ? h("span", { class: "plan-state late" }, stop.overdue ? "overdue" : "late") : null,
        stop.recalled ? h("span", { class: "plan-state late" }, "recalled") : null,
      ),
    ),
    movable && h("button", { type: "button", class: "plan-small", "aria-label": `Move stop ${stop.number}, ${stop.customer}, to…`, "data-focus": `move-${stop.id}`, on: { click: () => act.move(stop) } }, "Move…"),
  );
  if (movable) {
    act.drag(row, stop);
    act.dropOn(row, (event) => ({ route, position: stop.number + (lower(row, event) ? 1 : 0), row, below: lower(row, event) }));
  }
  return row;
}

/** Whether the pointer is in the lower half: after it, not before. */
function lower(row, event) {
  const box = row.getBoundingClientRect();
  return event.clientY > box.top + box.height / 2;
}
