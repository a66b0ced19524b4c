// Pointer, wheel, keys, search.
"use strict";

// ------------------------------------------------------------------ under the pointer

function itemAt(items, cycle) {
  const slack = 1.5 / V.scale, item = items[above(items, cycle + slack) - 1];
  return item && cycle < Math.max(item.end, item.cycle + slack) ? item : null;
}

// The flow whose slanted shape is there; else one that crosses the row in that cycle.
function flowAt(row, cycle, y) {
  const position = ((y - (row.y - V.top)) / row.h) * (D.positions - 1);
  let near = null;
  for (let i = above(row.flows, cycle - row.longest - 1); i < row.flows.length && row.flows[i].cycle <= cycle; i++) {
    const flow = row.flows[i], way = (position - flow.from) * flow.step, since = cycle - flow.cycle;
    const age = since - way;
    if (way >= 0 && way <= flow.hops && age >= 0 && age < flow.end - flow.cycle && age % flow.period < 1) return flow;
    if (since < flow.end - flow.cycle + flow.hops) near = flow;
  }
  return near;
}

function at(x, y) {
  if (x < GUTTER || y < AXIS) return null;
  const row = ROWS.find((r) => y >= r.y - V.top && y < r.y - V.top + r.h + 1);
  if (!row) return null;
  if (row.flows) return flowAt(row, cycleAt(x), y);
  return itemAt(row.operators || row.queue.boxes, cycleAt(x));
}

// ------------------------------------------------------------------------ movement

function zoom(factor, x = (GUTTER + V.width) / 2) {
  const cycle = cycleAt(x);
  V.scale *= factor;
  clampView();
  V.left = cycle - (x - GUTTER) / V.scale;
  redraw();
}

function move(dx, dy = 0) {
  V.left += dx / V.scale;
  V.top += dy;
  redraw();
}

function showSpan(first, last) {
  const span = Math.max(last - first, 4);
  V.scale = (V.width - GUTTER) / span;
  V.left = (first + last - span) / 2;
  clampView();
  redraw();
}
const fit = () => showSpan(-0.01 * D.cycles, 1.01 * D.cycles);

function zoomTo(chosen) {
  const span = chosen.end - chosen.cycle;
  showSpan(chosen.cycle - span - 6, chosen.end + span + 6);
}

function select(chosen, isBrought = false) {
  S.selected = chosen;
  showSelected();
  if (isBrought && chosen) bring(chosen);
  redraw();
}

// Scroll until a box is in view; zoom only where it would be a hair.
function bring(box) {
  const row = box.queue.row;
  if ((box.end - box.cycle) * V.scale < 4) zoomTo(box);
  if (X(box.cycle) < GUTTER || X(box.end) > V.width) V.left = (box.cycle + box.end - plotCycles()) / 2;
  if (row.y < V.top + AXIS || row.y + row.h > V.top + V.height) V.top = row.y - V.height / 2;
}

// ------------------------------------------------------------------------- pointer

let drag = null;

plot.addEventListener("pointerdown", (event) => {
  plot.setPointerCapture(event.pointerId);
  plot.focus();
  drag = { x: event.offsetX, y: event.offsetY, moved: false, isSpan: event.shiftKey };
});

plot.addEventListener("pointermove", (event) => {
  S.pointer = { x: event.offsetX, y: event.offsetY, clientX: event.clientX, clientY: event.clientY };
  if (drag) {
    dragged(event);
  } else {
    S.hover = at(event.offsetX, event.offsetY);
  }
  showTip();
  redraw();
});

function dragged(event) {
  const dx = event.offsetX - drag.x, dy = event.offsetY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) > 3) drag.moved = true;
  if (!drag.moved) return;
  S.hover = null;
  if (drag.isSpan) {
    S.span = [Math.round(cycleAt(drag.x)), Math.round(cycleAt(event.offsetX))];
  } else {
    move(-dx, -dy);
    [drag.x, drag.y] = [event.offsetX, event.offsetY];
  }
}

