for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, {
    responsive: true,
    displayModeBar: false,
    doubleClick: "reset+autosize",
  });
}

for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
    Plotly.relayout("front-plot", { "yaxis.range": [+button.dataset.low, +button.dataset.high] });
  });
}

function sortKey(row, column) {
  const text = row.cells[column].dataset.v;
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
}

function compare(left, right) {
  if (typeof left === typeof right) return left < right ? -1 : left > right ? 1 : 0;
  return typeof left === "number" ? -1 : 1;
}

for (const header of document.querySelectorAll(".sortable th")) {
  header.firstElementChild.addEventListener("click", () => {
    const body = header.closest("table").tBodies[0];
    const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
    const rows = [...body.rows].sort(
      (a, b) => sign * compare(sortKey(a, header.cellIndex), sortKey(b, header.cellIndex)),
    );
    body.append(...rows);
  });
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
