/** Promise: before a stop is moved, or who waits is put into a route, one sees what it costs and which
 * rule it would break; nothing is done that was not confirmed, and a move can be taken back by moving
 * back. */

import { ask } from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { say } from "./messages.js";
import { clock, km, signed } from "./words.js";

/** Milliseconds that a stop is held over a place before the server is asked about it. */
const PAUSE = 250;

export class Moving {
  constructor({ urls, day, changed }) {
    this.urls = urls;
    this.day = day;
    this.changed = changed;
    this.dragged = null;
    this.over = null;
  }

  // --- asking -------------------------------------------------------------------------------

  /** `to`: a route, or a vehicle without one; and the place, or null for the cheapest. */
  async asked(stop, { route, vehicle, departs_at, position }, dry, signal) {
    const when = waits(stop) ? { day: this.day().day, ...(departs_at ? { departs_at } : {}) } : {};
    const target = route ? { route: route.id } : { vehicle: vehicle.id, ...when };
    const body = { ...target, dry_run: dry, ...(position ? { position } : {}) };
    const url = waits(stop) ? this.urls.place(stop.shipment_id) : this.urls.move(stop.id);
    return (await ask(url, { body, signal })).data;
  }

  /** The verdict in words, and whether it may be done. Of a request that was given up: null. */
  async tried(stop, to, signal) {
    try {
      const move = await this.asked(stop, to, true, signal);
      if (move.faults.length) return { fine: false, text: refusal(move) };
      const all = km(this.day().totals.km + move.km_difference);
      return { fine: true, text: `Cost ${signed(move.cost_difference)}, ${signed(move.km_difference, 1)} km (${all} in all), as stop ${move.position}.` };
    } catch (failure) {
      if (failure.name === "AbortError") return null;
      return { fine: false, text: failure.message };
    }
  }

  // --- the dialog ---------------------------------------------------------------------------

  /** Where a stop may go: open routes of its departure, and vehicles without one; who waits, into
   * those of any departure. */
  targets(stop) {
    const day = this.day();
    const open = day.routes.filter((route) => route.open);
    const all = open.length ? [...new Set(open.map((route) => route.departs_at))].sort() : [null];
    const departures = waits(stop) ? all : [day.route.get(stop.route).departs_at];
    return departures.flatMap((departs_at) => this.targetsAt(stop, open.filter((route) => route.departs_at === departs_at), departs_at));
  }

  targetsAt(stop, routes, departs_at) {
    const busy = new Set(routes.map((route) => route.vehicle_id));
    const idle = this.day().vehicles.filter((vehicle) => vehicle.active && !busy.has(vehicle.id));
    const leaves = departs_at && waits(stop) ? `, departure ${clock(departs_at)}` : "";
    return [
      ...routes.map((route) => ({ key: route.id, route, name: `${route.label} · ${route.vehicle}${leaves}${route.id === stop.route ? " (its own)" : ""}` })),
      ...idle.map((vehicle) => ({ key: `vehicle ${vehicle.id} ${departs_at}`, vehicle, departs_at, name: `${vehicle.name}${leaves}, a new route` })),
    ];
  }

  dialog(stop, preset = null) {
    const targets = this.targets(stop);
    if (!targets.length) return say("No route of this day is open, and no vehicle is active.", { kind: "bad", key: "moved" });
    const first = targets.find(({ route }) => route && route === (preset?.route ?? nearest(stop, targets))) ?? targets[0];
    const routeField = h("select", { id: "plan-move-route" }, targets.map(({ key, name }) => h("option", { value: key, selected: key === first.key }, name)));
    const placeField = h("select", { id: "plan-move-place" });
    const verdict = h("p", { class: "plan-verdict", role: "status", "aria-live": "polite", id: "plan-verdict" });
    const content = h("div", { class: "plan-form" }, h("label", {}, "Route", routeField), h("label", {}, "Place", placeField), verdict);
    const to = () => ({ ...targets.find(({ key }) => key === routeField.value), position: Number(placeField.value) || null });
    let asking = null;
    const close = open(waits(stop) ? `Put ${stop.customer} into a route` : `Move stop ${stop.number}, ${stop.customer}`, content, {
      label: waits(stop) ? "Put it here" : "Move it here",
      act: (button) => this.apply(stop, to(), button, verdict, close),
      closed: () => asking?.abort(),
    });
    const look = async () => {
      asking?.abort();
      asking = new AbortController();
      const button = document.getElementById("plan-confirm");
      button.disabled = true;
      verdict.className = "plan-verdict";
      verdict.textContent = "Trying…";
      const found = await this.tried(stop, to(), asking.signal);
      if (!found) return;
      verdict.textContent = found.text;
      verdict.className = `plan-verdict ${found.fine ? "good" : "bad"}`;
      button.disabled = !found.fine;
    };
    const places = (chosen) => {
      placeField.replaceChildren(...placeOptions(to().route, stop));
      placeField.value = chosen ?? "";
    };
    places(preset?.position);
    routeField.addEventListener("change", () => (places(), look()));
    placeField.addEventListener("change", look);
    look();
  }

