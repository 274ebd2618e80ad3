// The legend: colours with their ticks, and what is no soil moisture.

const MOST_LABELS = 5;

/** Round values between two ends: multiples of a tick, so many at most. */
export function multiples(low, high, tick, most) {
  const [first, last] = [Math.ceil(low / tick - 1e-6), Math.floor(high / tick + 1e-6)];
  const every = [1, 2, 4, 10, 20].find((step) => Math.floor(last / step) - Math.ceil(first / step) < most) ?? 20;
  const start = Math.ceil(first / every);
  return Array.from({ length: Math.floor(last / every) - start + 1 }, (_, number) => (start + number) * every * tick);
}

export function drawLegend(section, study, hasWater) {
  const { low, high, tick, stops } = study.scale;
  const bar = section.querySelector(".bar");
  bar.firstElementChild.style.background = `linear-gradient(to right, ${stops.map((stop) => `#${stop}`).join(", ")})`;
  bar.setAttribute(
    "aria-label",
    `Colours from yellow, ${low.toFixed(2)} m³/m³ and drier, over green to violet, ${high.toFixed(2)} m³/m³ and wetter`,
  );
  const labelled = new Set(multiples(low, high, tick, MOST_LABELS));
  const marks = multiples(low, high, tick, Infinity).map((value) => {
    const item = document.createElement("li");
    item.textContent = labelled.has(value) ? value.toFixed(2) : "";
    item.style.left = `${(100 * (value - low)) / (high - low)}%`;
    return item;
  });
  section.querySelector(".ticks").replaceChildren(...marks);
  section.querySelector(".of-water").hidden = !hasWater;
}
