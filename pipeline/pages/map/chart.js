// The series of a pixel: 1 km, SMAP and, where there is a station, what it measured.
import { multiples } from "./legend.js";
import { told } from "./moisture.js";

const SVG = "http://www.w3.org/2000/svg";
const EDGE = { left: 34, right: 8, top: 8, bottom: 20 };
const DAY = 86_400_000; // ms
const MOST_TICKS = 5;
const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";
const DENSE = 90; // days from which lines are thin

export class Chart {
  /** @param chosen called with the number of a day that was clicked. */
  constructor(svg, study, chosen) {
    Object.assign(this, { svg, study });
    this.times = study.days.map((day) => Date.parse(day));
    svg.addEventListener("click", (event) => {
      const x = event.clientX - svg.getBoundingClientRect().left;
      const distances = this.times.map((time) => Math.abs(this.#x(time) - x));
      chosen(distances.indexOf(Math.min(...distances)));
    });
  }

  /**
   * @param lines of {name, values, style}: a value or null for each day; a style of the style sheet.
   * @param day number of the day to mark.
   */
  draw(lines, day) {
    const { svg, study } = this;
    this.width = svg.clientWidth;
    this.height = svg.clientHeight;
    const known = lines.flatMap(({ values }) => values.filter((value) => value !== null));
    const { tick } = study.scale;
    this.low = Math.floor(Math.min(study.scale.low, ...known) / tick + 1e-6) * tick;
    this.high = Math.ceil(Math.max(study.scale.high, ...known) / tick - 1e-6) * tick;
    svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    svg.setAttribute("aria-label", lines.map(summary).join("; "));
    svg.replaceChildren(
      ...this.#values(),
      ...this.#days(),
      this.#line("now", [[this.#x(this.times[day]), EDGE.top], [this.#x(this.times[day]), this.#bottom]]),
      ...lines.map(({ values, style }) => this.#series(values, style)),
      ...lines.filter(({ values }) => values[day] !== null).map(({ values, style }) =>
        element("circle", {
          class: `dot ${style}`, cx: this.#x(this.times[day]), cy: this.#y(values[day]), r: 3.5,
        }),
      ),
    );
  }

  get #bottom() {
    return this.height - EDGE.bottom;
  }

  #x(time) {
    const [first, last] = [this.times[0], this.times.at(-1)];
    const share = last > first ? (time - first) / (last - first) : 0.5;
    return EDGE.left + share * (this.width - EDGE.left - EDGE.right);
  }

  #y(value) {
    return this.#bottom - ((value - this.low) / (this.high - this.low)) * (this.#bottom - EDGE.top);
  }

  #values() {
    return multiples(this.low, this.high, this.study.scale.tick, MOST_TICKS).flatMap((value) => {
      const y = this.#y(value);
      const label = value.toFixed(2).replace("-", "\u2212");
      return [
        this.#line("grid", [[EDGE.left, y], [this.width - EDGE.right, y]]),
        element("text", { x: EDGE.left - 5, y: y + 4, "text-anchor": "end" }, label),
      ];
    });
  }

  #days() {
    return ticks(this.times).flatMap(({ time, label }) => {
      const x = this.#x(time);
      const anchor = x > this.width - 28 ? "end" : x < EDGE.left + 16 ? "start" : "middle";
      return [
        this.#line("grid", [[x, this.#bottom], [x, this.#bottom + 4]]),
        element("text", { x, y: this.height - 4, "text-anchor": anchor }, label),
      ];
    });
  }

  #line(style, points) {
    return element("path", { class: style, d: `M${points.map((point) => point.join(" ")).join("L")}` });
  }

  /** A line that breaks where values or days are missing; a lone one is a dot. */
  #series(values, style) {
    let pen = "M";
    const parts = values.map((value, number) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const at = `${this.#x(this.times[number]).toFixed(1)} ${this.#y(value).toFixed(1)}`;
      if (this.times[number] - this.times[number - 1] > DAY) pen = "M";
      const part = pen === "M" ? `M${at}h0` : `L${at}`;
      pen = "L";
      return part;
    });
    const dense = values.length > DENSE ? " dense" : "";
    return element("path", { class: `series ${style}${dense}`, d: parts.join("") });
  }
}

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** What a line shows, in words. */
function summary({ name, values }) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return `${name}: no value`;
  const mean = known.reduce((sum, value) => sum + value, 0) / known.length;
  const ends = `${told(Math.min(...known))} to ${told(Math.max(...known))}`;
  return `${name}: ${ends}, mean ${told(mean)} m³/m³, ${known.length} days`;
}

/** Days to name along the axis: the first of months, or in a short series every so many days. */
function ticks(times) {
  const [first, last] = [times[0], times.at(-1)];
  const days = (last - first) / DAY;
  const month = (time) => MONTHS.slice(3 * new Date(time).getUTCMonth()).slice(0, 3);
  if (days <= 62) {
    const every = [1, 2, 5, 7, 10, 14, 20].find((step) => days / step < MOST_TICKS);
    return Array.from({ length: Math.floor(days / every) + 1 }, (_, number) => {
      const time = first + number * every * DAY;
      return { time, label: `${new Date(time).getUTCDate()} ${month(time)}` };
    });
  }
  const from = new Date(first);
  const months = days / 30.4;
  const every = [1, 2, 3, 6, 12, 24, 60].find((step) => months / step <= MOST_TICKS) ?? 120;
  const starts = Array.from({ length: Math.ceil(months) + 2 }, (_, number) =>
    Date.UTC(from.getUTCFullYear(), from.getUTCMonth() + number, 1),
  );
  const count = (date) => 12 * date.getUTCFullYear() + date.getUTCMonth();
  return starts
    .filter((time) => time >= first && time <= last && count(new Date(time)) % every === 0)
    .map((time) => ({ time, label: month(time) === "Jan" ? `${new Date(time).getUTCFullYear()}` : month(time) }));
}
