// The days: slider, steps and playing.
import { clamp } from "./geography.js";

const PACE = 450; // ms from day to day
const SLOW_PACE = 1500; // for readers who asked for less motion

export class Player {
  #timer = 0;
  playing = false;

  /**
   * @param parts {day, date, previous, next, play}, elements; `day` is the slider.
   * @param days ISO dates.
   * @param show called with the number of a day; gives a promise that it is on the map.
   */
  constructor(parts, days, show) {
    Object.assign(this, { parts, days, show });
    const { day: slider, previous, next, play } = parts;
    slider.max = days.length - 1;
    slider.addEventListener("input", () => this.jump(Number(slider.value)));
    previous.addEventListener("click", () => this.step(-1));
    next.addEventListener("click", () => this.step(1));
    play.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => document.hidden && this.stop());
  }

  get day() {
    return Number(this.parts.day.value);
  }

  /** Show a day; the slider and its text follow at once, the map when it has the numbers. */
  go(day) {
    const { day: slider, date, previous, next } = this.parts;
    slider.value = day;
    slider.setAttribute("aria-valuetext", this.days[day]);
    date.textContent = this.days[day];
    previous.disabled = day === 0 && document.activeElement !== previous;
    next.disabled = day === this.days.length - 1 && document.activeElement !== next;
    return this.show(day);
  }

  /** Stop playing, and show a day. */
  jump(day) {
    this.stop();
    this.go(day);
  }

  step(by) {
    this.jump(clamp(this.day + by, 0, this.days.length - 1));
  }

  toggle() {
    if (this.playing) this.stop();
    else this.#start();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#tell(false);
  }

  #start() {
    this.#tell(true);
    this.#next(this.day === this.days.length - 1 ? 0 : this.day + 1);
  }

  async #next(day) {
    if (!this.playing) return;
    const shown = await this.go(day);
    if (!this.playing) return;
    if (!shown || day === this.days.length - 1) {
      this.stop();
      return;
    }
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.#timer = setTimeout(() => this.#next(day + 1), still ? SLOW_PACE : PACE);
  }

  #tell(playing) {
    this.playing = playing;
    this.parts.play.setAttribute("aria-label", playing ? "Pause" : "Play");
    this.parts.play.classList.toggle("playing", playing);
    this.parts.date.setAttribute("aria-live", playing ? "off" : "polite"); // no reader can say two days a second
  }
}