plot.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) select(at(event.offsetX, event.offsetY));
  if (S.span && S.span[0] !== S.span[1]) showSpan(Math.min(...S.span), Math.max(...S.span));
  [drag, S.span] = [null, null];
  redraw();
});

plot.addEventListener("pointerleave", () => { [S.hover, S.pointer] = [null, null]; showTip(); redraw(); });
plot.addEventListener("dblclick", (event) => { const chosen = at(event.offsetX, event.offsetY); if (chosen) zoomTo(chosen); });

plot.addEventListener("wheel", (event) => {
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 20 : 1, dx = event.deltaX * unit, dy = event.deltaY * unit;
  if (event.offsetX < GUTTER) move(0, dy);
  else if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) move(dx || dy);
  else zoom(Math.exp(-dy * 0.0022), event.offsetX);
}, { passive: false });

function mapMove(event) {
  const scale = (map.getBoundingClientRect().width - GUTTER) / (D.cycles * 1.02);
  V.left = (event.offsetX - GUTTER) / scale - 0.01 * D.cycles - plotCycles() / 2;
  redraw();
}
map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); mapMove(event); });
map.addEventListener("pointermove", (event) => { if (event.buttons) mapMove(event); });

// -------------------------------------------------------------------------- search

const search = byId("search");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  FILTER.words = words.filter((word) => !word.startsWith("@"));
  refilter();
});

search.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { clearAll(); plot.focus(); }
  if (event.key !== "Enter") return;
  const cycle = search.value.match(/@(\d+)/);
  if (cycle) {
    showSpan(Number(cycle[1]) - D.origin - 40, Number(cycle[1]) - D.origin + 40);
  } else {
    next(event.shiftKey ? -1 : 1);
  }
});

// The match after or before the selected box, by cycle.
function next(step) {
  const matches = BOXES.filter((box) => box.shown).sort((a, b) => a.cycle - b.cycle || a.i - b.i);
  if (!FILTER.active || !matches.length) return;
  const here = matches.indexOf(S.selected);
  select(matches[(here + step + (here < 0 && step < 0 ? 1 : 0) + matches.length) % matches.length], true);
}

function clearAll() {
  search.value = "";
  FILTER.words = [];
  FILTER.families.clear();
  byId("keys").hidden = true;
  select(null);
  refilter();
}

// ---------------------------------------------------------------------------- keys

const pointerX = () => (S.pointer && S.pointer.x > GUTTER ? S.pointer.x : undefined);
const KEYS = {
  "+": () => zoom(1.5, pointerX()), "=": () => zoom(1.5, pointerX()), w: () => zoom(1.5, pointerX()),
  "-": () => zoom(1 / 1.5, pointerX()), s: () => zoom(1 / 1.5, pointerX()),
  ArrowLeft: () => move(-0.2 * V.width), a: () => move(-0.2 * V.width),
  ArrowRight: () => move(0.2 * V.width), d: () => move(0.2 * V.width),
  ArrowUp: () => move(0, -60), ArrowDown: () => move(0, 60),
  0: fit, Home: fit, f: () => { if (S.selected) zoomTo(S.selected); },
  n: () => next(1), N: () => next(-1), "/": () => search.focus(), Escape: clearAll,
  c: () => byId("chain").click(), p: () => byId("side").click(), "?": () => byId("help").click(),
};
document.addEventListener("keydown", (event) => {
  if (event.target === search || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

byId("in").onclick = () => zoom(1.5);
byId("out").onclick = () => zoom(1 / 1.5);
byId("fit").onclick = fit;
byId("chain").onclick = () => { S.isChain = !S.isChain; redraw(); };
byId("side").onclick = () => { document.body.classList.toggle("wide"); redrawAll(); };
byId("help").onclick = () => { byId("keys").hidden = !byId("keys").hidden; };
byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  readTheme();
  redrawAll();
}

// --------------------------------------------------------------------------- start

showHead();
showLegend();
showQueues();
showSelected();
setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
drawPlot();
fit();
new ResizeObserver(redrawAll).observe(plot);
