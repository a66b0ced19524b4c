// Boxes, flows, and the marks of what is selected.
"use strict";

// Those of a list by cycle that reach into view; ``longest``: the most cycles that one takes.
function drawAll(list, longest, drawOne) {
  const right = V.left + plotCycles();
  for (let i = above(list, V.left - longest); i < list.length && list[i].cycle < right; i++) drawOne(list[i]);
}

// -------------------------------------------------------------------- boxes

function drawBox(context, box, y, h) {
  const x = X(box.cycle), w = (box.end - box.cycle) * V.scale, gap = V.scale > 4 ? 1 : 0;
  context.globalAlpha = box.shown ? 1 : 0.13;
  context.fillStyle = colour(box);
  if (box.period === 1) context.fillRect(x, y, w - gap, h);
  else drawSpaced(context, box, x, y, w, h, gap);
  if (box.count > 1 && box.period === 1 && V.scale > 7) drawSeparators(context, box, y, h);
}

// From afar, a fraction of the cycles is a fraction of the colour.
const strength = (item) => (item.period === 1 ? 1 : Math.max(0.28, 1 / item.period));

function drawStrip(context, row, strip) {
  const { item } = strip, isBox = Boolean(row.queue), w = Math.max((strip.end - strip.cycle) * V.scale, 0.6);
  context.globalAlpha = strength(item) * ((isBox ? item.shown : isFlowShown(item)) ? 1 : 0.13);
  context.fillStyle = colour(isBox ? item : item.driver);
  if (isBox) return context.fillRect(X(strip.cycle), row.y - V.top, w, row.h);
  const [y0, y1] = [yOf(row, item.from), yOf(row, item.to)];
  context.fillRect(X(strip.cycle + item.hops / 2), Math.min(y0, y1), w, Math.abs(y1 - y0));
}

function drawSpaced(context, box, x, y, w, h, gap) {
  const alpha = context.globalAlpha;
  context.globalAlpha = alpha * (V.scale * box.period > 3 ? 0.28 : strength(box));
  context.fillRect(x, y, w - gap, h);
  context.globalAlpha = alpha;
  if (V.scale * box.period <= 3) return;
  const first = Math.max(0, Math.floor((V.left - box.cycle) / box.period));
  const last = Math.min(box.count - 1, Math.ceil((V.left + plotCycles() - box.cycle) / box.period));
  for (let i = first; i <= last; i++) {
    context.fillRect(X(box.cycle + i * box.period), y, Math.max(V.scale - gap, 0.5), h);
  }
}

function drawSeparators(context, box, y, h) {
  const first = Math.max(1, Math.ceil(V.left - box.cycle));
  const last = Math.min(box.count - 1, V.left + plotCycles() - box.cycle);
  context.fillStyle = "rgba(0, 0, 0, 0.18)";
  for (let i = first; i <= last; i++) context.fillRect(X(box.cycle + i) - 1, y, 1, h);
}

// The most telling of ``texts`` that fits into what is seen of an item.
function drawLabel(context, item, texts, row) {
  const x = X(item.cycle), w = (item.end - item.cycle) * V.scale, y = row.y - V.top + row.h / 2 + 0.5;
  const start = Math.max(x, GUTTER) + 4, width = Math.min(x + w, V.width) - start - 3;
  const text = width > 12 && texts.find((candidate) => context.measureText(candidate).width <= width);
  if (!text) return;
  context.globalAlpha = item.shown ? 1 : 0.2;
  context.fillStyle = INK;
  if (item.period > 1) {
    context.strokeStyle = theme.row;
    context.lineWidth = 3;
    context.strokeText(text, start, y);
    context.fillStyle = theme.text;
  }
  context.fillText(text, start, y);
}

function drawOperator(context, operator, row) {
  context.globalAlpha = operator.shown ? 1 : 0.13;
  context.fillStyle = COLOURS[operator.family];
  const w = (operator.end - operator.cycle) * V.scale;
  context.fillRect(X(operator.cycle), row.y - V.top, Math.max(w - 1, 0.6), row.h);
  drawLabel(context, operator, operator.texts, row);
}

// -------------------------------------------------------------------- flows

