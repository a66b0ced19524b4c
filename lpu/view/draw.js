// The plot, and the small map of the whole run.
"use strict";

// --------------------------------------------------------------------- rows

function drawRow(context, row) {
  const y = row.y - V.top, x = Math.max(X(0), GUTTER);
  context.fillStyle = theme.row;
  context.fillRect(x, y, Math.min(X(D.cycles), V.width) - x, row.h);
  if (row.operators) drawAll(row.operators, row.longest, (operator) => drawOperator(context, operator, row));
  else if (row.queue) drawQueue(context, row, y);
  else drawStream(context, row);
  context.globalAlpha = 1;
}

function drawQueue(context, row, y) {
  const boxes = row.queue.boxes;
  if (V.scale < 2) drawAll(row.strips, row.longestStrip, (strip) => drawStrip(context, row, strip));
  else drawAll(boxes, row.longest, (box) => drawBox(context, box, y, row.h));
  drawAll(boxes, row.longest, (box) => drawLabel(context, box, box.texts, row));
}

function drawStream(context, row) {
  drawPositions(context, row);
  if (V.scale < 2) drawAll(row.strips, row.longestStrip, (strip) => drawStrip(context, row, strip));
  else drawAll(row.flows, row.longest, (flow) => drawFlow(context, flow, row));
}

function drawPositions(context, row) {
  const x = Math.max(X(0), GUTTER), w = Math.min(X(D.cycles), V.width) - x;
  context.fillStyle = theme.grid;
  for (let p = 1; p < D.positions - 1; p++) context.fillRect(x, Math.round(yOf(row, p)), w, 1);
}

function drawNames(context) {
  context.fillStyle = theme.panel;
  context.fillRect(0, 0, GUTTER, V.height);
  let unit = null;
  for (const row of ROWS) {
    const middle = row.y - V.top + row.h / 2 + 0.5;
    if (row.queue) {
      context.fillStyle = theme.text;
      if (row.queue.unit !== unit) context.fillText(row.queue.unit, 10, middle);
      unit = row.queue.unit;
      context.fillText(row.name.slice(unit.length), 52, middle);
      drawShare(context, row.queue.busy / Math.max(D.cycles, 1), middle);
    } else {
      context.fillStyle = theme.dim;
      context.fillText(row.name, 10, middle);
    }
  }
  context.fillStyle = theme.line;
  context.fillRect(GUTTER - 1, 0, 1, V.height);
}

function drawShare(context, share, middle) {
  context.fillStyle = theme.dim;
  context.textAlign = "right";
  context.fillText(`${Math.round(100 * share)}%`, GUTTER - 8, middle);
  context.textAlign = "left";
}

function drawHeading(context) {
  const y = S.heading - V.top + HEADING / 2, top = D.units.find((u) => u[1] === 0)[0];
  const bottom = D.units.findLast((u) => u[1] === D.positions - 1)[0];
  context.fillStyle = theme.dim;
  context.fillText(`streams, from driver to last reader; upper edge of a row: ${top}, lower edge: ${bottom}`, GUTTER + 8, y);
}

function tickStep() {
  const least = 80 / V.scale, power = 10 ** Math.floor(Math.log10(least));
  return Math.max(1, [1, 2, 5, 10].map((f) => f * power).find((step) => step >= least));
}

function drawAxis(context) {
  context.fillStyle = theme.panel;
  context.fillRect(0, 0, V.width, AXIS);
  context.fillStyle = theme.line;
  context.fillRect(0, AXIS - 1, V.width, 1);
  context.fillStyle = theme.dim;
  context.fillText("cycle", 10, AXIS / 2);
  const step = tickStep();
  for (let t = Math.max(0, Math.ceil(V.left / step) * step); t <= Math.min(D.cycles, cycleAt(V.width)); t += step) {
    if (X(t) < GUTTER) continue;
    context.fillRect(X(t), AXIS - 6, 1, 5);
    if (X(t) < V.width - 34) context.fillText((t + D.origin).toLocaleString("en"), X(t) + 4, AXIS / 2);
  }
}

function drawGrid(context) {
  const step = tickStep();
  context.fillStyle = theme.grid;
  for (let t = Math.max(0, Math.ceil(V.left / step) * step); t <= Math.min(D.cycles, cycleAt(V.width)); t += step) {
    context.fillRect(X(t), AXIS, 1, V.height - AXIS);
  }
  context.fillStyle = theme.dim;
  context.fillRect(X(D.cycles), AXIS, 1, V.height);
}

// --------------------------------------------------------------------- frames

