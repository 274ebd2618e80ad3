// The page: what the reader does, and what follows from it.
import { Curtain } from "./curtain.js";
import { drawFurniture } from "./furniture.js";
import { Geography } from "./geography.js";
import { gestures } from "./gestures.js";
import { drawLegend } from "./legend.js";
import { MapView } from "./mapview.js";
import { Moisture, told, WATER } from "./moisture.js";
import { Panel, where } from "./panel.js";
import { Player } from "./player.js";
import { View } from "./view.js";

const STEP = 1.5; // of zoom for a key or a button
const FAR = 10; // pixels that Shift moves the cursor
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MODES = ["fine", "both", "coarse"];

const get = (id) => document.getElementById(id);

/** Tell the reader what went wrong; null takes it back. */
function complain(error) {
  get("alert").textContent = error?.message ?? "";
  get("alert").hidden = !error;
}

class Page {
  #asked = 0; // only the day asked for last is shown

  constructor(study, moisture) {
    Object.assign(this, { study, moisture, element: get("map") });
    this.geography = new Geography(study.grid);
    this.view = new View(study.box);
    this.map = new MapView(get("canvas"), study, moisture, this.geography, this.view);
    const names = ["day", "date", "previous", "next", "play"];
    const parts = Object.fromEntries(names.map((name) => [name, get(name)]));
    this.player = new Player(parts, study.days, (day) => this.show(day));
    this.panel = new Panel(study, moisture, this.geography, (day) => this.player.jump(day));
    const tapped = (left, top) => this.choose(this.map.pixelAt(left, top));
    this.curtain = new Curtain(get("curtain"), (share) => this.moveCurtain(share), tapped);
  }

  open() {
    const { study, moisture, view, element } = this;
    this.hasSmap = moisture.smap !== null;
    const there = { smap: this.hasSmap, partitions: study.partitions.length > 0, stations: study.stations.length > 0 };
    for (const [name, has] of Object.entries(there)) {
      for (const part of document.querySelectorAll(`.of-${name}`)) part.hidden = !has;
    }
    get("banner").hidden = !study.simulated;
    get("modes").hidden = !this.hasSmap;
    get("notes").append(...study.notes.map(note));
    drawLegend(get("legend"), study, moisture.kinds.includes(WATER));
    this.#listen();
    new ResizeObserver(() => {
      view.resize(element.clientWidth, element.clientHeight);
      this.draw();
      this.panel.tell(this.player.day, false);
    }).observe(element);
    view.resize(element.clientWidth, element.clientHeight);
    this.setMode(this.hasSmap ? "both" : "fine");
    this.draw();
    return this.player.go(0);
  }

  draw() {
    drawFurniture(get("scalebar"), get("north"), this.view, this.study.grid, this.geography);
    this.map.draw();
  }

