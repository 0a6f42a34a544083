// A finger covers what it points at: on such screens the panel says what a hover would.
const hovers = matchMedia("(min-width: 560px)").matches && !matchMedia("(pointer: coarse)").matches;

for (const [id, figure] of Object.entries(figures)) {
  if (!hovers) figure.layout.hovermode = id === "front-plot" ? "closest" : false;
  Plotly.newPlot(id, figure.data, figure.layout, {
    responsive: true,
    displayModeBar: false,
    doubleClick: "reset+autosize",
  });
}

const plot = document.getElementById("front-plot");
if (!hovers) {
  const shown = plot.data.map((one) => (one.hoverinfo === "skip" ? "skip" : "none"));
  Plotly.restyle(plot, { hoverinfo: shown, hovertemplate: plot.data.map(() => null) });
}

for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
    Plotly.relayout("front-plot", { "yaxis.range": [+button.dataset.low, +button.dataset.high] });
  });
}

const save = document.getElementById("save-svg");
save.addEventListener("click", () => Plotly.downloadImage(plot, { format: "svg", filename: "front", width: 960, height: 600 }));

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
    const sorted = [...body.rows].sort(
      (a, b) => sign * compare(sortKey(a, header.cellIndex), sortKey(b, header.cellIndex)),
    );
    body.append(...sorted);
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
