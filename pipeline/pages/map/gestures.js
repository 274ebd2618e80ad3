// Mouse, pen and fingers on the map: pan, zoom, choose, hover.

export const STILL = 5; // CSS pixels that a tap may move
const NOTCH = 0.0016; // of zoom for each pixel of a wheel

/**
 * @param element of the map; its buttons and its curtain look after themselves.
 * @param does {pan(right, down), zoom(factor, left, top), tap(left, top), hover(left, top), leave()}
 */
export function gestures(element, does) {
  const down = new Map(); // pointer -> where it is
  let travelled = 0;
  const own = (event) => event.target.closest("button, .curtain") === null;
  const place = (event) => {
    const box = element.getBoundingClientRect();
    return { left: event.clientX - box.left, top: event.clientY - box.top };
  };
  const middle = () => {
    const places = [...down.values()];
    const mean = (axis) => places.reduce((sum, at) => sum + at[axis], 0) / places.length;
    const [one, other = one] = places;
    return { left: mean("left"), top: mean("top"), spread: Math.hypot(one.left - other.left, one.top - other.top) };
  };

  element.addEventListener("pointerdown", (event) => {
    if (!own(event) || event.button > 0) return;
    if (!down.size) travelled = 0;
    down.set(event.pointerId, place(event));
    element.setPointerCapture(event.pointerId);
  });
  element.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (!down.has(event.pointerId)) {
      if (own(event) && event.pointerType !== "touch") does.hover(at.left, at.top);
      return;
    }
    const before = middle();
    down.set(event.pointerId, at);
    const after = middle();
    travelled += Math.hypot(after.left - before.left, after.top - before.top) + Math.abs(after.spread - before.spread);
    if (travelled <= STILL) return;
    element.classList.add("dragged");
    does.pan(after.left - before.left, after.top - before.top);
    if (before.spread && after.spread) does.zoom(after.spread / before.spread, after.left, after.top);
  });
  const lift = (event) => {
    const at = down.get(event.pointerId);
    if (!down.delete(event.pointerId)) return;
    if (!down.size) element.classList.remove("dragged");
    if (event.type === "pointerup" && !down.size && travelled <= STILL) does.tap(at.left, at.top);
  };
  element.addEventListener("pointerup", lift);
  element.addEventListener("pointercancel", lift);
  element.addEventListener("pointerleave", () => does.leave());
  element.addEventListener("dblclick", (event) => {
    const at = place(event);
    if (own(event)) does.zoom(2, at.left, at.top);
  });
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const at = place(event);
      const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 : 1);
      does.zoom(Math.exp(-pixels * NOTCH * (event.ctrlKey ? 6 : 1)), at.left, at.top); // a pinch on a pad has ctrl
    },
    { passive: false },
  );
}
