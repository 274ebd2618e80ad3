// What stands on the map beside the data: scale bar and north arrow.

const WIDEST = 140; // CSS pixels of the scale bar

export function drawFurniture(bar, arrow, view, grid, geography) {
  const metres = grid.metres / view.scale; // to a CSS pixel
  const room = Math.min(view.width / 3, WIDEST) * metres;
  const ten = 10 ** Math.floor(Math.log10(room));
  const length = [5, 2, 1].map((times) => times * ten).find((one) => one <= room);
  const label = length >= 1000 ? `${length / 1000} km` : `${length} m`;
  bar.style.width = `${length / metres}px`;
  bar.firstElementChild.textContent = label;
  bar.setAttribute("aria-label", `Scale: the bar is ${label} long`);
  const middle = view.toGrid(view.width / 2, view.height / 2);
  arrow.firstElementChild.style.rotate = `${geography.north(middle.x, middle.y)}rad`;
}
