/** Promise: list, map and timeline show one and the same day: numbers, colours, what is late and
 * the totals are worked out here and nowhere else. */

/** Told apart by those who see few colours, light and dark; beyond them, by dashes as well. */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d1f", "#56a4d8", "#7b3fa0", "#c0392b", "#5b8c2a", "#6b7280"];
const DASHES = [null, "10 6", "2 7", "14 5 3 5"];

/** Black or white, whichever is easier to read on it (by WCAG's relative luminance). */
function inkOn(colour) {
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const [red, green, blue] = [1, 3, 5].map((at) => linear(parseInt(colour.slice(at, at + 2), 16) / 255));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#111827" : "#fff";
}

export const DRIVEN = ["dispatched", "completed"];
const natural = new Intl.Collator("en", { numeric: true });

/** The day as the API tells it, with what follows from it at this moment. */
export function dayOf(told, lateMinutes, now = Date.now()) {
  const vehicles = [...told.vehicles].sort((a, b) => natural.compare(a.name, b.name));
  const place = new Map(vehicles.map((vehicle, index) => [vehicle.id, index]));
  const byId = new Map(vehicles.map((vehicle) => [vehicle.id, vehicle]));
  const sorted = [...told.routes].sort(
    (a, b) => place.get(a.vehicle_id) - place.get(b.vehicle_id) || a.starts_at.localeCompare(b.starts_at),
  );
  const routes = sorted.map((route, index) =>
    routeOf(route, index + 1, byId.get(route.vehicle_id), place.get(route.vehicle_id), lateMinutes, now),
  );
  const day = { ...told, vehicles, routes, totals: totals(routes, told) };
  day.route = new Map(routes.map((route) => [route.id, route]));
  day.stop = new Map(routes.flatMap((route) => route.stops.map((stop) => [stop.id, stop])));
  return day;
}

function routeOf(route, label, vehicle, index, lateMinutes, now) {
  const stops = route.stops
    .filter((stop) => stop.state !== "dropped")
    .map((stop, position) => ({ ...stop, number: position + 1, route: route.id, ...lateness(stop, route, lateMinutes, now) }));
  const sum = (name) => stops.reduce((total, stop) => total + stop[name], 0);
  return {
    ...route,
    label,
    vehicleRow: vehicle,
    colour: COLOURS[index % COLOURS.length],
    ink: inkOn(COLOURS[index % COLOURS.length]),
    dash: DASHES[Math.floor(index / COLOURS.length) % DASHES.length],
    stops,
    items: sum("items"),
    done: stops.filter((stop) => stop.state !== "pending").length,
    late: stops.filter((stop) => stop.late).length,
    open: route.state === "planned" && !route.frozen,
    overdue: route.state === "planned" && Date.parse(route.starts_at) < now - lateMinutes * 60_000,
    drive: sum("drive_s") + route.back_s,
    wait: sum("wait_s"),
    service: sum("service_s"),
  };
}

/** Late is who comes, or came, after their window; overdue, who should have been reached by now. */
function lateness(stop, route, lateMinutes, now) {
  const comes = Date.parse(stop.ended_at ?? stop.eta);
  const missed = Boolean(stop.window_until) && comes > Date.parse(stop.window_until) + 59_999;
  const overdue = stop.state === "pending" && DRIVEN.includes(route.state) && Date.parse(stop.eta) < now - lateMinutes * 60_000;
  return { late: (missed && stop.state !== "failed") || overdue, missed, overdue };
}

function totals(routes, told) {
  const sum = (name) => routes.reduce((total, route) => total + route[name], 0);
  const use = (load, capacity) => {
    const most = routes.reduce((total, route) => total + (route.vehicleRow?.[capacity] ?? 0), 0);
    return most ? sum(load) / most : 0;
  };
  return {
    routes: routes.length,
    stops: routes.reduce((total, route) => total + route.stops.length, 0),
    done: sum("done"),
    km: sum("distance_km"),
    cost: sum("cost"),
    seconds: routes.reduce((total, r) => total + (Date.parse(r.ends_at) - Date.parse(r.starts_at)) / 1000, 0),
    use: Math.max(use("load_kg", "capacity_kg"), use("load_m3", "capacity_m3")),
    unserved: told.unplanned_total,
    late: sum("late"),
  };
}

/** Whether a stop is what somebody looks for, by any part of what is known of it. */
export function matches(stop, query) {
  return [stop.customer, stop.address, stop.order_id, stop.shipment_id].some((text) => text.toLowerCase().includes(query));
}
