// Which part of the grid the window shows: CSS pixels to grid pixels and back.
import { clamp } from "./geography.js";

const MARGIN = 24; // CSS pixels around the region when all of it is shown
const CLOSEST = 48; // CSS pixels to a pixel of the grid

export class View {
  scale = 1; // CSS pixels to a pixel of the grid
  x = 0; // of the grid, at the window's left edge
  y = 0;

  constructor(box) {
    this.box = box; // left, top, right, bottom of the region
    this.resize(1, 1);
  }

  resize(width, height) {
    const first = !this.width || this.whole;
    const centre = this.toGrid(this.width / 2, this.height / 2);
    Object.assign(this, { width, height });
    if (first) this.fit();
    else this.centreOn(centre.x, centre.y);
  }

  /** Whether all of the region is in the window, as fit leaves it. */
  get whole() {
    return this.scale === this.#smallest;
  }

  get #smallest() {
    const [left, top, right, bottom] = this.box;
    const room = (side) => Math.max(side - 2 * MARGIN, side / 2);
    return Math.min(room(this.width) / (right - left), room(this.height) / (bottom - top), CLOSEST);
  }

  fit() {
    const [left, top, right, bottom] = this.box;
    this.scale = this.#smallest;
    this.centreOn((left + right) / 2, (top + bottom) / 2);
  }

  centreOn(x, y) {
    this.x = x - this.width / 2 / this.scale;
    this.y = y - this.height / 2 / this.scale;
    this.#contain();
  }

  /** Zoom so that what is under a place of the window stays there. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    const under = this.toGrid(left, top);
    this.scale = clamp(this.scale * factor, this.#smallest, CLOSEST);
    this.x = under.x - left / this.scale;
    this.y = under.y - top / this.scale;
    this.#contain();
  }

  pan(right, down) {
    this.x -= right / this.scale;
    this.y -= down / this.scale;
    this.#contain();
  }

  /** Bring a place of the grid into the middle part of the window. */
  follow(x, y) {
    const seen = this.toWindow(x, y);
    const edge = Math.min(this.width, this.height) / 6;
    this.pan(
      clamp(seen.left, edge, this.width - edge) - seen.left,
      clamp(seen.top, edge, this.height - edge) - seen.top,
    );
  }

  toGrid(left, top) {
    return { x: this.x + left / this.scale, y: this.y + top / this.scale };
  }

  toWindow(x, y) {
    return { left: (x - this.x) * this.scale, top: (y - this.y) * this.scale };
  }

  /** Keep the middle of the window over the region. */
  #contain() {
    const [left, top, right, bottom] = this.box;
    this.x = clamp(this.x, left - this.width / 2 / this.scale, right - this.width / 2 / this.scale);
    this.y = clamp(this.y, top - this.height / 2 / this.scale, bottom - this.height / 2 / this.scale);
  }
}
