/** Promise: of every vehicle one sees at a glance when it drives, waits and serves, and whether its
 * stops lie in their windows; the same is there in words. */

import { h, replace, svg } from "./dom.js";
import { badge } from "./list.js";
import { clock, hours, many, span } from "./words.js";

const ROW = 34;
const LEAST = 640;
const HOUR = 3_600_000;

export class Timeline {
  constructor(box, { select, hover }) {
    this.box = box;
    this.select = select;
    this.hover = hover;
    this.tip = h("div", { class: "plan-tip", hidden: true });
    document.body.append(this.tip);
    new ResizeObserver(() => this.width !== this.room() && this.day && this.draw(this.day, this.view)).observe(box);
    setInterval(() => this.now(), 60_000);
  }

  room() {
    return Math.max(LEAST, this.box.clientWidth - 150);
  }

  draw(day, view) {
    this.day = day;
    this.view = view;
    const rows = this.rows();
    if (!rows.length) {
      replace(this.box);
      return;
    }
    this.width = this.room();
    this.range(rows);
    replace(
      this.box,
      h("h2", {}, "Timeline"),
      h("div", { class: "plan-legend", "aria-hidden": "true" }, ...["shift", "driving", "waiting", "service", "window"].map((name) => h("span", { class: `key-${name}` }, name))),
      h("div", { class: "plan-time-scroll" }, h("div", { class: "plan-time-names" }, h("div", { class: "plan-time-axis" }), rows.map((row) => this.name(row))), this.drawing(rows)),
    );
    this.shade();
    this.begin();
  }

  /** Where it is narrow, the first tour is what one sees first. */
  begin() {
    if (this.begun) return;
    this.begun = true;
    const first = Math.min(...this.day.routes.map((route) => Date.parse(route.starts_at)));
    this.box.querySelector(".plan-time-scroll").scrollLeft = this.x(first) - 30;
  }

  /** Vehicles that drive on this day, each with its routes; and those that could. */
  rows() {
    const rows = this.day.vehicles.map((vehicle) => ({ vehicle, routes: this.day.routes.filter((route) => route.vehicle_id === vehicle.id) }));
    const busy = rows.filter((row) => row.routes.length);
    this.idle = rows.length - busy.length;
    return busy;
  }

  range(rows) {
    const moments = rows.flatMap(({ routes }) => routes.flatMap((route) => [Date.parse(route.starts_at), Date.parse(route.ends_at)]));
    const shifts = rows.flatMap(({ vehicle }) => [Date.parse(vehicle.shift_from), Date.parse(vehicle.shift_until)]);
    const first = Math.min(...moments, ...shifts);
    const last = Math.max(...moments, ...shifts.filter((shift) => shift < Math.max(...moments) + 12 * HOUR));
    this.from = Math.floor(first / HOUR) * HOUR;
    this.until = Math.ceil(last / HOUR) * HOUR;
  }

  x(moment) {
    const at = typeof moment === "number" ? moment : Date.parse(moment);
    return Math.min(1, Math.max(0, (at - this.from) / (this.until - this.from))) * this.width;
  }

  name({ vehicle, routes }) {
    const [route] = routes;
    return h(
      "button",
      { type: "button", class: "plan-time-name", "data-focus": `time-${vehicle.id}`, "aria-label": inWords(vehicle, routes), on: { click: () => this.select(route.id), mouseenter: () => this.hover(route.id), mouseleave: () => this.hover(null) } },
      routes.map(badge),
      h("span", {}, vehicle.name),
    );
  }

  drawing(rows) {
    const height = (rows.length + 1) * ROW;
    const picture = svg(
      "svg",
      { width: this.width, height, viewBox: `0 0 ${this.width} ${height}`, role: "img", "aria-label": `Driving, waiting and service of ${many(rows.length, "vehicle")}; the rows' names say it in words.` },
      hatch(),
      this.axis(height),
      rows.map((row, index) => this.row(row, (index + 1) * ROW)),
      svg("line", { class: "now", y1: ROW - 12, y2: height }),
    );
    picture.addEventListener("mousemove", (event) => this.point(event));
    picture.addEventListener("mouseleave", () => this.leave());
    picture.addEventListener("click", (event) => this.press(event));
    this.picture = picture;
    this.now();
    return picture;
  }

  axis(height) {
    const all = (this.until - this.from) / HOUR;
    const step = [1, 2, 3, 6, 12, 24].find((hours_) => (this.width / all) * hours_ >= 56) ?? 24;
    const marks = [];
    for (let at = this.from; at <= this.until; at += step * HOUR) {
      const x = this.x(at);
      const anchor = at === this.from ? "start" : at >= this.until ? "end" : "middle";
      marks.push(svg("line", { class: "grid", x1: x, x2: x, y1: ROW - 10, y2: height }), svg("text", { x, y: ROW - 15, "text-anchor": anchor }, clock(at)));
    }
    return svg("g", { class: "axis" }, marks);
  }

  row({ vehicle, routes }, top) {
    const [from, until] = [this.x(vehicle.shift_from), this.x(vehicle.shift_until)];
    return svg("g", {}, svg("rect", { class: "shift", x: from, y: top + 5, width: Math.max(0, until - from), height: ROW - 10, rx: 3 }), routes.map((route) => this.tour(route, top)));
  }

