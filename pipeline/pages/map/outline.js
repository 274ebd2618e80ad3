// Borders between pixels of different codes, as one path along the edges of pixels.

/**
 * @param codes of a grid, row after row.
 * @param width of the grid.
 * @param counts tells of two codes whether there is a border between them.
 */
export function outline(codes, width, counts) {
  const height = codes.length / width;
  const path = new Path2D();
  const code = (row, column) =>
    row < 0 || column < 0 || row >= height || column >= width ? 0 : codes[row * width + column];
  for (let row = 0; row <= height; row += 1) {
    runs(width, (column) => counts(code(row - 1, column), code(row, column)), (from, to) => {
      path.moveTo(from, row);
      path.lineTo(to, row);
    });
  }
  for (let column = 0; column <= width; column += 1) {
    runs(height, (row) => counts(code(row, column - 1), code(row, column)), (from, to) => {
      path.moveTo(column, from);
      path.lineTo(column, to);
    });
  }
  return path;
}

/** Call `found` with the ends of each run of places for which `holds`. */
function runs(length, holds, found) {
  let start = -1;
  for (let place = 0; place <= length; place += 1) {
    const inside = place < length && holds(place);
    if (inside && start < 0) start = place;
    if (!inside && start >= 0) {
      found(start, place);
      start = -1;
    }
  }
}
