// A finger covers what it points at: on such screens the panel says what a hover would.
const hovers = matchMedia("(min-width: 560px)").matches && !matchMedia("(pointer: coarse)").matches;

// Sizes to mark from low to high, where each label has room: 1, 2 and 5 of each decade, or steps of one length.
function sizeTicks(low, high, most) {
  const decades = [...Array(12).keys()].map((decade) => 10 ** decade);
  for (const digits of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = decades.flatMap((decade) => digits.map((digit) => digit * decade)).filter((tick) => low <= tick && tick <= high);
    if (ticks.length > most) continue;
    if (ticks.length > 2) return ticks;
    break;
  }
  const rough = Math.max((high - low) / Math.min(most, 5), 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((one) => one >= rough), first = Math.ceil(low / step);
  return [...Array(Math.floor(high / step) - first + 1).keys()].map((index) => (first + index) * step);
}

function sizeLabel(bytes) {
  const unit = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 3);
  return `${+(bytes / 1000 ** unit).toPrecision(6)} ${["B", "kB", "MB", "GB"][unit]}`;
}

function markSizes(axis, width) {
  const [low, high] = axis.range.map((one) => 10 ** one);
  const ticks = sizeTicks(low, high, Math.max(2, Math.min(9, Math.floor(width / 56))));
  return { tickvals: ticks, ticktext: ticks.map(sizeLabel) };
}

for (const [id, figure] of Object.entries(figures)) {
  if (id === "front-plot") {
    Object.assign(figure.layout.xaxis, markSizes(figure.layout.xaxis, document.getElementById(id).clientWidth - 80));
  }
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

// Names of published points beside their marks, each where it lies on no other name and on no mark of a front.
const CORNERS = ["middle right", "middle left", "top center", "bottom center", "top right", "bottom right", "top left", "bottom left"];

function nameBox(x, y, width, position) {
  const [vertical, horizontal] = position.split(" ");
  const left = horizontal === "left" ? x - 6 - width : horizontal === "right" ? x + 6 : x - width / 2;
  const top = vertical === "top" ? y - 21 : vertical === "bottom" ? y + 5 : y - 8;
  return [left, top, left + width, top + 16];
}

function placeNames() {
  const published = plot.data.findIndex((one) => one.name === "published");
  if (published < 0) return;
  const { xaxis, yaxis } = plot._fullLayout;
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = "12px system-ui, sans-serif";
  const place = (one) => [xaxis.c2p(one.x), yaxis.c2p(one.y)];
  const taken = plot.calcdata.flatMap((marks, index) =>
    /^points,|^all points/.test(plot.data[index].name) ? [] : marks.map(place).filter(([x, y]) => Number.isFinite(x + y)).map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]));
  const free = (box) => box[0] >= 0 && box[2] <= xaxis._length && box[1] >= 0 && box[3] <= yaxis._length
    && taken.every((other) => box[2] <= other[0] || box[0] >= other[2] || box[3] <= other[1] || box[1] >= other[3]);
  const positions = [], colors = [];
  plot.calcdata[published].forEach((mark, index) => {
    const [x, y] = place(mark), width = pen.measureText(plot.data[published].text[index]).width + 4;
    const position = CORNERS.find((one) => free(nameBox(x, y, width, one)));
    if (position) taken.push(nameBox(x, y, width, position));
    positions.push(position || CORNERS[0]);
    colors.push(position ? "#6e6e6e" : "rgba(0,0,0,0)");
  });
  Plotly.restyle(plot, { textposition: [positions], "textfont.color": [colors] }, [published]);
}
placeNames();
plot.on("plotly_relayout", (change) => {
  if (Object.keys(change).some((key) => key.startsWith("xaxis.range") || key === "xaxis.autorange")) {
    const { xaxis } = plot._fullLayout, marks = markSizes(xaxis, xaxis._length);
    Plotly.relayout(plot, { "xaxis.tickvals": marks.tickvals, "xaxis.ticktext": marks.ticktext });
  }
  placeNames();
});

for (const button of document.querySelectorAll(".views button")) {
  button.addEventListener("click", () => {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
    Plotly.relayout("front-plot", { "yaxis.range": [+button.dataset.low, +button.dataset.high] });
  });
}

function download(name, text) {
  const link = Object.assign(document.createElement("a"), { download: name, href: URL.createObjectURL(new Blob([text])) });
  link.click();
  URL.revokeObjectURL(link.href);
}

// What a table shows, and of its columns those too that a narrow screen hides.
for (const button of document.querySelectorAll("button[data-csv]")) {
  button.addEventListener("click", () => {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = [...document.getElementById(button.dataset.csv).rows].map((row) =>
      [...row.cells].map((cell) => quoted(cell.dataset.v ?? (cell.title || cell.textContent.trim()))).join(","));
    download(`${button.dataset.csv}.csv`, `${lines.join("\n")}\n`);
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