// Kept pictures: the rows of the present view, and the small map; null after a change of filter, theme or size.
const KEPT = { rows: null, view: "", map: null };

function drawPlot() {
  const [context, width, height] = sized(plot);
  [V.width, V.height] = [width, height];
  layOut();
  clampView();
  const view = [V.left, V.scale, V.top, plot.width, plot.height].join();
  if (!KEPT.rows || KEPT.view !== view) [KEPT.rows, KEPT.view] = [kept(context, plot, drawRows), view];
  show(context, KEPT.rows);
  context.save();
  clipToRows(context);
  if (S.isChain) drawChain(context);
  drawMarks(context, S.selected, true);
  if (S.hover !== S.selected) drawMarks(context, S.hover, false);
  drawPointer(context);
  context.restore();
  drawNames(context);
  drawAxis(context);
  drawPointerCycle(context);
}

function kept(context, canvas, draw) {
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [canvas.width, canvas.height];
  const own = picture.getContext("2d");
  own.setTransform(context.getTransform());
  for (const target of [own, context]) [target.font, target.textBaseline] = [FONT, "middle"];
  draw(own);
  return picture;
}

function show(context, picture) {
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(picture, 0, 0);
  context.restore();
  [context.font, context.textBaseline] = [FONT, "middle"];
}

function clipToRows(context) {
  context.beginPath();
  context.rect(GUTTER, AXIS, V.width - GUTTER, V.height - AXIS);
  context.clip();
}

function drawRows(context) {
  context.fillStyle = theme.page;
  context.fillRect(0, 0, V.width, V.height);
  drawGrid(context);
  clipToRows(context);
  for (const row of ROWS) if (row.y + row.h > V.top && row.y < V.top + V.height) drawRow(context, row);
  drawHeading(context);
}

function drawPointer(context) {
  if (S.span) {
    context.fillStyle = theme.shade;
    context.fillRect(X(S.span[0]), 0, X(S.span[1]) - X(S.span[0]), V.height);
  } else if (S.pointer && S.pointer.x > GUTTER) {
    context.fillStyle = theme.shade;
    context.fillRect(X(Math.floor(cycleAt(S.pointer.x))), 0, Math.max(V.scale, 1), V.height);
  }
}

function drawPointerCycle(context) {
  if (!S.pointer || S.pointer.x <= GUTTER) return;
  const [a, b] = S.span || [Math.floor(cycleAt(S.pointer.x)), 0];
  const cycles = S.span ? `${Math.abs(b - a)} cycles` : (a + D.origin).toLocaleString("en");
  const w = context.measureText(cycles).width + 10, x = Math.min(Math.max(S.pointer.x - w / 2, GUTTER), V.width - w);
  context.fillStyle = theme.text;
  context.fillRect(x, 3, w, AXIS - 7);
  context.fillStyle = theme.page;
  context.fillText(cycles, x + 5, AXIS / 2);
}

function drawMap() {
  const [context, width, height] = sized(map);
  const scale = (width - GUTTER) / (D.cycles * 1.02), zero = GUTTER + 0.01 * D.cycles * scale;
  if (!KEPT.map) KEPT.map = kept(context, map, (own) => drawSmall(own, width, height, scale, zero));
  show(context, KEPT.map);
  const x = Math.max(zero + V.left * scale, GUTTER), w = Math.min(plotCycles() * scale, width - GUTTER);
  context.fillStyle = theme.shade;
  context.fillRect(GUTTER, 0, x - GUTTER, height);
  context.fillRect(x + w, 0, width - x - w, height);
  context.strokeStyle = theme.dim;
  context.strokeRect(x + 0.5, 0.5, w - 1, height - 1);
}

function drawSmall(context, width, height, scale, zero) {
  context.fillStyle = theme.panel;
  context.fillRect(0, 0, width, height);
  context.fillStyle = theme.dim;
  context.fillText("whole run", 10, height / 2);
  const h = (height - 8) / QUEUES.length;
  for (const queue of QUEUES) {
    for (const { item, cycle, end } of queue.row.strips) {
      context.globalAlpha = strength(item) * (item.shown ? 1 : 0.13);
      context.fillStyle = colour(item);
      context.fillRect(zero + cycle * scale, 4 + queue.i * h, Math.max((end - cycle) * scale, 0.7), Math.max(h - 0.5, 1));
    }
  }
}

let isDirty = false;
function redraw() {
  if (isDirty) return;
  isDirty = true;
  requestAnimationFrame(() => { isDirty = false; drawPlot(); drawMap(); });
}
const redrawAll = () => { [KEPT.rows, KEPT.map] = [null, null]; redraw(); };
