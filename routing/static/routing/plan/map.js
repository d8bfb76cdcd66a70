/** Promise: a thousand stops stay fluid (they are drawn on one canvas), and without a tile server
 * nothing is asked of any other host: land, borders and cities come from our own files. */

import { Carrying } from "./carrying.js";
import { clock, many, span } from "./words.js";
import { h } from "./dom.js";

const L = window.L;
const DIM = 0.18;
/** Who has no route. */
const STRANDED = "#b91c1c";
/** Labels of cities in view at once, and the pixels between two of them. */
const CITIES = 40;
/** A name that begins so near to the depot's sign would lie below it. */
const DEPOT = 24;
const APART = { x: 90, y: 26 };
/** From this zoom on there is room for numbers in the stops, of the selected route always. */
const NUMBERED = 12;

/** A stop: a circle with its number in it, where there is room. */
L.Canvas.include({
  _updateStop(layer) {
    this._updateCircle(layer);
    if (!this._drawing || layer._empty()) return;
    const { label, mark, size } = layer.options;
    const pen = this._ctx;
    pen.save();
    pen.globalAlpha = layer.options.fillOpacity;
    if (mark) {
      pen.beginPath();
      pen.arc(layer._point.x, layer._point.y, layer._radius + 3.5, 0, Math.PI * 2);
      pen.lineWidth = 2;
      pen.strokeStyle = mark;
      pen.stroke();
    }
    if (label) {
      pen.font = `600 ${size}px Inter, sans-serif`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillStyle = layer.options.ink;
      pen.fillText(label, layer._point.x, layer._point.y + 0.5);
    }
    pen.restore();
  },
});
const StopMarker = L.CircleMarker.extend({
  _updatePath() {
    this._renderer._updateStop(this);
  },
});

export class PlanMap {
  constructor(box, config, { select, linksOf, moving }) {
    Object.assign(this, { config, select, linksOf, moving });
    this.map = L.map(box, { preferCanvas: true, zoomSnap: 0.5, minZoom: 2, maxZoom: 18, worldCopyJump: true });
    this.map.attributionControl.setPrefix('<a href="https://leafletjs.com">Leaflet</a>');
    this.map.createPane("ground").style.zIndex = 150;
    this.map.createPane("names").style.zIndex = 250;
    this.map.getPane("names").style.pointerEvents = "none";
    this.map.createPane("earlier").style.zIndex = 380;
    this.canvas = L.canvas({ padding: 0.3, tolerance: 6 });
    this.lines = new Map();
    this.stops = new Map();
    this.stranded = new Map();
    this.carrying = new Carrying(this.map, { moving, stops: this.stops, renderer: this.canvas, open: (stop) => this.openRoute(stop) });
    this.drawn = L.layerGroup().addTo(this.map);
    this.earlier = L.layerGroup().addTo(this.map);
    this.fitted = false;
    this.map.on("zoomend", () => this.shade());
    L.Control.Fit = L.Control.extend({ onAdd: () => this.fitButton() });
    new L.Control.Fit({ position: "topleft" }).addTo(this.map);
    this.ground();
    new MutationObserver(() => this.recolour()).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    new ResizeObserver(() => this.map.invalidateSize()).observe(box);
  }

  get dark() {
    return document.documentElement.classList.contains("dark");
  }

  fitButton() {
    const button = h("button", { type: "button", class: "plan-fit", title: "Show all routes", "aria-label": "Show all routes" }, "⤢");
    L.DomEvent.disableClickPropagation(button);
    button.addEventListener("click", () => this.fit());
    return button;
  }

  // --- what it is drawn on ------------------------------------------------------------------

  ground() {
    const { tiles, attribution } = this.config;
    if (tiles) {
      // Public tile servers want to know which page asks.
      L.tileLayer(tiles, { attribution, maxZoom: 19, referrerPolicy: "strict-origin-when-cross-origin" }).addTo(this.map);
      return;
    }
    this.map.attributionControl.addAttribution("Natural Earth");
    this.map.attributionControl.addAttribution("cities © GeoNames, CC BY 4.0");
    this.outlines();
    this.cities();
  }

