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
const trace = (name) => plot.data.findIndex((one) => one.name === name);
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

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function rows(pairs) {
  const body = element("tbody");
  for (const [name, value] of pairs) {
    body.append(element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { textContent: value })));
  }
  return element("table", {}, body);
}

function bars(parts) {
  const largest = Math.max(...parts.map((part) => part[2]), 1);
  const box = element("div", { className: "bars" });
  for (const [name, alive, bytes] of parts) {
    const fill = element("i");
    fill.style.width = `${(100 * bytes) / largest}%`;
    const text = `${Math.round(bytes).toLocaleString("en")} B, ${(100 * alive).toPrecision(3)} % alive`;
    box.append(element("div", { className: "bar", title: name }, fill, element("span", { textContent: name }), element("b", { textContent: text })));
  }
  return box;
}

function command(text) {
  const copy = element("button", { className: "plain", textContent: "Copy", type: "button" });
  const code = element("code", { textContent: text });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code); // a page from a file may not write to the clipboard everywhere
      copy.textContent = "Selected";
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return element("div", { className: "command" }, code, copy);
}

function choose(index) {
  const card = cards[index];
  const panel = document.getElementById("card");
  const [file, link] = card.file;
  panel.replaceChildren(
    element("h3", { textContent: `#${index + 1}: ${card.title}` }),
    rows(card.figures),
    element("p", {}, link ? element("a", { href: link, download: "", textContent: file }) : file),
  );
  if (card.parts.length) panel.append(element("h4", { textContent: "Weights: about so many bytes, and the share that is left" }), bars(card.parts));
  if (card.commands.length) panel.append(element("h4", { textContent: "In this folder" }), ...card.commands.map(command));
  panel.append(element("details", {}, element("summary", { textContent: "Recipe" }), rows(card.recipe)));
  const sizes = card.rounds.map((round) => round[0]);
  const accuracies = card.rounds.map((round) => round[1]);
  Plotly.restyle(plot, { x: [sizes], y: [accuracies] }, [trace("rounds of the trial")]);
  Plotly.restyle(plot, { "marker.size": [cards.map((_, other) => (other === index ? 14 : 8))] }, [trace("front (validation)")]);
  for (const row of document.querySelectorAll("#front-table tbody tr")) {
    row.classList.toggle("chosen", row.cells[0].dataset.v === String(index + 1));
  }
}

const slider = document.getElementById("drop");
if (slider) {
  const say = () => {
    const allowed = Number(slider.value);
    const index = cards.findIndex((card) => card.drop <= allowed + 1e-9);
    const output = document.getElementById("drop-text");
    output.textContent = index < 0
      ? `${allowed.toFixed(4)}: no file loses so little`
      : `${allowed.toFixed(4)}: #${index + 1}, ${cards[index].title}`;
    if (index >= 0) choose(index);
  };
  slider.addEventListener("input", say);
  plot.on("plotly_click", (event) => {
    const hit = event.points.find((point) => /^front/.test(point.data.name || ""));
    if (hit) choose(hit.pointIndex);
  });
  for (const row of document.querySelectorAll("#front-table tbody tr")) {
    row.addEventListener("click", () => choose(Number(row.cells[0].dataset.v) - 1));
  }
  say();
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
