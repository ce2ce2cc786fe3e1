// The pages work without this; it adds sorting, filtering, copying, dark mode and charts.
"use strict";

const root = document.documentElement;
const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

// Theme: before anything is painted. A file:// page may have no storage.
function remember(theme) {
  try { localStorage.setItem("mmbench-theme", theme); } catch { /* then only this page knows */ }
}
function remembered() {
  try { return localStorage.getItem("mmbench-theme"); } catch { return null; }
}
if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();

function themeButton() {
  const button = document.getElementById("theme");
  const show = () => {
    button.setAttribute("aria-pressed", String(dark()));
    drawAll(drawn());
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// Tables: each heading is a button; a second press turns the order round; missing figures stay last.
// Of a long board only the first lines are laid out until the reader asks for all.
const DESCENDING_FIRST = new Set(["gain", "wins", "tasks"]);
const FIRST = 100;

function interactive(board) {
  const form = board.querySelector("form.filters");
  const all = form.querySelector("button");
  let most = FIRST;
  const refresh = () => { show(board, form, all, most); };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", refresh);
  form.addEventListener("change", refresh); // not every browser tells both of a menu
  all.addEventListener("click", () => {
    most = Infinity;
    refresh();
  });
  if (board.dataset.higher === "yes") DESCENDING_FIRST.add("score");
  for (const button of board.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      turn(board, button);
      refresh();
    });
  }
  refresh();
}

function turn(board, button) {
  const heading = button.closest("th");
  const old = heading.getAttribute("aria-sort");
  const first = DESCENDING_FIRST.has(button.dataset.column) ? "descending" : "ascending";
  const order = old ? (old === "ascending" ? "descending" : "ascending") : first;
  for (const other of board.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const numeric = heading.classList.contains("number");
  sort(board.querySelector("tbody"), button.dataset.column, numeric, order === "ascending" ? 1 : -1);
}

function sort(body, column, numeric, sign) {
  const place = [...body.rows[0].cells].findIndex((cell) => cell.dataset.column === column);
  const keyed = [...body.rows].map((row) => {
    const text = row.cells[place].dataset.value;
    return { row, missing: text === "", key: numeric ? Number(text) : text };
  });
  const compare = numeric ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
  keyed.sort((a, b) => a.missing - b.missing || (a.missing ? 0 : sign * compare(a.key, b.key)));
  body.append(...keyed.map(({ row }) => row));
}

function show(board, form, all, most) {
  const rows = [...board.querySelector("tbody").rows];
  const kept = rows.filter(wanted(form));
  const shown = new Set(kept.slice(0, most));
  for (const row of rows) row.hidden = !shown.has(row);
  const count = kept.length === rows.length ? `${rows.length} rows` : `${kept.length} of ${rows.length} rows`;
  const cut = shown.size < kept.length;
  form.querySelector("output").textContent = cut ? `${count}, the first ${most} shown` : count;
  all.hidden = !cut;
}

function wanted(form) {
  const { words, hardware, level, fused, front, leads } = form.elements;
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) =>
    asked.every((word) => row.dataset.words.includes(word)) &&
    (!hardware?.value || row.querySelector(".c-hardware").dataset.value === hardware.value) &&
    !(fused?.checked && "reference" in row.dataset) &&
    !(front?.checked && !("front" in row.dataset)) &&
    (!level?.value || row.dataset.level === level.value) &&
    !(leads?.checked && !row.classList.contains("leads"));
}

function copyable(button) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

// Charts: colours are named in the figures and looked up in the stylesheet, so they follow the theme.
const coarse = matchMedia("(pointer: coarse)").matches;
const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: coarse ? false : "hover",
  modeBarButtons: [["toImage", "resetScale2d"]],
};

function colours() {
  const probe = document.body.appendChild(document.createElement("span"));
  const known = new Map([["var(--font)", getComputedStyle(root).getPropertyValue("--font")]]);
  const look = (name) => {
    if (!known.has(name)) {
      probe.style.color = name;
      known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
  };
  return { look, done: () => probe.remove() };
}

function resolved(value, look) {
  if (typeof value === "string") return /^var\(--[\w-]+\)$/.test(value) ? look(value) : value;
  if (Array.isArray(value)) return value.map((item) => resolved(item, look));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, resolved(item, look)]));
  return value;
}

function draw(chart, look) {
  const plot = chart.querySelector(".plot");
  const select = chart.querySelector("select");
  const views = JSON.parse(chart.querySelector("script").textContent);
  const { data, layout } = resolved(views[select ? select.selectedIndex : 0], look);
  layout.dragmode = coarse ? false : "zoom";
  if (layout.height) plot.style.height = `${layout.height}px`;
  delete layout.height;
  if (printing) layout.width = Math.min(plot.clientWidth, PAPER);
  Plotly.react(plot, data, layout, CONFIG);
  nameDrawing(plot, chart.querySelector("h3").textContent);
  if (plot.dataset.ready) return;
  plot.dataset.ready = "yes";
  plot.on("plotly_click", ({ points: [point] }) => {
    if (point.customdata) location.href = point.customdata.at(-1);
  });
  select?.addEventListener("change", () => drawAll([chart]));
}

// To those who hear the page a chart is one image; its layers say nothing, and its buttons stay apart.
function nameDrawing(plot, name) {
  const [drawing, ...layers] = plot.querySelectorAll(".main-svg");
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", name);
  for (const layer of layers) layer.setAttribute("aria-hidden", "true");
}

// A chart is drawn when the reader comes near it, the others one by one a little later; from then on
// it follows the theme.
const LATER = 1000;

function drawCharts() {
  const near = new IntersectionObserver((entries) => {
    drawAll(entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target).filter(blank));
  }, { rootMargin: "50% 0px" });
  for (const chart of document.querySelectorAll("figure.chart")) near.observe(chart);
  setTimeout(drawNext, LATER);
}

function drawNext() {
  const next = [...document.querySelectorAll("figure.chart")].find(blank);
  if (!next || !window.Plotly) return;
  drawAll([next]);
  setTimeout(drawNext);
}

const blank = (chart) => !chart.querySelector("[data-ready]");
const drawn = () => [...document.querySelectorAll("figure.chart:has([data-ready])")];

function drawAll(charts) {
  if (!window.Plotly || !charts.length) return;
  const { look, done } = colours();
  for (const chart of charts) draw(chart, look);
  done();
}

// Paper is white, and narrower than most screens.
const PAPER = 640;
let printing = false;
let before;
addEventListener("beforeprint", () => {
  printing = true;
  before = root.dataset.theme;
  root.dataset.theme = "light";
  drawAll([...document.querySelectorAll("figure.chart")]);
});
addEventListener("afterprint", () => {
  printing = false;
  if (before) root.dataset.theme = before;
  else delete root.dataset.theme;
  drawAll(drawn());
});

addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".board").forEach(interactive);
  document.querySelectorAll("button.copy").forEach(copyable);
  themeButton();
  drawCharts();
});
