// The chosen pixel: its place, its values on the day shown, its series.
import { Chart } from "./chart.js";
import { degrees, EAST_WEST, NORTH_SOUTH } from "./geography.js";
import { told, WATER } from "./moisture.js";

const PLACES = 4; // decimals of a degree, about 10 m

/** Latitude and longitude to read. */
export function where({ lon, lat }) {
  return `${degrees(lat, NORTH_SOUTH, PLACES)}, ${degrees(lon, EAST_WEST, PLACES)}`;
}

export class Panel {
  #asked = 0; // only the pixel asked for last is shown
  #chosen = null; // {place, station, series: {fine, coarse, insitu}} with values for each day, null without any

  /** @param goTo called with the number of a day that was chosen in the chart. */
  constructor(study, moisture, geography, goTo) {
    Object.assign(this, { study, moisture, geography });
    const ids = ["place", "hint", "values", "chart", "said", "station-name"];
    this.parts = Object.fromEntries(ids.map((id) => [id, document.getElementById(id)]));
    this.chart = new Chart(this.parts.chart, study, goTo);
  }

  /** Read the series of a pixel; null, or one that cannot be read, lets go. Gives whether it is still asked for. */
  async choose(pixel) {
    this.#asked += 1;
    const asked = this.#asked;
    let chosen = null;
    try {
      chosen = pixel && (await this.#read(pixel));
    } finally {
      if (asked === this.#asked) this.#keep(chosen);
    }
    return asked === this.#asked;
  }

  #keep(chosen) {
    this.#chosen = chosen;
    this.parts.values.hidden = !chosen;
    this.parts.hint.hidden = Boolean(chosen);
    if (!chosen) this.parts.place.textContent = "";
  }

  async #read({ column, row }) {
    const { study, moisture } = this;
    const place = row * study.grid.width + column;
    const station = study.stations.findIndex(({ x, y }) => Math.floor(x) === column && Math.floor(y) === row);
    const values = (codes) => codes && Array.from(codes, (code) => moisture.value(code));
    const series = {
      fine: values(await moisture.fineSeries(place)),
      coarse: values(moisture.coarseSeries(place)),
      insitu: station < 0 ? null : values(moisture.stationSeries(station)),
    };
    return { column, row, place, station, series };
  }

  /**
   * Tell the values of a day, and draw the series.
   * @param aloud whether a screen reader is to say them.
   */
  tell(day, aloud) {
    if (!this.#chosen) return;
    const { study, moisture, parts } = this;
    const { column, row, place, station, series } = this.#chosen;
    const { east, north } = this.geography.metres(column, row);
    const at = where(this.geography.at(column + 0.5, row + 0.5));
    const partition = study.partitions.find(({ code }) => code === moisture.partitions[place])?.name;
    const water = moisture.kinds[place] === WATER;
    parts.place.textContent = partition ? `${at}, ${partition}` : at;
    parts.place.title = `Centre: E ${east.toFixed(0)} m, N ${north.toFixed(0)} m, ${study.grid.crs}`;
    parts["station-name"].textContent = study.stations[station]?.name ?? "";
    document.querySelector(".pixel .of-station").hidden = station < 0;
    const lines = [
      { name: "1 km", style: "fine", shown: true, none: water ? "water" : "no value" },
      { name: "SMAP 9 km", style: "coarse", shown: moisture.smap !== null, none: "no value" },
      { name: study.stations[station]?.name, style: "insitu", shown: series.insitu !== null, none: "no value" },
    ].filter(({ shown }) => shown);
    const words = lines.map(({ name, style, none }) => {
      const value = series[style]?.[day] ?? null;
      const word = value === null ? none : told(value);
      document.getElementById(`${style}-value`).textContent = word;
      return `${name} ${word}`;
    });
    const empty = study.days.map(() => null);
    this.chart.draw(lines.map(({ name, style }) => ({ name, style, values: series[style] ?? empty })), day);
    if (aloud) parts.said.textContent = `${study.days[day]}, ${at}: ${words.join(", ")}`;
  }
}