  /** Put a day on the map; gives whether it is there. */
  async show(day) {
    this.#asked += 1;
    const asked = this.#asked;
    this.element.setAttribute("aria-busy", "true");
    try {
      const fine = await this.moisture.fine(day);
      if (asked !== this.#asked) return false;
      this.map.show(fine, this.moisture.coarse(day));
      this.panel.tell(day, !this.player.playing);
      this.element.dataset.day = this.study.days[day];
      complain(null);
      return true;
    } catch (error) {
      if (asked !== this.#asked) return false;
      this.map.show(null, this.moisture.coarse(day)); // rather than the picture of another day
      this.panel.tell(day, false);
      complain(error);
      return false;
    } finally {
      if (asked === this.#asked) this.element.setAttribute("aria-busy", "false");
    }
  }

  async choose(pixel) {
    this.map.pixel = pixel;
    this.map.draw();
    try {
      if (await this.panel.choose(pixel)) this.panel.tell(this.player.day, true);
    } catch (error) {
      if (this.map.pixel !== pixel) return;
      this.map.pixel = null;
      this.map.draw();
      complain(error);
    }
  }

  hover(left, top) {
    const pixel = this.map.pixelAt(left, top);
    const pointer = get("pointer");
    pointer.hidden = !pixel;
    if (!pixel) return;
    const { x, y } = this.view.toGrid(left, top);
    const { fine, coarse } = this.map.codesAt(pixel);
    const values = [["1 km", fine], ["SMAP", coarse]]
      .filter(([, code]) => code)
      .map(([name, code]) => `${name} ${told(this.moisture.value(code))}`);
    pointer.textContent = [where(this.geography.at(x, y)), ...values].join("   ");
  }

  moveCurtain(share) {
    this.map.curtain = share;
    get("left-name").style.right = `calc(${100 * (1 - share)}% + 10px)`;
    get("right-name").style.left = `calc(${100 * share}% + 10px)`;
    this.map.draw();
  }

  setMode(mode) {
    this.map.mode = mode;
    for (const input of document.querySelectorAll('input[name="mode"]')) input.checked = input.value === mode;
    for (const id of ["curtain", "left-name", "right-name"]) get(id).hidden = mode !== "both";
    this.map.draw();
  }

  zoom(factor, left, top) {
    this.view.zoom(factor, left, top);
    this.draw();
  }

  pan(right, down) {
    this.view.pan(right, down);
    this.draw();
  }

  whole() {
    this.view.fit();
    this.draw();
  }

  /** Move the cursor by pixels; it starts in the middle of the region, and the map follows it. */
  moveCursor(right, down) {
    const { width, height } = this.study.grid;
    const [left, top, rightmost, bottom] = this.study.box;
    const inside = (value, size) => Math.min(size - 1, Math.max(0, value));
    const from = this.map.pixel;
    const pixel = {
      column: from ? inside(from.column + right, width) : Math.floor((left + rightmost) / 2),
      row: from ? inside(from.row + down, height) : Math.floor((top + bottom) / 2),
    };
    this.view.follow(pixel.column + 0.5, pixel.row + 0.5);
    this.draw();
    this.choose(pixel);
  }

  #listen() {
    const { map, player, element } = this;
    gestures(element, {
      pan: (right, down) => this.pan(right, down),
      zoom: (factor, left, top) => this.zoom(factor, left, top),
      tap: (left, top) => this.choose(map.pixelAt(left, top)),
      hover: (left, top) => this.hover(left, top),
      leave: () => (get("pointer").hidden = true),
    });
    const keys = {
      "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP), 0: () => this.whole(),
      ",": () => player.step(-1), ".": () => player.step(1), " ": () => player.toggle(),
      "[": () => this.curtain.step(-2), "]": () => this.curtain.step(2),
      s: () => this.hasSmap && this.setMode(MODES[(MODES.indexOf(map.mode) + 1) % MODES.length]),
      p: () => get("show-partitions").click(),
      escape: () => this.choose(null),
    };
    element.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button")) return;
      const key = event.key.toLowerCase();
      if (event.key in ARROWS && event.target === element) {
        const [right, down] = ARROWS[event.key].map((step) => step * (event.shiftKey ? FAR : 1));
        this.moveCursor(right, down);
      } else if (key in keys) keys[key]();
      else return;
      event.preventDefault();
    });
    get("zoom-in").addEventListener("click", () => this.zoom(STEP));
    get("zoom-out").addEventListener("click", () => this.zoom(1 / STEP));
    get("zoom-all").addEventListener("click", () => this.whole());
    get("modes").addEventListener("change", ({ target }) => this.setMode(target.value));
    for (const name of Object.keys(map.shown)) {
      get(`show-${name}`).addEventListener("change", ({ target }) => {
        map.shown[name] = target.checked;
        map.draw();
      });
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.theme());
  }
}

function note({ name, text }) {
  const part = document.createElement("div");
  const [title, body] = ["dt", "dd"].map((tag) => document.createElement(tag));
  title.textContent = name;
  body.textContent = text;
  part.append(title, body);
  return part;
}

async function main() {
  if (!("DecompressionStream" in globalThis)) {
    throw new Error("This browser is too old for the map: take Chrome 111, Firefox 113, Safari 16.4 or a later one.");
  }
  const study = JSON.parse(get("study").textContent);
  const moisture = new Moisture(study);
  await moisture.open();
  await new Page(study, moisture).open();
}

main().catch(complain);
