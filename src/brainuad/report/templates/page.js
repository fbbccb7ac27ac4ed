"use strict";
// A click (or Enter) on a heading sorts its table; numbers by their full value, not by the rounded one.
for (const table of document.querySelectorAll("table.sortable")) {
  table.classList.add("live");
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => {
    const cell = row.cells[i];
    const text = cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
    const number = text === "" || text === "–" ? NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  };
  const missing = (v) => v === "" || v === "–";
  const sort = (i) => {
    const up = heads[i].getAttribute("aria-sort") === "descending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[i].setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const x = value(a, i), y = value(b, i);
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  };
  heads.forEach((head, i) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sort(i));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(i); });
  });
}
// A pointer on the dot of a patient marks the same patient in all rows of the picture.
for (const chart of document.querySelectorAll(".patients .chart")) {
  const people = [...chart.querySelectorAll("[data-person]")];
  const mark = (event) => people.forEach((each) => each.classList.toggle("same", each.dataset.person === event.target.dataset.person));
  chart.addEventListener("pointerover", mark);
}