  async outlines() {
    const features = await file(this.config.urls.outlines);
    if (!features) return;
    const canvas = L.canvas({ pane: "ground", padding: 0.3 });
    this.land = L.geoJSON(features, { renderer: canvas, pane: "ground", interactive: false, style: (feature) => this.groundStyle(feature) }).addTo(this.map);
  }

  groundStyle(feature) {
    if (feature.properties.kind === "border") return { color: this.dark ? "#475569" : "#a8a29e", weight: 1, fill: false };
    return { color: this.dark ? "#334155" : "#b8c4c8", weight: 0.8, fillColor: this.dark ? "#182230" : "#f7f5ef", fillOpacity: 1 };
  }

  async cities() {
    this.places = (await file(this.config.urls.cities)) ?? [];
    this.names = L.layerGroup().addTo(this.map);
    this.map.on("moveend", () => this.nameCities());
    if (this.fitted) this.nameCities();
  }

  /** The largest in view that leave each other room. */
  nameCities() {
    const view = this.map.getBounds().pad(0.1);
    const taken = [];
    const depot = this.day && this.map.latLngToContainerPoint([this.day.place.latitude, this.day.place.longitude]);
    this.names.clearLayers();
    for (const [name, latitude, longitude] of this.places) {
      if (taken.length >= CITIES) break;
      if (!view.contains([latitude, longitude])) continue;
      const at = this.map.latLngToContainerPoint([latitude, longitude]);
      if (depot && depot.distanceTo(at) < DEPOT) continue;
      if (taken.some((other) => Math.abs(other.x - at.x) < APART.x && Math.abs(other.y - at.y) < APART.y)) continue;
      taken.push(at);
      const label = h("span", {}, name);
      L.marker([latitude, longitude], { pane: "names", interactive: false, keyboard: false, icon: L.divIcon({ className: "plan-city", html: label, iconSize: null }) }).addTo(this.names);
    }
  }

  recolour() {
    this.land?.setStyle((feature) => this.groundStyle(feature));
    this.shade();
  }

  // --- routes -------------------------------------------------------------------------------

  draw(day, view) {
    this.day = day;
    this.view = view;
    const opened = this.opened;
    this.drawn.clearLayers();
    this.lines.clear();
    this.stops.clear();
    this.stranded.clear();
    for (const route of day.routes) this.drawRoute(route);
    this.depot(day.place, "Depot");
    for (const end of new Map(day.routes.map((route) => [route.end.code, route.end])).values())
      if (end.code !== day.place.code) this.depot(end, "Tours end at");
    this.unserved(day.unplanned);
    this.shade();
    if (!this.fitted) this.fit();
    if (opened) (this.stops.get(opened) ?? this.stranded.get(opened))?.openPopup();
  }

  drawRoute(route) {
    const home = [this.day.place.latitude, this.day.place.longitude];
    const way = [home, ...route.stops.map(at), [route.end.latitude, route.end.longitude]];
    const line = L.polyline(way, { renderer: this.canvas, color: route.colour, weight: 3, dashArray: route.dash, bubblingMouseEvents: false });
    line.bindTooltip(() => tip(`${route.label} · ${route.vehicle}`, many(route.stops.length, "stop")), { sticky: true });
    line.on("click", () => this.select(route.id));
    line.on("mouseover", () => this.view.hover(route.id));
    line.on("mouseout", () => this.view.hover(null));
    this.lines.set(route.id, line.addTo(this.drawn));
    for (const stop of route.stops) this.drawStop(route, stop);
  }

  drawStop(route, stop) {
    const marker = new StopMarker(at(stop), { renderer: this.canvas, color: "#fff", weight: 1, bubblingMouseEvents: false });
    marker.bindTooltip(() => tip(`${route.label}·${stop.number} ${stop.customer}`, clock(stop.ended_at ?? stop.eta)));
    marker.bindPopup(() => this.popup(route, stop), this.popupOptions());
    this.remember(marker, stop.id);
    marker.on("click", () => this.select(route.id, stop.id));
    if (this.movable(route, stop)) marker.on("mousedown", (event) => this.carrying.lift(stop, marker, event, route.colour));
    this.stops.set(stop.id, marker.addTo(this.drawn));
  }

