// Where blocks of numbers come from: the page itself, or scripts beside it that are loaded when needed.
import { decoded } from "./codec.js";

const KEPT = 8; // decoded blocks, of some megabytes each

export class Blocks {
  #folder;
  #kept = new Map(); // name -> promise of codes, the one used last at the end
  #waiting = new Map(); // name -> takes a script's text

  constructor(folder) {
    this.#folder = folder;
    globalThis.geeSmapBlock = (name, text) => this.#waiting.get(name)?.(text);
  }

  /** Whether the page itself has a block. */
  has(name) {
    return this.#own(name) !== null;
  }

  /** Codes of a block, row after row. */
  async read(name, columns) {
    return decoded(this.#own(name)?.textContent ?? (await this.#loaded(name)), columns);
  }

  /** The same, kept for the next time. */
  matrix(name, columns) {
    const found = this.#kept.get(name) ?? this.read(name, columns);
    found.catch(() => this.#kept.delete(name)); // so that it can be tried again
    this.#kept.delete(name);
    this.#kept.set(name, found);
    if (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
    return found;
  }

  #own(name) {
    return document.querySelector(`script[data-block="${name}"]`);
  }

  #loaded(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      this.#waiting.set(name, resolve);
      script.src = `${this.#folder}/${name}.js`;
      script.onerror = () =>
        reject(new Error(`${script.src} is missing: copy the folder ${this.#folder} together with this page.`));
      script.onload = () => reject(new Error(`${script.src} is not whole: copy it again.`)); // or it was taken
      document.head.append(script);
    }).finally(() => this.#waiting.delete(name));
  }
}
