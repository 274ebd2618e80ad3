// From codes to colours: the same stops, interpolated linearly, as Earth Engine draws the layers.
import { EMPTY, MAPPED, WATER } from "./moisture.js";

/** Red, green and blue at a share of the way through the stops. */
function between(stops, share) {
  const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return [0, 2, 4].map((at) => {
    const [from, to] = [stops[low], stops[low + 1]].map((stop) => parseInt(stop.slice(at, at + 2), 16));
    return Math.round(from + (to - from) * (place - low));
  });
}

/** The colour of each code, as ImageData holds it; that of code 0 is for no value. */
export function ramp(study, missing) {
  const { low, high, stops } = study.scale;
  const { step, first, highest } = study.values;
  return Uint32Array.from({ length: highest + 1 }, (_, code) =>
    code ? packed(between(stops, ((code - 1 + first) * step - low) / (high - low))) : packed(missing),
  );
}

function packed([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/** Red, green and blue of a CSS colour written #rrggbb. */
export function parsed(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** A picture of the grid, one pixel for each of its own. */
export class Raster {
  constructor(width, height) {
    this.canvas = document.createElement("canvas");
    Object.assign(this.canvas, { width, height });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /**
   * Paint a day.
   * @param kinds of each pixel.
   * @param codeOf gives the code of a pixel by its number.
   * @param colours of codes.
   * @param water colour of pixels under water without a code.
   */
  paint(kinds, codeOf, colours, water) {
    const wet = packed(water);
    for (let pixel = 0; pixel < kinds.length; pixel += 1) {
      const kind = kinds[pixel];
      if (kind === MAPPED || kind === EMPTY) this.pixels[pixel] = colours[codeOf(pixel)];
      else this.pixels[pixel] = kind === WATER ? wet : 0;
    }
    this.context.putImageData(this.image, 0, 0);
  }

  /** Show nothing. */
  clear() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }
}
