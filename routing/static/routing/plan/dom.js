/** Promise: what strangers wrote gets into the page as text, never as HTML. */

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("p", {class: "x", on: {click: act}}, "text", child)`. */
export function h(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same of a drawing. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Draw anew, and leave the focus on what had it, by `data-focus`. */
export function replace(box, ...children) {
  const held = box.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  box.replaceChildren(...children.flat().filter(Boolean));
  if (held) box.querySelector(`[data-focus="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}
