// The map on its canvas: two pictures with a curtain between them, lines, names, stations, the chosen pixel.
import { parsed, ramp, Raster } from "./colours.js";
import { degrees, EAST_WEST, NORTH_SOUTH } from "./geography.js";
import { outline } from "./outline.js";

const STATION = 5; // radius of a station, CSS pixels
const NAMED = 4; // CSS pixels to a pixel of the grid from which stations have their names beside them
const CLOSE = 14; // CSS pixels from a station at which a click is meant for it

export class MapView {
  shown = { partitions: true, stations: true, graticule: true };
  mode = "fine"; // or "coarse" or "both"
  curtain = 0.5; // share of the window that is left of the curtain
  pixel = null; // chosen, {column, row}
  #codes = { fine: null, coarse: null };
  #asked = 0;

  constructor(canvas, study, moisture, geography, view) {
    Object.assign(this, { canvas, study, moisture, geography, view });
    const { width, height } = study.grid;
    this.rasters = { fine: new Raster(width, height), coarse: new Raster(width, height) };
    this.context = canvas.getContext("2d");
    this.border = outline(moisture.kinds, width, (one, other) => (one === 0) !== (other === 0));
    this.divisions = outline(moisture.partitions, width, (one, other) => one !== other && one * other > 0);
    this.theme();
  }

  /** Read the colours of the style sheet, which follow the reader's choice of light or dark. */
  theme() {
    const style = getComputedStyle(document.documentElement);
    const names = ["outside", "missing", "water", "border", "line", "halo", "faint", "soft", "ink"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.ramp = ramp(this.study, parsed(this.colours.missing));
    this.#paint();
  }

  /** Show other codes: of a day by slot, null for none that can be read, and by cell. */
  show(fine, coarse) {
    this.#codes = { fine, coarse };
    this.#paint();
  }

  #paint() {
    const { kinds, slotOf, cellOf } = this.moisture;
    const water = parsed(this.colours.water);
    const { fine, coarse } = this.#codes;
    if (fine) this.rasters.fine.paint(kinds, (pixel) => fine[slotOf[pixel]] ?? 0, this.ramp, water);
    else this.rasters.fine.clear();
    if (coarse) this.rasters.coarse.paint(kinds, (pixel) => coarse[cellOf[pixel] - 1] ?? 0, this.ramp, water);
    this.draw();
  }

