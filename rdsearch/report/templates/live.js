// The page asks its server now and then whether it has changed, and shows the next one where the reader left this.
const live = document.getElementById("live");
const kept = JSON.parse(sessionStorage.getItem("watched") || "{}");
let zoomed = false;

function busy() {
  return document.hidden || document.querySelector(":active") !== null || !getSelection().isCollapsed;
}

function keep() {
  const row = document.querySelector("#front-table .chosen");
  const state = { open: [...document.querySelectorAll("details[open][id]")].map((one) => one.id) };
  if (slider) state.drop = slider.value;
  if (row) state.file = cards[Number(row.cells[0].dataset.v) - 1].file[0];
  if (zoomed) state.zoom = { "xaxis.range": plot.layout.xaxis.range, "yaxis.range": plot.layout.yaxis.range };
  sessionStorage.setItem("watched", JSON.stringify(state));
}

for (const id of kept.open || []) {
  const details = document.getElementById(id);
  if (details) details.open = true;
}
if (slider && kept.drop !== undefined) {
  slider.value = kept.drop;
  slider.dispatchEvent(new Event("input"));
  const index = cards.findIndex((card) => card.file[0] === kept.file);
  if (index >= 0) choose(index);
}
if (kept.zoom) {
  zoomed = true;
  Plotly.relayout(plot, kept.zoom);
}
plot.on("plotly_relayout", (event) => { zoomed = "xaxis.range[0]" in event || "yaxis.range[0]" in event; });

async function look() {
  try {
    const { version, status } = await (await fetch("state.json")).json();
    live.textContent = `· live · ${status}`;
    if (version !== Number(live.dataset.version) && !busy()) {
      keep();
      location.reload();
      return;
    }
  } catch {
    live.textContent = "· rdsearch watch has ended: this is what it saw last";
  }
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