function drawFlow(context, flow, row) {
  context.globalAlpha = isFlowShown(flow) ? 1 : 0.13;
  context.fillStyle = colour(flow.driver);
  const w = (flow.end - flow.cycle) * V.scale, [y0, y1] = [yOf(row, flow.from), yOf(row, flow.to)];
  const spaced = flow.period > 1;
  if (spaced) context.globalAlpha *= 0.28;
  slanted(context, flow.cycle, flow.hops, w, y0, y1);
  if (!spaced) return;
  context.globalAlpha /= 0.28;
  const first = Math.max(0, Math.floor((V.left - flow.cycle - flow.hops) / flow.period));
  const last = Math.min(flow.count - 1, Math.ceil((V.left + plotCycles() - flow.cycle) / flow.period));
  for (let i = first; i <= last; i++) slanted(context, flow.cycle + i * flow.period, flow.hops, V.scale, y0, y1);
}

const yOf = (row, position) => row.y - V.top + (row.h * position) / (D.positions - 1);

function slanted(context, cycle, hops, w, y0, y1) {
  const x0 = X(cycle), x1 = X(cycle + hops), width = Math.max(w - (V.scale > 4 ? 1 : 0), 0.5);
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x0 + width, y0);
  context.lineTo(x1 + width, y1);
  context.lineTo(x1, y1);
  context.closePath();
  context.fill();
}

// ------------------------------------------------------------------- outlines

function outline(context, box, width) {
  const row = box.queue.row;
  const x = X(box.cycle), w = Math.max((box.end - box.cycle) * V.scale - (V.scale > 4 ? 1 : 0), 2);
  context.lineWidth = width;
  context.strokeStyle = theme.mark;
  context.strokeRect(x, row.y - V.top, w, row.h);
}

// From the end of the driving box to the start of the reading one.
function link(context, a, b) {
  const [ra, rb] = [a.queue.row, b.queue.row];
  const [x0, y0] = [X(a.cycle) + 2, ra.y - V.top + ra.h / 2], [x1, y1] = [X(b.cycle), rb.y - V.top + rb.h / 2];
  const reach = Math.max((x1 - x0) / 2, 10);
  context.beginPath();
  context.moveTo(x0, y0);
  context.bezierCurveTo(x0 + reach, y0, x1 - reach, y1, x1, y1);
  context.lineWidth = 1.2;
  context.strokeStyle = theme.mark;
  context.globalAlpha = 0.65;
  context.stroke();
  context.globalAlpha = 1;
}

function markFlow(context, flow) {
  for (const row of ROWS) {
    if (!row.flows?.includes(flow)) continue;
    const [y0, y1] = [yOf(row, flow.from), yOf(row, flow.to)], w = (flow.end - flow.cycle) * V.scale;
    const x0 = X(flow.cycle), x1 = X(flow.cycle + flow.hops);
    context.lineWidth = 1.2;
    context.strokeStyle = theme.mark;
    context.beginPath();
    context.moveTo(x0, y0);
    for (const [x, y] of [[x0 + w, y0], [x1 + w, y1], [x1, y1], [x0, y0]]) context.lineTo(x, y);
    context.stroke();
  }
}

function drawChain(context) {
  context.strokeStyle = theme.mark;
  context.lineWidth = V.scale < 2 ? 0.7 : 1.3;
  context.globalAlpha = V.scale < 2 ? 0.6 : 1;
  context.beginPath();
  for (const { box, cycle } of CHAIN) {
    context.lineTo(X(cycle + 0.5), box.queue.row.y - V.top + box.queue.row.h / 2);
  }
  context.stroke();
  context.globalAlpha = 1;
  if (V.scale < 4) return;
  for (const { box, cycle } of CHAIN) {
    context.strokeRect(X(cycle), box.queue.row.y - V.top, V.scale - 1, box.queue.row.h);
  }
}

function drawMarks(context, chosen, isSelected) {
  if (!chosen) return;
  if (!chosen.readers && !chosen.queue) return outlineOperator(context, chosen);
  for (const flow of chosen.readers ? [chosen] : [...chosen.ins, ...chosen.outs]) {
    markFlow(context, flow);
    outline(context, flow.driver, 1);
    for (const reader of flow.readers) {
      if (chosen.queue && chosen !== flow.driver && chosen !== reader) continue;
      outline(context, reader, 1);
      if (isSelected) link(context, flow.driver, reader);
    }
  }
  if (chosen.queue) outline(context, chosen, 2);
}

function outlineOperator(context, operator) {
  for (const queue of QUEUES) {
    drawAll(queue.boxes, queue.row.longest, (box) => { if (box.operator === operator) outline(context, box, 1); });
  }
}
