// Longitude and latitude of places told in pixels, from a lattice of known ones; lines of equal degrees.

const STEPS = [10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01]; // degrees between lines

export class Geography {
  constructor(grid) {
    this.grid = grid;
    this.lattice = grid.lattice;
    this.across = grid.width / (grid.lattice.columns - 1); // pixels between columns of the lattice
    this.down = grid.height / (grid.lattice.rows - 1);
  }

  /** Degrees at a place, by bilinear interpolation. */
  at(x, y) {
    const { columns, rows } = this.lattice;
    const column = clamp(Math.floor(x / this.across), 0, columns - 2);
    const row = clamp(Math.floor(y / this.down), 0, rows - 2);
    const [u, v] = [x / this.across - column, y / this.down - row];
    const between = (values) => {
      const corner = row * columns + column;
      const upper = values[corner] * (1 - u) + values[corner + 1] * u;
      const lower = values[corner + columns] * (1 - u) + values[corner + columns + 1] * u;
      return upper * (1 - v) + lower * v;
    };
    return { lon: between(this.lattice.lon), lat: between(this.lattice.lat) };
  }

  /** Metres of the grid's system at a pixel's centre. */
  metres(column, row) {
    const { left, top, metres } = this.grid;
    return { east: left + (column + 0.5) * metres, north: top - (row + 0.5) * metres };
  }

  /** Clockwise angle of true north at a place, radians; 0 where it is straight up. */
  north(x, y) {
    const [here, right, above] = [this.at(x, y), this.at(x + 1, y), this.at(x, y - 1)];
    const east = (place) => (place.lon - here.lon) * Math.cos((here.lat * Math.PI) / 180);
    const [ax, ay] = [east(right), right.lat - here.lat]; // a step right, in degrees east and north
    const [bx, by] = [east(above), above.lat - here.lat];
    const turn = ax * by - ay * bx;
    return Math.atan2(-bx / turn, ax / turn); // of (0, 1) in steps right and up
  }

  /** Meridians and parallels as lines of [x, y], for a view that shows so many pixels across. */
  graticule(pixels) {
    const { lon, lat, columns } = this.lattice;
    const wide = (Math.abs(lat[0] - lat.at(-1)) * pixels) / this.grid.height;
    const step = STEPS.findLast((one) => wide / one <= 6) ?? STEPS[0];
    return {
      meridians: this.#lines(lon, step, (row, part) => [part * this.across, row * this.down], columns, 1),
      parallels: this.#lines(lat, step, (column, part) => [column * this.across, part * this.down], 1, columns),
    };
  }

  /** Where values cross multiples of a step, going along one side of the lattice for each place of the other. */
  #lines(values, step, place, outer, inner) {
    const { columns, rows } = this.lattice;
    const [places, along] = outer === 1 ? [columns, rows] : [rows, columns];
    const lowest = Math.ceil(Math.min(...values) / step);
    const highest = Math.floor(Math.max(...values) / step);
    const lines = [];
    for (let number = lowest; number <= highest; number += 1) {
      const wanted = number * step;
      const points = [];
      for (let at = 0; at < places; at += 1) {
        for (let from = 0; from + 1 < along; from += 1) {
          const [a, b] = [from, from + 1].map((next) => values[at * outer + next * inner] - wanted);
          if (a !== b && a * b <= 0) {
            points.push(place(at, from + a / (a - b)));
            break;
          }
        }
      }
      if (points.length > 1) lines.push({ degrees: wanted, points });
    }
    return lines;
  }
}

export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** Degrees with their hemisphere, such as 117.25° E. */
export function degrees(value, [positive, negative], digits) {
  const shown = Math.abs(value).toFixed(digits);
  return `${shown}° ${value < 0 ? negative : positive}`;
}

export const EAST_WEST = ["E", "W"];
export const NORTH_SOUTH = ["N", "S"];
