"use strict";
// Headings of tables become buttons that sort: up, down, and back to the order of the report. Rows without a
// value stay last. Without this script the page is whole, only not sortable.

const compare = new Intl.Collator("en", { numeric: true }).compare;
const next = { none: "ascending", ascending: "descending", descending: "none" };

function value(row, column) {
  const cell = row.cells[column];
  if ("order" in cell.dataset) return Number(cell.dataset.order);
  const text = cell.textContent.trim();
  return text === "–" || cell.classList.contains("number") ? null : text;
}

function sorted(rows, column, direction) {
  if (direction === "none") return rows;
  const sign = direction === "ascending" ? 1 : -1;
  return rows
    .map((row) => [value(row, column), row])
    .sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      return sign * (typeof one === "number" ? one - other : compare(one, other));
    })
    .map(([, row]) => row);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    heading.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const direction = next[heading.getAttribute("aria-sort")];
      for (const each of headings) each.setAttribute("aria-sort", "none");
      heading.setAttribute("aria-sort", direction);
      body.append(...sorted(rows, column, direction));
      const told = direction === "none" ? "in the order of the report" : `by ${button.textContent}, ${direction}`;
      document.getElementById("said").textContent = `Sorted ${told}.`;
    });
  });
}

// Whatever scrolls sideways can be reached by keyboard; what does not scroll needs no stop there.
const sideways = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const each of document.querySelectorAll(".scroll, .picture, .listing")) sideways.observe(each);

// What is folded is printed too.
const folded = [...document.querySelectorAll("details")];
let opened = [];
addEventListener("beforeprint", () => {
  opened = folded.filter((each) => !each.open);
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of opened) each.open = false;
});
