/** Promise: of any two versions of the day one sees who came, fell out, was moved or has another
 * time, and what it costs, in words and on the map. */

import { ask } from "./api.js";
import { h, replace } from "./dom.js";
import { clock, dated, many, signed } from "./words.js";

/** Rows of the table at first. */
const SHOWN = 100;

export class Comparing {
  constructor(box, { urls, day, map, failed }) {
    Object.assign(this, { box, urls, day, map, failed });
    this.now = null;
    this.before = null;
  }

  get open() {
    return !this.box.hidden;
  }

  async toggle(button) {
    this.box.hidden = this.open;
    button.setAttribute("aria-expanded", String(this.open));
    if (this.open) await this.show();
    else this.map.drawEarlier([]);
  }

  /** After a change of the day: of the newest versions, unless others were chosen. */
  async show() {
    const versions = this.day().versions;
    if (versions.length < 2) {
      replace(this.box, h("h2", {}, "Compare"), h("p", { class: "plan-quiet" }, versions.length ? `This is the first version of the day's plan (${versions[0].why}); there is nothing to compare it with yet.` : "This day has no plan yet."));
      return;
    }
    const now = versions.find((version) => version.id === this.now) ?? versions[0];
    const others = versions.filter((version) => version.departs_at === now.departs_at && version.id !== now.id);
    const before = others.find((version) => version.id === this.before) ?? others.find((version) => version.version < now.version) ?? others[0];
    if (!before) {
      this.draw(versions, [], now, null);
      return;
    }
    try {
      const { data } = await ask(this.urls.compare(now.id, before.id));
      this.draw(versions, others, now, { ...data, chosen: before });
    } catch (failure) {
      this.failed(failure);
    }
  }

  draw(versions, others, now, found) {
    const counts = grouped(found?.changes ?? []);
    const summary = [...counts].map(([kind, changes]) => `${changes.length} ${WORDS[kind]}`).join(", ");
    replace(
      this.box,
      h("h2", {}, "Compare"),
      h(
        "div",
        { class: "plan-versions" },
        h("label", {}, "Version", this.field(versions, now, "now")),
        found && h("label", {}, "with", this.field(others, found.chosen, "before")),
        found && h("strong", { id: "plan-difference" }, `cost ${signed(found.cost_difference)}, ${signed(found.km_difference, 1)} km`),
        h("span", {}, found ? summary || "The same stops at the same times." : "It is the only version of its departure."),
      ),
      h("p", { class: "plan-quiet" }, "Routes that had left or were frozen are in neither figure. On the map the earlier ways are dashed."),
      found?.changes.length ? this.table(found) : null,
    );
    this.map.drawEarlier(found ? this.ways(found) : []);
  }

  field(versions, chosen, name) {
    const departs = (version) => (version.departs_at ? ` · leaves ${clock(version.departs_at)}` : "");
    return h(
      "select",
      { "data-focus": `compare-${name}`, on: { change: (event) => ((this[name] = Number(event.target.value)), this.show()) } },
      versions.map((version) => h("option", { value: version.id, selected: version.id === chosen.id }, `${version.version} · ${dated(version.made_at, this.day().day)} · ${version.why}${departs(version)}`)),
    );
  }

  table(found) {
    const rows = found.changes.slice(0, SHOWN).map((change) => this.row(change, found.shipments[change.shipment]));
    const more = found.changes.length - rows.length;
    return h(
      "div",
      { class: "plan-scroll" },
      h("table", {}, h("thead", {}, h("tr", {}, ["What", "Customer", "Before", "Now"].map((title) => h("th", { scope: "col" }, title)))), h("tbody", {}, rows)),
      more > 0 ? h("p", { class: "plan-quiet" }, `And ${many(more, "change")} more.`) : null,
    );
  }

  row(change, shipment) {
    const place = (at) => (at ? `${at.vehicle}, stop ${at.position}, ${dated(at.eta, this.day().day)}` : "–");
    const gone = change.kind === "fell out" && shipment ? ` (${shipment.state} now)` : "";
    return h("tr", {}, h("td", {}, change.kind), h("td", {}, shipment?.customer ?? change.shipment), h("td", {}, place(change.before)), h("td", {}, place(change.now) + gone));
  }

  ways({ routes_before, shipments }) {
    return routes_before.map((route) => ({
      name: route.vehicle,
      points: route.stops.map((stop) => shipments[stop.shipment]).filter(Boolean).map((shipment) => [shipment.latitude, shipment.longitude]),
    }));
  }
}

const WORDS = { came: "came", "fell out": "fell out", "another vehicle": "in another vehicle", "another place": "at another place", "another time": "at another time" };

function grouped(changes) {
  const groups = new Map();
  for (const change of changes) groups.set(change.kind, [...(groups.get(change.kind) ?? []), change]);
  return groups;
}