  /** A popup that is open stays so when the day is drawn anew. */
  remember(marker, id) {
    marker.on("popupopen", () => (this.opened = id));
    marker.on("popupclose", () => (this.opened = null));
  }

  /** Beside the buttons of the map, also where that is narrow. */
  popupOptions() {
    const wide = this.map.getSize().x;
    return { maxWidth: Math.max(180, Math.min(300, wide - 110)), autoPanPaddingTopLeft: [56, 8], autoPanPaddingBottomRight: [8, 8] };
  }

  popup(route, stop) {
    return h(
      "div",
      { class: "plan-popup" },
      h("strong", {}, stop.customer),
      h("div", {}, stop.address),
      h("dl", {}, ...facts(route, stop, this.day.day).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      this.linksOf(stop),
      route.state === "planned" && route.frozen && h("div", { class: "plan-quiet" }, "The route is frozen: thaw it to move the stop."),
      this.movable(route, stop) && h("button", { type: "button", class: "plan-small", on: { click: () => this.moving.dialog(stop) } }, "Move…"),
    );
  }

  movable(route, stop) {
    return this.config.mayChange && route.open && stop.state === "pending";
  }

  /** The route of a stop, if it takes others. */
  openRoute(id) {
    const route = this.day.route.get(this.day.stop.get(id)?.route);
    return route?.open ? route : null;
  }

  depot(place, what) {
    const icon = L.divIcon({ className: "plan-depot", html: h("span", { class: "material-symbols-outlined", "aria-hidden": "true" }, "warehouse"), iconSize: [30, 30] });
    const marker = L.marker([place.latitude, place.longitude], { icon, alt: `${what} ${place.code}`, zIndexOffset: 1000, keyboard: false });
    marker.bindTooltip(() => tip(`${what} ${place.code}`, place.name)).addTo(this.drawn);
  }

  unserved(shipments) {
    for (const shipment of shipments) {
      const marker = L.circleMarker(at(shipment), { renderer: this.canvas, radius: 5, color: STRANDED, weight: 2, fill: true, fillColor: "#fff", fillOpacity: 0.9, dashArray: "2 2", bubblingMouseEvents: false });
      const why = shipment.reason || "waits for the next plan";
      marker.bindTooltip(() => tip(`Without a route: ${shipment.customer}`, why));
      marker.bindPopup(() => this.popupOfUnserved(shipment, why), this.popupOptions());
      this.remember(marker, shipment.shipment_id);
      if (this.config.mayChange) marker.on("mousedown", (event) => this.carrying.lift(shipment, marker, event, STRANDED));
      this.stranded.set(shipment.shipment_id, marker.addTo(this.drawn));
    }
  }

  popupOfUnserved(shipment, why) {
    return h(
      "div",
      { class: "plan-popup" },
      h("strong", {}, shipment.customer),
      h("div", {}, shipment.address),
      h("p", {}, `Without a route: ${why}`),
      this.linksOf(shipment),
      this.config.mayChange && h("button", { type: "button", class: "plan-small", on: { click: () => this.moving.dialog(shipment) } }, "Put into a route…"),
    );
  }

  /** One that has no route. */
  showUnserved(shipment) {
    this.point(this.stranded.get(shipment.shipment_id));
  }

  /** What is selected, hovered or searched for stands out; the rest is still there. */
  shade() {
    if (!this.day) return;
    const { selected, hovered, found } = this.view;
    const focus = hovered ?? selected;
    const room = this.map.getZoom() >= NUMBERED || this.day.totals.stops <= 60;
    for (const route of this.day.routes) {
      const stands = (!focus || route.id === focus) && (!found || found.routes.has(route.id));
      this.lines.get(route.id).setStyle({ opacity: stands ? 0.9 : DIM, weight: route.id === focus ? 5 : 3 });
      for (const stop of route.stops) this.shadeStop(route, stop, stands && (!found || found.stops.has(stop.id)), room || route.id === focus);
    }
    if (focus) this.lines.get(focus)?.bringToFront();
    if (focus) for (const stop of this.day.route.get(focus)?.stops ?? []) this.stops.get(stop.id).bringToFront();
  }

  shadeStop(route, stop, stands, numbered) {
    const ended = stop.state !== "pending";
    const marker = this.stops.get(stop.id);
    Object.assign(marker.options, {
      label: numbered && stands ? (stop.state === "failed" ? "✕" : String(stop.number)) : "",
      size: stop.number > 99 ? 8 : 9.5,
      ink: ended && stop.state !== "failed" ? (this.dark ? "#e5e7eb" : "#374151") : ended ? "#fff" : route.ink,
      mark: stop.late ? "#dc2626" : null,
    });
    marker.setRadius(numbered && stands ? 8.5 : 4.5);
    marker.setStyle({
      color: ended ? route.colour : this.dark ? "#18181b" : "#fff",
      weight: ended ? 1.5 : 1,
      fillColor: stop.state === "failed" ? "#b91c1c" : ended ? (this.dark ? "#27272a" : "#fff") : route.colour,
      fillOpacity: stands ? 1 : DIM,
      opacity: stands ? 1 : DIM,
    });
  }

  fit() {
    const points = [[this.day.place.latitude, this.day.place.longitude], ...this.day.routes.flatMap((route) => route.stops.map(at))];
    if (points.length === 1) points.push(...this.day.unplanned.map(at));
    this.fitted = true;
    this.map.fitBounds(L.latLngBounds(points), { padding: [24, 24], maxZoom: 13, animate: false });
    if (this.names) this.nameCities();
  }

  /** All of one route. */
  frame(route) {
    this.map.fitBounds(this.lines.get(route.id).getBounds(), { padding: [30, 30], maxZoom: 15 });
  }

  show(stop) {
    this.point(this.stops.get(stop.id));
  }

  point(marker) {
    if (!this.map.getBounds().pad(-0.1).contains(marker.getLatLng())) this.map.panTo(marker.getLatLng());
    marker.openPopup();
  }

  /** The ways of an earlier version, dashed below those of now; none to take them away. */
  drawEarlier(ways) {
    this.earlier.clearLayers();
    const canvas = (this.earlierCanvas ??= L.canvas({ pane: "earlier", padding: 0.3 }));
    const home = [this.day.place.latitude, this.day.place.longitude];
    for (const { name, points } of ways) {
      const line = L.polyline([home, ...points, home], { renderer: canvas, pane: "earlier", color: this.dark ? "#e5e7eb" : "#111827", weight: 2, opacity: 0.7, dashArray: "3 8", interactive: false });
      line.options.name = name;
      line.addTo(this.earlier);
    }
  }
}

const at = (place) => [place.latitude, place.longitude];

function tip(title, text) {
  return h("div", {}, h("b", {}, title), text ? h("div", {}, text) : null);
}

/** [name, value] of a stop, for whoever asks. */
export function facts(route, stop, day) {
  const state = stop.state === "pending" ? (stop.overdue ? "overdue" : stop.late ? "will be late" : "pending") : `${stop.state} ${clock(stop.ended_at)}`;
  return [
    ["Stop", `${stop.number} of ${route.stops.length}, ${route.vehicle}`],
    ["ETA", clock(stop.eta)],
    ["Window", span(stop.window_from, stop.window_until, day)],
    ["Load", `${stop.items} items, ${stop.weight_kg.toFixed(1)} kg, ${stop.volume_m3.toFixed(2)} m³`],
    ...(stop.goods.length ? [["Goods", stop.goods.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(", ")]] : []),
    ["State", stop.recalled ? `${state}; recalled: bring it back` : state],
    ...(stop.reason ? [["Reason", stop.reason]] : []),
    ...(stop.proof_name ? [["Taken by", stop.proof_name]] : []),
  ];
}

/** A file of our own; null when it can't be had: the routes are drawn all the same. */
async function file(url) {
  try {
    const answer = await fetch(url);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
