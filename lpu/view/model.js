// The data as objects: boxes by queue, flows by stream row, what a search finds.
"use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const UNIT_POSITION = new Map(D.units);
const QUEUES = D.queues.map(([name, unit, busy, bound], i) =>
  ({ i, name, unit, busy, bound, position: UNIT_POSITION.get(unit), boxes: [] }));
const FAMILIES = [...new Set(D.operators.map((o) => o[1]))];
const OPERATORS = D.operators.map(([name, family, first, last, active, elements]) =>
  ({ name, family: FAMILIES.indexOf(family), cycle: first, end: last + 1, active, elements, texts: [name], shown: true }));
const BOXES = D.boxes.queue.map((q, i) => {
  const B = D.boxes;
  const box = {
    i, queue: QUEUES[q], cycle: B.cycle[i], count: B.count[i], period: B.period[i], operator: OPERATORS[B.operator[i]],
    operation: D.operations[B.operation[i]], text: D.texts[B.text[i]], pc: B.pc[i], addr: B.addr[i], step: B.step[i],
    ins: [], outs: [], shown: true,
  };
  box.end = box.cycle + (box.count - 1) * box.period + 1;
  const name = D.named ? `${box.operator.name}  ` : "", text = box.text.replace(/^ALU/, `${box.operation}: ALU`);
  box.label = `${name}${box.operation}`;
  box.texts = [`${name}${text}`, box.label, box.operation];
  box.words = `${box.operator.name} ${box.operation} ${box.text} ${box.queue.name}`.toLowerCase();
  box.queue.boxes.push(box);
  return box;
});
const FLOWS = D.flows.driver.map((driver, i) => {
  const F = D.flows;
  const flow = {
    i, driver: BOXES[driver], readers: F.readers[i].map((r) => BOXES[r]), stream: F.stream[i], width: F.width[i],
    bus: F.bus[i], cycle: F.cycle[i], count: F.count[i], period: F.period[i], hops: F.hops[i],
  };
  flow.end = flow.cycle + (flow.count - 1) * flow.period + 1;
  flow.step = flow.stream & 1 ? -1 : 1;
  flow.from = flow.driver.queue.position;
  flow.to = flow.from + flow.step * flow.hops;
  flow.driver.outs.push(flow);
  for (const reader of flow.readers) reader.ins.push(flow);
  return flow;
});

// The longest chain; its cycles by family: latency by the one whose result is under way, waiting by the one that waits.
const CHAIN = D.chain.map(([number, element, waited]) => {
  const box = BOXES[number], cycle = box.cycle + element * box.period;
  return { box, element, waited, cycle, end: cycle + 1 };
});
const ON_CHAIN = FAMILIES.map(() => ({ latency: 0, waited: 0 }));
CHAIN.forEach((step, k) => {
  const next = k + 1 < CHAIN.length ? CHAIN[k + 1].cycle - CHAIN[k + 1].waited : D.cycles;
  ON_CHAIN[step.box.operator.family].latency += next - step.cycle;
  ON_CHAIN[step.box.operator.family].waited += step.waited;
});

const streamName = (code) => "EW"[code & 1] + (code >> 1);
const streamsName = (code, width) =>
  width === 1 ? streamName(code) : `${streamName(code)}\u2013${(code >> 1) + width - 1}`;

// Operators from first to last issue, in as few rows as keep them apart.
function lanes() {
  const found = [];
  for (const operator of D.named ? OPERATORS : []) {
    let lane = found.find((other) => other.operators.at(-1).end <= operator.cycle);
    if (!lane) found.push(lane = { operators: [], name: found.length ? "" : "operators", longest: 0 });
    lane.operators.push(operator);
    lane.longest = Math.max(lane.longest, operator.end - operator.cycle);
  }
  return found;
}

// Rows from top to bottom: operators; a queue; or what flows cross: a stream, an SG4 that only flows of four use, the weight bus.
function rows() {
  const split = new Set();  // first streams of SG4s that single streams are used of
  const group = (code) => (code >> 3 << 3) | (code & 1);
  for (const flow of FLOWS) if (!flow.bus && flow.width !== 4) split.add(group(flow.stream));
  const streams = new Map();
  for (const flow of FLOWS) {
    const isWhole = flow.bus || !split.has(group(flow.stream));
    for (let k = 0; k < (isWhole ? 1 : flow.width); k++) {
      const code = flow.stream + 2 * k, key = (flow.bus ? "bus" : "") + code;
      if (!streams.has(key)) {
        const name = (flow.bus ? "bus " : "") + streamsName(code, isWhole ? flow.width : 1);
        const order = (code & 1) * 1e4 + (flow.bus ? 0 : 1000) + code;
        streams.set(key, { flows: [], longest: 0, name, order, isWhole });
      }
      const row = streams.get(key);
      row.flows.push(flow);
      row.longest = Math.max(row.longest, flow.end - flow.cycle + flow.hops);
    }
  }
  for (const row of streams.values()) row.flows.sort((a, b) => a.cycle - b.cycle);
  const sorted = [...streams.values()].sort((a, b) => a.order - b.order);
  const longest = (queue) => queue.boxes.reduce((most, box) => Math.max(most, box.end - box.cycle), 0);
  for (const queue of QUEUES) queue.row = { queue, name: queue.name, longest: longest(queue) };
  return [...lanes(), ...QUEUES.map((queue) => queue.row), ...sorted];
}
const ROWS = rows();

// First index whose cycle is above t, in a list sorted by cycle.
function above(list, t) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].cycle > t) high = middle; else low = middle + 1;
  }
  return low;
}

// Neighbours without a gap that look alike from afar, as one; what is drawn where a cycle is less than two pixels.
function stripsOf(items, lookOf) {
  const latest = new Map(), strips = [];
  for (const item of items) {
    const look = lookOf(item), strip = latest.get(look);
    if (strip && item.cycle <= strip.end) {
      strip.end = Math.max(strip.end, item.end);
    } else {
      latest.set(look, { item, cycle: item.cycle, end: item.end });
      strips.push(latest.get(look));
    }
  }
  return strips;
}
function findStrips() {
  for (const row of ROWS.filter((candidate) => !candidate.operators)) {
    const boxLook = (box) => box.operator.family * 4e6 + box.period * 2 + box.shown;
    const flowLook = (flow) => `${boxLook(flow.driver)} ${flow.from} ${flow.to} ${flow.period} ${isFlowShown(flow)}`;
    row.strips = row.queue ? stripsOf(row.queue.boxes, boxLook) : stripsOf(row.flows, flowLook);
    row.longestStrip = row.strips.reduce((most, strip) => Math.max(most, strip.end - strip.cycle), 0) + D.positions;
  }
}

// What is shown in full: all words of the query in a box's words, and its family not left out.
const FILTER = { words: [], families: new Set(), matches: BOXES.length, active: false };
function applyFilter() {
  FILTER.active = FILTER.words.length > 0 || FILTER.families.size > 0;
  FILTER.matches = 0;
  for (const operator of OPERATORS) operator.shown = false;
  for (const box of BOXES) {
    const family = FILTER.families.size === 0 || FILTER.families.has(box.operator.family);
    box.shown = family && FILTER.words.every((word) => box.words.includes(word));
    FILTER.matches += box.shown;
    if (box.shown) box.operator.shown = true;
  }
  findStrips();
}
const isFlowShown = (flow) => flow.driver.shown || flow.readers.some((reader) => reader.shown);
applyFilter();