  /** Draw before the next frame, once however often it is asked. */
  draw() {
    this.#asked ||= requestAnimationFrame(() => {
      this.#asked = 0;
      this.#draw();
    });
  }

  #draw() {
    const { context, view, colours } = this;
    const ratio = globalThis.devicePixelRatio || 1;
    const [across, down] = [view.width, view.height].map((side) => Math.round(side * ratio));
    if (this.canvas.width !== across || this.canvas.height !== down) {
      Object.assign(this.canvas, { width: across, height: down });
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colours.outside;
    context.fillRect(0, 0, view.width, view.height);
    this.#pictures(ratio);
    this.#lines();
    if (this.shown.stations) this.#stations();
    if (this.shown.partitions) this.#names();
    if (this.pixel) this.#chosen();
  }

  #pictures(ratio) {
    const { context, view } = this;
    const edge = { fine: view.width, coarse: 0, both: this.curtain * view.width }[this.mode];
    const halves = [["fine", 0, edge], ["coarse", edge, view.width - edge]];
    context.imageSmoothingEnabled = view.scale * ratio < 1; // else every pixel of the grid has sharp edges
    for (const [name, left, width] of halves) {
      if (width <= 0) continue;
      context.save();
      context.beginPath();
      context.rect(left, 0, width, view.height);
      context.clip();
      const { canvas } = this.rasters[name];
      const corner = view.toWindow(0, 0);
      context.drawImage(canvas, corner.left, corner.top, canvas.width * view.scale, canvas.height * view.scale);
      context.restore();
    }
  }

  #lines() {
    const { context, view, colours } = this;
    if (this.shown.graticule) this.#graticule();
    const stroke = (path, colour, width) => {
      context.save();
      context.scale(view.scale, view.scale);
      context.translate(-view.x, -view.y);
      Object.assign(context, { strokeStyle: colour, lineWidth: width / view.scale, lineCap: "square" });
      context.stroke(path);
      context.restore();
    };
    stroke(this.border, colours.border, 1);
    if (!this.shown.partitions) return;
    stroke(this.divisions, colours.halo, 3);
    stroke(this.divisions, colours.line, 1.25);
  }

  #names() {
    for (const { name, x, y } of this.study.partitions) {
      const at = this.view.toWindow(x, y);
      this.#text(name, at.left, at.top, "center", "600 13px system-ui, sans-serif");
    }
  }

  #graticule() {
    const { context, view, colours } = this;
    const { meridians, parallels } = this.geography.graticule(Math.min(view.width, view.height) / view.scale);
    const trace = ({ points }) => points.map(([x, y]) => view.toWindow(x, y));
    const look = ["11px system-ui, sans-serif", colours.soft, colours.outside];
    Object.assign(context, { strokeStyle: colours.faint, lineWidth: 1 });
    context.beginPath();
    for (const line of [...meridians, ...parallels].map(trace)) {
      line.forEach(({ left, top }, number) => (number ? context.lineTo(left, top) : context.moveTo(left, top)));
    }
    context.stroke();
    for (const line of meridians) {
      const top = Math.max(10, view.toWindow(0, 0).top - 8);
      const left = crossing(trace(line), "top", "left", top);
      if (left > 30 && left < view.width - 60) this.#text(short(line.degrees, EAST_WEST), left, top, "center", ...look);
    }
    for (const line of parallels) {
      const start = view.toWindow(0, 0).left - 6;
      const [left, align] = start > 54 ? [start, "right"] : [6, "left"];
      const top = crossing(trace(line), "left", "top", left);
      if (top > 24 && top < view.height - 44) this.#text(short(line.degrees, NORTH_SOUTH), left, top, align, ...look);
    }
  }

  #stations() {
    const { context, view, colours } = this;
    for (const { name, x, y } of this.study.stations) {
      const at = view.toWindow(x, y);
      Object.assign(context, { strokeStyle: colours.line, fillStyle: colours.halo, lineWidth: 1.5 });
      context.beginPath();
      context.arc(at.left, at.top, STATION, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
      if (view.scale > NAMED) this.#text(name, at.left + 9, at.top, "left", "12px system-ui, sans-serif");
    }
  }

  #chosen() {
    const { context, view, colours } = this;
    const at = view.toWindow(this.pixel.column, this.pixel.row);
    const side = Math.max(view.scale, 7);
    const grown = (side - view.scale) / 2;
    for (const [colour, width] of [[colours.halo, 5], [colours.ink, 2]]) {
      Object.assign(context, { strokeStyle: colour, lineWidth: width });
      context.strokeRect(at.left - grown, at.top - grown, side, side);
    }
  }

  #text(text, left, top, align, font, colour = this.colours.line, halo = this.colours.halo) {
    const { context } = this;
    Object.assign(context, { font, textAlign: align, textBaseline: "middle", lineJoin: "round" });
    Object.assign(context, { strokeStyle: halo, fillStyle: colour, lineWidth: 3.5 });
    context.strokeText(text, left, top);
    context.fillText(text, left, top);
  }

  /** Codes of a pixel on the day shown; undefined where it has none. */
  codesAt({ column, row }) {
    const place = row * this.study.grid.width + column;
    const { slotOf, cellOf } = this.moisture;
    return { fine: this.#codes.fine?.[slotOf[place]], coarse: this.#codes.coarse?.[cellOf[place] - 1] };
  }

  /** The pixel under a place of the window, or that of a station close to it; null outside of the grid. */
  pixelAt(left, top) {
    const { view, study } = this;
    const near = study.stations
      .map(({ x, y }) => ({ x, y, at: view.toWindow(x, y) }))
      .map(({ x, y, at }) => ({ x, y, distance: Math.hypot(at.left - left, at.top - top) }))
      .filter(({ distance }) => this.shown.stations && distance <= CLOSE)
      .sort((one, other) => one.distance - other.distance)[0];
    const { x, y } = near ?? view.toGrid(left, top);
    const [column, row] = [Math.floor(x), Math.floor(y)];
    const inside = column >= 0 && row >= 0 && column < study.grid.width && row < study.grid.height;
    return inside ? { column, row } : null;
  }
}

/** Degrees of a line, without digits that say nothing. */
function short(value, hemispheres) {
  return degrees(value, hemispheres, 2).replace(/\.?0+°/, "°");
}

/** Where a line of the window crosses a value of one coordinate: the other one; where it ends before, its end. */
function crossing(line, coordinate, other, value) {
  const nearest = Math.abs(line[0][coordinate] - value) < Math.abs(line.at(-1)[coordinate] - value);
  const end = nearest ? line[0] : line.at(-1);
  const [low, high] = [line[0][coordinate], line.at(-1)[coordinate]];
  if ((low - value) * (high - value) > 0) return end[other];
  for (let number = 1; number < line.length; number += 1) {
    const [from, to] = [line[number - 1], line[number]];
    const [a, b] = [from[coordinate] - value, to[coordinate] - value];
    if (a !== b && a * b <= 0) return from[other] + (a / (a - b)) * (to[other] - from[other]);
  }
  return NaN;
}