  tour(route, top) {
    const [drives, waits, windows, stops] = [[], [], [], []];
    const middle = top + ROW / 2 - 2;
    let moment = Date.parse(route.starts_at);
    for (const stop of route.stops) {
      const begins = Date.parse(stop.eta);
      drives.push(`M${this.x(moment)} ${middle}H${this.x(moment + stop.drive_s * 1000)}`);
      if (stop.wait_s > 0) waits.push(this.waiting(begins - stop.wait_s * 1000, begins, middle));
      moment = begins + stop.service_s * 1000;
      stops.push(this.service(route, stop, begins, moment, middle));
      if (stop.window_from || stop.window_until) windows.push(`M${this.x(stop.window_from ?? this.from)} ${top + ROW - 7}H${this.x(stop.window_until ?? this.until)}`);
    }
    drives.push(`M${this.x(moment)} ${middle}H${this.x(route.ends_at)}`);
    return svg("g", { class: "tour", "data-route": route.id, style: `--route: ${route.colour}` }, svg("path", { class: "windows", d: windows.join("") }), svg("path", { class: "drive", d: drives.join(""), "stroke-dasharray": route.dash }), waits, stops);
  }

  waiting(from, until, middle) {
    return svg("rect", { class: "wait", x: this.x(from), y: middle - 4, width: Math.max(1, this.x(until) - this.x(from)), height: 8 });
  }

  service(route, stop, from, until, middle) {
    const x = this.x(from);
    return svg("rect", { class: `service ${stop.state}${stop.late ? " late" : ""}`, "data-stop": stop.id, x, y: middle - 8, width: Math.max(2.5, this.x(until) - x), height: 16, rx: 1 });
  }

  /** The minute it is, if it lies in the picture. */
  now() {
    const line = this.picture?.querySelector(".now");
    if (!line) return;
    const shows = Date.now() >= this.from && Date.now() <= this.until;
    line.style.display = shows ? "" : "none";
    line.setAttribute("x1", this.x(Date.now()));
    line.setAttribute("x2", this.x(Date.now()));
  }

  shade() {
    const focus = this.view.hovered ?? this.view.selected;
    for (const tour of this.box.querySelectorAll(".tour")) tour.classList.toggle("dim", Boolean(focus) && tour.dataset.route !== focus);
  }

  // --- pointing -----------------------------------------------------------------------------

  point(event) {
    const stop = this.day.stop.get(event.target.dataset.stop);
    const route = this.day.route.get(event.target.closest(".tour")?.dataset.route);
    this.hover(route?.id ?? null);
    this.tip.hidden = !route;
    this.box.querySelector(".window-of")?.remove();
    if (!route) return;
    this.tip.replaceChildren(...(stop ? this.ofStop(route, stop) : [h("b", {}, `${route.label} · ${route.vehicle}`), h("div", {}, inWords(route.vehicleRow, [route]))]));
    if (stop) this.mark(event.target, stop);
    const right = event.clientX + 290 > window.innerWidth;
    this.tip.style.left = `${event.clientX + (right ? -12 : 14) + window.scrollX}px`;
    this.tip.style.transform = right ? "translateX(-100%)" : "";
    this.tip.style.top = `${event.clientY + 16 + window.scrollY}px`;
  }

  ofStop(route, stop) {
    return [
      h("b", {}, `${route.label}·${stop.number} ${stop.customer}`),
      h("div", {}, `${clock(stop.eta)} · window ${span(stop.window_from, stop.window_until, this.day.day)}`),
      h("div", {}, `${hours(stop.drive_s)} on the road${stop.wait_s > 59 ? `, ${hours(stop.wait_s)} waiting` : ""}, ${hours(stop.service_s)} service`),
      h("div", {}, stop.state === "pending" ? (stop.late ? "late" : "pending") : `${stop.state} ${clock(stop.ended_at)}`),
    ];
  }

  mark(target, stop) {
    if (!stop.window_from && !stop.window_until) return;
    const [from, until] = [this.x(stop.window_from ?? this.from), this.x(stop.window_until ?? this.until)];
    target.before(svg("rect", { class: "window-of", x: from, width: Math.max(1, until - from), y: Number(target.getAttribute("y")) - 3, height: 22 }));
  }

  leave() {
    this.tip.hidden = true;
    this.box.querySelector(".window-of")?.remove();
    this.hover(null);
  }

  press(event) {
    const route = event.target.closest(".tour")?.dataset.route;
    if (route) this.select(route, event.target.dataset.stop);
  }
}

function hatch() {
  return svg("defs", {}, svg("pattern", { id: "plan-hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("line", { x1: 0, y1: 0, x2: 0, y2: 5, class: "hatch" })));
}

function inWords(vehicle, routes) {
  const shift = vehicle ? ` Shift ${clock(vehicle.shift_from)} to ${clock(vehicle.shift_until)}.` : "";
  const rest = vehicle?.break_minutes ? ` ${vehicle.break_minutes} min break from ${vehicle.break_earliest.slice(0, 5)} to ${vehicle.break_latest.slice(0, 5)}.` : "";
  const tours = routes.map(
    (route) => `${clock(route.starts_at)} to ${clock(route.ends_at)}: ${many(route.stops.length, "stop")}, ${hours(route.drive)} on the road, ${hours(route.wait)} waiting, ${hours(route.service)} service${route.late ? `, ${route.late} late` : ""}.`,
  );
  return `${vehicle?.name ?? ""} ${tours.join(" ")}${shift}${rest}`.trim();
}
