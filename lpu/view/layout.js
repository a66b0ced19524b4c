// What is in view, colours, and where the rows are.
"use strict";
const GUTTER = 118, AXIS = 24, HEADING = 26, UNIT_GAP = 7, END_GAP = 14;
const plot = document.getElementById("plot"), map = document.getElementById("map");
const V = { left: 0, scale: 1, top: 0, width: 0, height: 0, content: 0 };  // first cycle, px per cycle, scrolled px
const S = { hover: null, selected: null, pointer: null, span: null, heading: 0, isChain: false };
const FONT = "11px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const theme = {};
const readTheme = () => {
  for (const name of ["page", "panel", "row", "text", "dim", "line", "grid", "mark", "shade"]) theme[name] = css(`--${name}`);
};
const COLOURS = FAMILIES.map((_, i) =>
  `oklch(${[0.76, 0.68, 0.83][i % 3]} ${[0.1, 0.115, 0.085][i % 3]} ${(250 + i * 137.5) % 360})`);
const INK = "#14181c";
const colour = (box) => COLOURS[box.operator.family];
const kindOf = (row) => (row.operators ? "lane" : row.queue ? "queue" : "stream");
const X = (cycle) => GUTTER + (cycle - V.left) * V.scale;
const cycleAt = (x) => V.left + (x - GUTTER) / V.scale;
const plotCycles = () => (V.width - GUTTER) / V.scale;

function sized(canvas) {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return [context, box.width, box.height];
}

// Heights of the rows: at least 1, stretched where the window has room.
function layOut() {
  let stretch = 2.5;
  do V.content = placeRows(stretch); while (V.content > V.height && (stretch -= 0.05) >= 1);
}

function placeRows(stretch) {
  const heights = { lane: 15 * Math.min(stretch, 1.2), queue: 20 * Math.min(stretch, 1.4), stream: 15 * stretch };
  let y = AXIS + 6, before = null;
  for (const row of ROWS) {
    const kind = kindOf(row), isNext = before && (kind !== kindOf(before) || row.queue?.unit !== before.queue?.unit);
    if (isNext) y += UNIT_GAP;
    if (kind === "stream" && (!before || kindOf(before) !== kind)) { S.heading = y; y += HEADING; }
    row.h = Math.floor(row.isWhole ? 1.6 * heights.stream : heights[kind]);
    row.y = y;
    y += row.h + (row.queue ? 3 : 2);
    before = row;
  }
  return y + END_GAP;
}

function clampView() {
  const whole = D.cycles * 1.02, least = (V.width - GUTTER) / whole;
  V.scale = Math.min(Math.max(V.scale, least), 120);
  V.left = Math.min(Math.max(V.left, -0.01 * D.cycles), Math.max(D.cycles * 1.01 - plotCycles(), -0.01 * D.cycles));
  V.top = Math.min(Math.max(V.top, 0), Math.max(V.content - V.height, 0));
}