  async apply(stop, to, button, verdict, close) {
    const from = waits(stop) ? null : this.from(stop);
    button.disabled = true;
    try {
      const move = await this.asked(stop, to, false);
      close();
      this.told(stop, from && { ...from, position: move.was }, to, move);
    } catch (failure) {
      verdict.textContent = failure.message;
      verdict.className = "plan-verdict bad";
    }
    await this.changed();
  }

  from(stop) {
    const own = this.day().route.get(stop.route);
    // A route that loses its last stop is withdrawn: back means to its vehicle then.
    return { ...(own.stops.length > 1 ? { route: own } : { vehicle: own.vehicleRow }), name: own.vehicle };
  }

  told(stop, from, to, move) {
    say(`${stop.customer} is stop ${move.position} of ${(to.route?.vehicle ?? to.vehicle.name)} now: cost ${signed(move.cost_difference)}, ${signed(move.km_difference, 1)} km.`, {
      key: "moved",
      action: from && { label: "Undo", act: () => this.back(stop, from) },
    });
  }

  async back(stop, to) {
    try {
      await this.asked(stop, to, false);
      say(`${stop.customer} is back in ${to.name}.`, { key: "moved" });
    } catch (failure) {
      say(`It can't be moved back: ${failure.message}`, { kind: "bad", key: "moved" });
    }
    await this.changed();
  }

  // --- dragging -----------------------------------------------------------------------------

  drag(row, stop) {
    row.addEventListener("dragstart", (event) => {
      this.dragged = stop;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", stop.customer);
      row.classList.add("dragged");
    });
    row.addEventListener("dragend", () => {
      row.classList.remove("dragged");
      this.end();
    });
  }

  /** `where(event)`: {route, position}, with the row that shows the place, if there is one. */
  dropOn(element, where) {
    element.addEventListener("dragover", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      event.stopPropagation();
      this.hold(this.place(where(event)), element);
    });
    element.addEventListener("drop", (event) => {
      if (!this.dragged) return;
      event.preventDefault();
      event.stopPropagation();
      const [stop, to] = [this.dragged, this.place(where(event))];
      this.end();
      this.dialog(stop, to);
    });
  }

  // --- dragging on the map: to a route, where it costs least -----------------------------------

  carry(stop) {
    this.dragged = stop;
  }

  /** Its card is marked, if it is on the page. */
  holdOver(route, otherwise) {
    this.hold({ route, position: null }, document.querySelector(`[data-route="${route.id}"].plan-route`) ?? otherwise);
  }

  holdNowhere() {
    this.clear();
    hint().hidden = true;
  }

  /** Places are counted without the stop that moves. */
  place(to) {
    const own = to.route.id === this.dragged.route && to.position > this.dragged.number;
    return own ? { ...to, position: to.position - 1 } : to;
  }

  get dragging() {
    return this.dragged !== null;
  }

  hold(to, element) {
    const key = `${to.route.id} ${to.position}`;
    if (this.over === key) return;
    this.clear();
    this.over = key;
    (to.row ?? element).classList.add("drop-here", ...(to.below ? ["below"] : []));
    const box = hint();
    const title = `${this.dragged.customer} → ${to.route.vehicle}${to.position ? `, place ${to.position}` : ""}`;
    box.hidden = false;
    box.className = "plan-hint";
    box.replaceChildren(h("b", {}, title), h("span", {}, "…"));
    this.asking = new AbortController();
    const signal = this.asking.signal;
    this.timer = setTimeout(async () => {
      const found = await this.tried(this.dragged, to, signal);
      if (!found || this.over !== key) return;
      box.className = `plan-hint ${found.fine ? "good" : "bad"}`;
      box.lastChild.textContent = found.text;
    }, PAUSE);
  }

  clear() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.over = null;
    for (const row of document.querySelectorAll(".drop-here")) row.classList.remove("drop-here", "below");
  }

  end() {
    this.clear();
    this.dragged = null;
    hint().hidden = true;
  }
}

const hint = () => document.getElementById("plan-hint");

/** Whether it has no route yet. */
const waits = (stop) => stop.id === undefined;

/** The other route that comes nearest to a stop: there it is tried first. */
function nearest(stop, targets) {
  const narrow = Math.cos((stop.latitude * Math.PI) / 180);
  const far = (other) => Math.hypot(other.latitude - stop.latitude, (other.longitude - stop.longitude) * narrow);
  const others = targets.map(({ route }) => route).filter((route) => route && route.id !== stop.route);
  const least = (route) => Math.min(...route.stops.map(far));
  return others.reduce((best, route) => (best && least(best) <= least(route) ? best : route), null);
}

/** Places are counted without the stop that moves. */
function placeOptions(route, stop) {
  const rest = (route?.stops ?? []).filter((other) => other.id !== stop.id && other.state === "pending");
  return [
    h("option", { value: "" }, "where it costs least"),
    ...rest.map((before, index) => h("option", { value: index + 1 }, `${index + 1}: before ${before.customer}, ${clock(before.eta)}`)),
    h("option", { value: rest.length + 1 }, `${rest.length + 1}: last`),
  ];
}

/** Which rules a move would break. */
function refusal({ faults, km_difference }) {
  const more = faults.length > 3 ? `; and ${faults.length - 3} more` : "";
  return `It can't be moved there: ${faults.slice(0, 3).join("; ")}${more}. (${signed(km_difference, 1)} km)`;
}
