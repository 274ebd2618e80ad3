// The study's soil moisture: of a day, of a pixel through all days, of SMAP's cells and of stations.
import { Blocks } from "./blocks.js";

export const MAPPED = 1; // kinds of pixels, as in pipeline/pages/map_data.py
export const EMPTY = 2;
export const WATER = 3;

export class Moisture {
  #study;
  #blocks;

  constructor(study) {
    this.#study = study;
    this.#blocks = new Blocks(study.blocks.folder);
  }

  /** Read what does not change from day to day, SMAP and stations. */
  async open() {
    const { grid, cells, stations } = this.#study;
    const read = (name, columns) => (this.#blocks.has(name) ? this.#blocks.read(name, columns) : null);
    [this.kinds, this.partitions, this.cellOf, this.smap, this.insitu] = await Promise.all([
      read("kinds", grid.width),
      read("partitions", grid.width),
      read("cells", grid.width),
      read("smap", cells),
      read("insitu", stations.length),
    ]);
    this.slotOf = new Int32Array(this.kinds.length).fill(-1);
    let slot = 0;
    this.kinds.forEach((kind, pixel) => {
      if (kind === MAPPED) this.slotOf[pixel] = slot++;
    });
  }

  /** Codes of a day by slot. */
  async fine(day) {
    const { days, slots, blocks } = this.#study;
    const number = Math.floor(day / blocks.days);
    const codes = await this.#blocks.matrix(`days-${number}`, slots);
    const row = day - number * blocks.days;
    const following = (number + 1) * blocks.days < days.length;
    if (following && row > blocks.days / 2) this.#blocks.matrix(`days-${number + 1}`, slots); // ahead of playing
    return codes.subarray(row * slots, (row + 1) * slots);
  }

  /** Codes of a day by cell; null without SMAP. */
  coarse(day) {
    const { cells } = this.#study;
    return this.smap?.subarray(day * cells, (day + 1) * cells) ?? null;
  }

  /** Codes of a pixel, one a day; null where it never has a value. */
  async fineSeries(pixel) {
    const slot = this.slotOf[pixel];
    if (slot < 0) return null;
    const { days, slots, blocks } = this.#study;
    if (blocks.days >= days.length) return column(await this.#blocks.matrix("days-0", slots), slots, slot);
    const number = Math.floor(slot / blocks.series);
    const across = Math.min(blocks.series, slots - number * blocks.series);
    return column(await this.#blocks.matrix(`series-${number}`, across), across, slot - number * blocks.series);
  }

  /** Codes of SMAP at a pixel, one a day; null where no cell is near. */
  coarseSeries(pixel) {
    const cell = this.smap ? this.cellOf[pixel] : 0;
    return cell ? column(this.smap, this.#study.cells, cell - 1) : null;
  }

  /** Codes that a station measured, one a day; null where the page has only its place. */
  stationSeries(station) {
    return this.insitu && column(this.insitu, this.#study.stations.length, station);
  }

  /** m³/m³ of a code, null for no value. */
  value(code) {
    const { step, first } = this.#study.values;
    return code ? (code - 1 + first) * step : null;
  }
}

function column(matrix, across, number) {
  return Uint16Array.from({ length: matrix.length / across }, (_, row) => matrix[row * across + number]);
}

/** A value to read, with three decimals. */
export function told(value) {
  return value === null ? "no value" : value.toFixed(3).replace("-", "\u2212");
}
