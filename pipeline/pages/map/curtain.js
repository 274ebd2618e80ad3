// The handle between the two maps: dragged, or moved by keys as a slider.
import { clamp } from "./geography.js";
import { STILL } from "./gestures.js";

const KEYS = {
  ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -100, End: 100,
};

export class Curtain {
  share = 0.5;

  /**
   * @param handle the element that stands for it, a child of the map.
   * @param moved called with the share of the map that lies left of it.
   * @param tapped called with a place of the map where it was touched but not moved.
   */
  constructor(handle, moved, tapped) {
    Object.assign(this, { handle, moved });
    let from = null;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      from = event.clientX;
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      if (from !== null && Math.abs(event.clientX - from) <= STILL) return;
      from = null;
      const box = handle.parentElement.getBoundingClientRect();
      this.set((event.clientX - box.left) / box.width);
    });
    handle.addEventListener("pointerup", (event) => {
      const box = handle.parentElement.getBoundingClientRect();
      if (from !== null) tapped(event.clientX - box.left, event.clientY - box.top);
    });
    handle.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      this.step(KEYS[event.key]);
    });
    this.set(this.share);
  }

  /** Move by so many hundredths of the map. */
  step(hundredths) {
    this.set(this.share + hundredths / 100);
  }

  set(share) {
    this.share = clamp(share, 0, 1);
    const percent = Math.round(this.share * 100);
    this.handle.style.left = `${this.share * 100}%`;
    this.handle.setAttribute("aria-valuenow", percent);
    this.handle.setAttribute("aria-valuetext", `${percent} % of the map show 1 km`);
    this.moved(this.share);
  }
}
