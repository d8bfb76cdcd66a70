/** Promise: what a dispatcher must know first stands on top, and who is without a route stands there
 * with the reason and what can be done about it. */

import { h, replace } from "./dom.js";
import { clock, dated, hours, km, many, number, span } from "./words.js";

export function drawTotals(box, day) {
  const { totals } = day;
  const newest = day.versions[0];
  const figures = [
    ["Routes", number(totals.routes)],
    ["Stops", totals.done ? `${number(totals.done)} of ${number(totals.stops)}` : number(totals.stops), totals.done ? "done" : ""],
    ["Distance", km(totals.km)],
    ["Time", hours(totals.seconds), "of all tours, from leaving to being back"],
    ["Cost", number(totals.cost, 2)],
    ["Load use", `${Math.round(totals.use * 100)} %`, "of kg or m³, whichever is fuller"],
    ["Without a route", number(totals.unserved), "", totals.unserved ? "warn" : ""],
    ["Late", number(totals.late), "", totals.late ? "bad" : ""],
  ];
  replace(
    box,
    h("dl", { class: "plan-totals" }, figures.map(([name, value, hint, kind]) => h("div", { class: kind || null, title: hint || null }, h("dt", {}, name), h("dd", {}, value)))),
    h("p", { class: "plan-quiet", id: "plan-version" }, newest ? `Version ${newest.version}, ${newest.why}, made ${dated(newest.made_at, day.day)}. Times are of ${day.place.time_zone}.` : "This day has no plan yet."),
  );
}

export function drawAlerts(box, day, { mayChange, seen, show, urls }) {
  box.hidden = !day.alerts.length;
  const rows = day.alerts.map((alert) => {
    const route = day.route.get(alert.subject_id);
    const stop = [...day.stop.values()].find((one) => one.shipment_id === alert.subject_id);
    return h(
      "li",
      {},
      h("b", {}, alert.kind),
      h("span", {}, alert.text),
      h("span", { class: "plan-quiet" }, dated(alert.at, day.day)),
      route || stop ? h("button", { type: "button", class: "plan-small", on: { click: () => show(route?.id ?? stop.route, stop?.id) } }, "Show") : elsewhere(alert, urls),
      mayChange && h("button", { type: "button", class: "plan-small", "data-focus": `seen-${alert.id}`, on: { click: () => seen(alert) } }, "Seen"),
    );
  });
  replace(box, h("h2", {}, many(day.alerts.length, "alert")), h("ul", {}, rows));
}

/** What an alert is about may be driven on another day, or by nobody; or it is about this depot. */
function elsewhere({ kind, subject_id }, urls) {
  if (kind === "planning fails") return null;
  const about = kind.startsWith("route ") ? "route" : "shipment";
  const url = urls[about](subject_id); // "" for who may not see it
  return url && h("a", { class: "plan-small", href: url }, `The ${about}`);
}

/** Rows that are shown at first. */
const ROWS = 15;

/** What to do, by what the reason says. */
const ADVICE = [
  [/more than any vehicle|capacit|kg|m³|items/i, "Plan a larger vehicle at this depot, or split the shipment."],
  [/window|late|time|closes|opens/i, "Ask the customer for another window, or let a vehicle start earlier."],
  [/chilled|frozen|hazardous|skill|carry/i, "Give this depot a vehicle that may carry it."],
  [/no vehicle is free|shift|busy/i, "Set another vehicle active, or wait for one to come back; it is tried again by itself."],
  [/reach|road|coordinates|Earth/i, "Check the address and its coordinates at the order."],
];

export function advice(reason) {
  if (!reason) return "It is planned with the next run; “Plan now” does not wait for it.";
  return (ADVICE.find(([pattern]) => pattern.test(reason)) ?? [null, "It is tried again when something changes, at the latest tomorrow."])[1];
}

/** `act`: show (on the map), linksOf, and for who may change the plan move and drag. */
export function drawUnserved(box, day, view, act) {
  const rows = day.unplanned.filter((shipment) => !view.found || view.found.unplanned.has(shipment.shipment_id));
  const total = day.unplanned_total;
  if (!total) {
    replace(box, h("h2", {}, "Without a route"), h("p", { class: "plan-quiet" }, "Every shipment of this depot has a route."));
    return;
  }
  const shown = view.allUnserved ? rows : rows.slice(0, ROWS);
  const all = () => {
    view.allUnserved = true;
    drawUnserved(box, day, view, act);
  };
  replace(
    box,
    h("h2", {}, `Without a route: ${number(total)}`),
    total > day.unplanned.length ? h("p", { class: "plan-quiet" }, `The first ${number(day.unplanned.length)}, the longest waiting first.`) : null,
    rows.length
      ? h("div", { class: "plan-scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["Customer", "Wanted", "Load", "Why", "What to do", ""].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, shown.map((row) => unserved(row, day, act)))))
      : h("p", { class: "plan-quiet" }, "None of them matches."),
    rows.length > shown.length ? h("button", { type: "button", class: "plan-button", on: { click: all } }, `Show all ${number(rows.length)}`) : null,
  );
}

function unserved(row, day, act) {
  const wanted = row.promised_until ? span(row.promised_from, row.promised_until, day.day) : span(row.requested_from, row.requested_until, day.day);
  const button = (name, label, says, run) => h("button", { type: "button", class: "plan-small", "data-focus": `${name}-${row.shipment_id}`, "aria-label": says, on: { click: run } }, label);
  const line = h(
    "tr",
    { "data-shipment": row.shipment_id, draggable: act.mayChange ? "true" : null },
    h("td", {}, act.mayChange ? h("span", { class: "plan-grip", "aria-hidden": "true" }, "⠿") : null, h("b", {}, row.customer), h("div", { class: "plan-quiet" }, row.address)),
    h("td", {}, wanted),
    h("td", { class: "plan-nowrap" }, `${number(row.weight_kg, 1)} kg, ${number(row.volume_m3, 2)} m³`),
    h("td", {}, row.reason || `Waits for the next plan since ${clock(row.ready_at)}`, row.attempts ? h("div", { class: "plan-quiet" }, `${many(row.attempts, "failed attempt")} before`) : null),
    h("td", {}, advice(row.reason)),
    h("td", {}, h("div", { class: "plan-route-actions" }, button("unserved", "Show", `Show ${row.customer} on the map`, () => act.showUnserved(row)), act.mayChange && button("place", "Put into…", `Put ${row.customer} into a route…`, () => act.move(row))), act.linksOf(row)),
  );
  if (act.mayChange) act.drag(line, row);
  return line;
}
