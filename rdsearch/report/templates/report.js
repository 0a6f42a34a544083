const trace = (name) => plot.data.findIndex((one) => one.name === name);

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
    const text = `${Math.round(bytes).toLocaleString("en")} B, ${(100 * alive).toPrecision(3)} %`;
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
  if (card.parts.length) panel.append(element("h4", { textContent: "Where the bytes are, and the share of values that is not zero" }), bars(card.parts));
  if (card.commands.length) panel.append(element("h4", { textContent: "In this folder" }), ...card.commands.map(command));
  const near = card.near ? [["nearest heuristic", card.near]] : [];
  panel.append(element("details", {}, element("summary", { textContent: "Recipe" }), rows([...near, ...card.recipe])));
  const rounds = [0, 1, 2].map((column) => card.rounds.map((round) => round[column]));
  Plotly.restyle(plot, { text: [rounds[0]], x: [rounds[1]], y: [rounds[2]] }, [trace("rounds of the trial")]);
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
