/** Promise: a stop, or who has no route yet, that is dragged on the map over another route's stop is
 * asked about there as in the list, and let go anywhere else it stays where it is. */

const L = window.L;
/** Pixels: from here on it is a drag, and so near is over a stop. */
const BEGINS = 6;
const NEAR = 16;

export class Carrying {
  /** `renderer`: that of the stops; a canvas of its own would lie above them and take the mouse. */
  constructor(map, { open, moving, stops, renderer }) {
    Object.assign(this, { map, open, moving, stops });
    this.line = L.polyline([], { renderer, interactive: false, weight: 2, dashArray: "4 4" });
  }

  /** The button went down on a stop that may move. The map tells only some of what the mouse does
   * from then on, and nothing above other stops: the document is listened to. */
  lift(stop, marker, event, colour) {
    if (event.originalEvent.button !== 0) return;
    const start = event.containerPoint;
    const move = (moved) => {
      const point = this.map.mouseEventToContainerPoint(moved);
      if (!this.moving.dragging && point.distanceTo(start) > BEGINS) this.begin(stop, marker, colour);
      if (this.moving.dragging) this.over(stop, marker, point);
    };
    this.map.dragging.disable();
    document.addEventListener("mousemove", move);
    document.addEventListener("mouseup", () => (document.removeEventListener("mousemove", move), this.drop(stop)), { once: true });
  }

  begin(stop, marker, colour) {
    marker.closeTooltip();
    this.moving.carry(stop);
    this.line.setStyle({ color: colour }).addTo(this.map);
    this.map.getContainer().classList.add("carrying");
  }

  over(stop, marker, point) {
    this.line.setLatLngs([marker.getLatLng(), this.map.containerPointToLatLng(point)]);
    this.route = this.routeAt(stop, point);
    if (this.route) this.moving.holdOver(this.route, this.map.getContainer());
    else this.moving.holdNowhere();
  }

  /** Whose stop is nearest, if it is near and its route takes any. */
  routeAt(stop, point) {
    let [best, found] = [NEAR, null];
    for (const [id, marker] of this.stops) {
      const far = this.map.latLngToContainerPoint(marker.getLatLng()).distanceTo(point);
      const route = far < best && id !== stop.id ? this.open(id) : null;
      if (route) [best, found] = [far, route];
    }
    return found;
  }

  drop(stop) {
    this.map.dragging.enable();
    if (!this.moving.dragging) return;
    swallowClick(this.map.getContainer());
    this.line.remove();
    this.map.getContainer().classList.remove("carrying");
    const { route } = this;
    this.route = null;
    this.moving.end();
    if (route) this.moving.dialog(stop, { route, position: null });
  }
}

/** What ends a drag is no click on whatever lies below. */
function swallowClick(box) {
  const swallow = (event) => event.stopPropagation();
  box.addEventListener("click", swallow, { capture: true, once: true });
  setTimeout(() => box.removeEventListener("click", swallow, { capture: true }));
}
