/** Promise: the page shows the day as it stands, at most some seconds old while somebody looks; what
 * a person does to it goes to the API, and what comes of it is shown, also when it is refused. */

import { ask } from "./api.js";
import { Comparing } from "./comparing.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { drawList, shade } from "./list.js";
import { PlanMap } from "./map.js";
import { say, unsay } from "./messages.js";
import { dayOf, matches } from "./model.js";
import { Moving } from "./moving.js";
import { drawAlerts, drawTotals, drawUnserved } from "./panels.js";
import { Timeline } from "./timeline.js";
import { clock, many, useZone } from "./words.js";

/** Milliseconds between two looks: usually, and while the planner is at work. */
const LOOK = 15_000;
const LOOK_AT_RUN = 2_000;
/** After so many milliseconds a plan that was asked for and has not begun is worth a word. */
const NOBODY_PLANS = 30_000;

const $ = (id) => document.getElementById(id);

class Page {
  constructor() {
    const config = JSON.parse($("plan-config").textContent);
    const keyed = (name) => (key) => config.urls[name].replace(config.any, encodeURIComponent(key));
    this.config = config;
    this.urls = {
      ...config.urls,
      ...Object.fromEntries(["move", "place", "freeze", "thaw", "dispatch", "seen", "shipment", "route", "drive"].map((name) => [name, keyed(name)])),
      compare: (now, before) => config.urls.compare.replace("plans/0/against/0/", `plans/${now}/against/${before}/`),
    };
    this.view = { selected: null, hovered: null, found: null, expanded: new Set(), hover: (id) => this.hover(id) };
    this.query = "";
    this.etag = null;
    this.day = null;
    this.askedAt = null;
  }

