"use strict";
const table = document.getElementById("panels");
const body = table.tBodies[0];
const rows = [...body.rows];
const filters = document.getElementById("filters");
const shown = document.getElementById("shown");

// A cell's number, or else its text. Missing values are null.
function valueOf(cell) {
  const text = cell.textContent.trim();
  if (text === "" || text === "-") return null;
  const number = Number.parseFloat(text);
  return Number.isNaN(number) || cell.classList.contains("text") ? text.toLowerCase() : number;
}

function sortBy(column, descending) {
  const keyed = rows.map((row) => [valueOf(row.cells[column]), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = a < b ? -1 : a > b ? 1 : 0;
    return descending ? -order : order;
  });
  body.append(...keyed.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

table.tHead.addEventListener("click", (event) => {
  const cell = event.target.closest("th");
  if (cell) sortBy(cell.cellIndex, cell.getAttribute("aria-sort") === "ascending");
});

function filter() {
  const wanted = new FormData(filters);
  const text = wanted.get("case").trim().toLowerCase();
  let count = 0;
  for (const row of rows) {
    const keep = ["regime", "layout", "threads", "standing"].every(
      (name) => !wanted.get(name) || row.dataset[name].split("|").includes(wanted.get(name)));
    row.hidden = !(keep && row.cells[0].textContent.toLowerCase().includes(text));
    count += !row.hidden;
  }
  shown.textContent = `${count} of ${rows.length} panels`;
}
filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());

// A mark in a picture names its panel, and shows the panel's row.
const rowOf = (link) => document.getElementById(link.getAttribute("href").slice(1));
document.addEventListener("mouseover", (event) => {
  const link = event.target.closest?.("svg a");
  if (!link || link.querySelector("title")) return;
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  const cells = [...rowOf(link).cells].slice(0, table.dataset.summary);
  const heads = table.tHead.rows[0].cells;
  title.textContent = cells
    .map((cell, i) => (i < 4 ? cell.textContent : `${heads[i].textContent}: ${cell.textContent}`))
    .join("\n");
  link.prepend(title);
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#r"]');
  if (link && rowOf(link)?.hidden) {
    filters.reset();
    filter();
  }
});
filter();