  start() {
    const linksOf = (stop) => this.linksOf(stop);
    const select = (route, stop) => this.select(route, stop);
    this.moving = new Moving({ urls: this.urls, day: () => this.day, changed: () => this.look() });
    this.map = new PlanMap($("plan-map"), this.config, { select, linksOf, moving: this.moving });
    this.timeline = new Timeline($("plan-timeline"), { select, hover: this.view.hover });
    this.comparing = new Comparing($("plan-comparison"), { urls: this.urls, day: () => this.day, map: this.map, failed: (failure) => this.failed(failure) });
    this.act = {
      urls: this.urls,
      mayChange: this.config.mayChange,
      select,
      hover: this.view.hover,
      show: (route) => this.frame(route),
      showUnserved: (row) => this.showUnserved(row),
      linksOf,
      toggle: (id) => this.toggle(id),
      move: (stop) => this.moving.dialog(stop),
      drag: (row, stop) => this.moving.drag(row, stop),
      dropOn: (element, where) => this.moving.dropOn(element, where),
      freeze: (route) => this.freeze(route),
      dispatch: (route) => this.dispatch(route),
    };
    for (const name of ["plan-depot", "plan-day"]) $(name).addEventListener("change", (event) => window.location.assign(event.target.value));
    $("plan-search").addEventListener("input", (event) => this.search(event.target.value));
    $("plan-compare").addEventListener("click", (event) => this.comparing.toggle(event.currentTarget));
    $("plan-now")?.addEventListener("click", () => this.planNow());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.look());
    this.look();
  }

  // --- looking ------------------------------------------------------------------------------

  /** Read the day and draw it, if it has changed. */
  async look() {
    clearTimeout(this.timer);
    try {
      const { status, data, etag } = await ask(this.urls.day, { etag: this.etag });
      unsay("look");
      if (status !== 304) {
        this.etag = etag;
        this.told = data;
        this.stale = true;
      }
      if (this.told && !this.moving.dragging) this.draw();
    } catch (failure) {
      this.lost(failure);
    }
    this.timer = setTimeout(() => (document.visibilityState === "visible" ? this.look() : null), this.running ? LOOK_AT_RUN : LOOK);
  }

  /** What is on the page stays, with the time of which it is. */
  lost(failure) {
    const kept = this.day ? ` What is shown is of ${clock(this.lookedAt)}; it is tried again.` : " It is tried again.";
    const login = { label: "Log in", act: () => window.location.assign(this.urls.login) };
    say(failure.message + kept, { kind: "bad", key: "look", action: [401, 403].includes(failure.status) ? login : null });
  }

  get running() {
    return Boolean(this.told?.asked || this.told?.run?.state === "running");
  }

  draw() {
    const first = !this.day;
    const late = this.day?.totals.late;
    this.lookedAt = Date.now();
    if (first) useZone(this.told.place.time_zone);
    this.day = dayOf(this.told, this.config.lateMinutes);
    this.run();
    if (!this.stale && this.day.totals.late === late) return;
    this.stale = false;
    if (!this.day.route.has(this.view.selected)) this.view.selected = null;
    if (first && this.day.routes.length === 1) this.view.expanded.add(this.day.routes[0].id);
    this.find();
    drawTotals($("plan-totals"), this.day);
    drawAlerts($("plan-alerts"), this.day, { urls: this.urls, mayChange: this.config.mayChange, seen: (alert) => this.seen(alert), show: (route, stop) => this.select(route, stop) });
    this.drawFound();
    this.map.draw(this.day, this.view);
    this.timeline.draw(this.day, this.view);
    if (this.comparing.open && !first) this.comparing.show();
    document.documentElement.dataset.plan = String(this.day.version);
  }

  drawFound() {
    drawList($("plan-list"), this.day, this.view, this.act);
    drawUnserved($("plan-unserved"), this.day, this.view, this.act);
  }

  linksOf({ shipment_id, order_id, correlation_id }) {
    return h(
      "div",
      { class: "plan-links" },
      this.config.urls.shipment && h("a", { href: this.urls.shipment(shipment_id) }, "Shipment"),
      this.config.urls.journey && h("a", { href: `${this.config.urls.journey}?q=${encodeURIComponent(correlation_id || order_id)}` }, "Order’s journey"),
    );
  }

  // --- choosing -----------------------------------------------------------------------------

  select(route, stop = null) {
    this.view.selected = this.view.selected === route && !stop ? null : route;
    if (this.view.selected) this.view.expanded.add(route);
    drawList($("plan-list"), this.day, this.view, this.act);
    this.shade();
    const row = document.querySelector(stop ? `[data-stop="${stop}"].plan-stop` : `[data-route="${route}"].plan-route`);
    if (row && this.view.selected) within(row, $("plan-list"));
    for (const old of document.querySelectorAll(".plan-stop.chosen")) old.classList.remove("chosen");
    if (stop) row?.classList.add("chosen");
    if (stop) this.map.show(this.day.stop.get(stop));
  }

  showUnserved(shipment) {
    this.map.showUnserved(shipment);
    $("plan-map").scrollIntoView({ block: "center" });
  }

  /** A route alone, on a map that it fills. */
  frame(route) {
    this.view.selected = null;
    this.select(route.id);
    this.map.frame(route);
    if (window.innerWidth < 1024) $("plan-map").scrollIntoView({ block: "center" });
  }

  toggle(id) {
    const { expanded } = this.view;
    if (!expanded.delete(id)) expanded.add(id);
    this.view.selected = expanded.has(id) ? id : null;
    drawList($("plan-list"), this.day, this.view, this.act);
    this.shade();
  }

  hover(id) {
    if (this.view.hovered === id) return;
    this.view.hovered = id;
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.shade());
  }

  shade() {
    shade($("plan-list"), this.view);
    this.map.shade();
    this.timeline.shade();
  }

  search(text) {
    this.query = text.trim().toLowerCase();
    if (!this.day) return;
    this.find();
    this.drawFound();
    this.shade();
  }

  find() {
    if (!this.query) {
      this.view.found = null;
      return;
    }
    const stops = [...this.day.stop.values()].filter((stop) => matches(stop, this.query));
    const unplanned = this.day.unplanned.filter((shipment) => matches(shipment, this.query));
    this.view.found = {
      stops: new Set(stops.map((stop) => stop.id)),
      routes: new Set([...stops.map((stop) => stop.route), ...this.day.routes.filter((route) => route.vehicle.toLowerCase().includes(this.query)).map((route) => route.id)]),
      unplanned: new Set(unplanned.map((shipment) => shipment.shipment_id)),
    };
    for (const route of this.day.routes)
      if (route.vehicle.toLowerCase().includes(this.query)) for (const stop of route.stops) this.view.found.stops.add(stop.id);
  }

  // --- doing --------------------------------------------------------------------------------

  failed(failure) {
    say(failure.message, { kind: "bad" });
  }

  async seen(alert) {
    await this.done(this.urls.seen(alert.id), null);
  }

  async freeze(route) {
    const [url, text] = route.frozen
      ? [this.urls.thaw(route.id), `Planning may change ${route.vehicle} again.`]
      : [this.urls.freeze(route.id), `${route.vehicle} is frozen: planning leaves it as it is.`];
    await this.done(url, text);
  }

  dispatch(route) {
    const pending = route.stops.filter((stop) => stop.state === "pending").length;
    const leaves = `${route.vehicle} leaves with ${many(pending, "stop")}, planned for ${clock(route.starts_at)}.`;
    const text = h("div", {}, h("p", {}, leaves), h("p", { class: "plan-quiet" }, "Customers are told, and the route no longer changes. This can't be taken back."));
    const close = open(`Dispatch ${route.vehicle}?`, text, {
      label: `Dispatch ${route.vehicle}, ${many(pending, "stop")}`,
      act: async (button) => {
        button.disabled = true;
        await this.done(this.urls.dispatch(route.id), `${route.vehicle} has left with ${many(pending, "stop")}.`);
        close();
      },
    });
  }

  async done(url, text) {
    try {
      await ask(url, { body: {} });
      if (text) say(text);
    } catch (failure) {
      this.failed(failure);
    }
    await this.look();
  }

  // --- a run of the planner -----------------------------------------------------------------

  async planNow() {
    try {
      await ask(this.urls.plan, { body: { wait: false } });
      this.askedAt = Date.now();
      this.awaited = this.told?.run?.id ?? 0;
    } catch (failure) {
      this.failed(failure);
    }
    await this.look();
  }

  /** What the planner does, and what came of the run that was asked for here. */
  run() {
    const { run, asked } = this.told;
    const button = $("plan-now");
    if (button) button.disabled = this.running;
    if (run?.state === "running") say(`The planner is at work (${run.trigger}) since ${clock(run.started_at)}.`, { kind: "busy", key: "run" });
    else if (asked) say(this.waitingLong ? "A plan was asked for, but no planner has begun it: are beat and the planning worker running? It is made as soon as they are." : "A plan was asked for; the planner begins it in a moment.", { kind: this.waitingLong ? "bad" : "busy", key: "run" });
    else this.ended(run);
  }

  get waitingLong() {
    return this.askedAt !== null && Date.now() - this.askedAt > NOBODY_PLANS;
  }

  ended(run) {
    unsay("run");
    if (this.askedAt === null || !run || run.id <= this.awaited) return;
    this.askedAt = null;
    if (run.state === "failed") say(`The plan run failed: ${run.error}`, { kind: "bad" });
    else say(`Planned: ${run.planned} new, ${run.moved} moved, ${run.fell_out} fell out, ${run.unplanned} without a route${run.cut_short ? "; time was up, the next run goes on" : ""}.`);
  }
}

/** Scroll a list, not the page, so that a row is seen. */
function within(row, list) {
  const [inner, outer] = [row.getBoundingClientRect(), list.getBoundingClientRect()];
  if (inner.top < outer.top || inner.top > outer.bottom - 40) list.scrollTop += inner.top - outer.top - 8;
}

const page = new Page();
page.start();
