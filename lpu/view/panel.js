// Head line, legend, queues, the selected box, the tip at the pointer: all text by textContent.
"use strict";
const byId = (id) => document.getElementById(id);

function make(tag, className, ...content) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
}
const number = (n) => n.toLocaleString("en");

// -------------------------------------------------------------------- head line

function showHead() {
  document.querySelector("h1").textContent = D.title;
  const skew = D.superlanes > 1 ? `, superlane r is r of ${D.superlanes} cycles later` : "";
  byId("core").textContent = `on ${D.core}${skew}`;
  for (const [label, value] of D.facts) byId("facts").append(make("div", "", make("dt", "", label), make("dd", "", value)));
}

// ----------------------------------------------------------------------- legend

function tableOf(columns, lines) {
  const head = make("tr", "", ...columns.map((column) => make("th", "", column)));
  return make("table", "", head, ...lines);
}

function showLegend() {
  byId("legend-title").textContent = D.named ? "operators; click to show one alone" : "operations; click to show one alone";
  const lines = FAMILIES.map((name, i) => legendLine(name, i, OPERATORS.filter((o) => o.family === i)));
  const table = tableOf(["", "first", "cycles", "chain", "waits"], lines);
  table.title = "cycles: in which it issues; chain: of the longest chain, in which its results are under way; waits: of the chain";
  byId("legend").replaceChildren(table);
}

function legendLine(name, i, members) {
  const sum = (field) => members.reduce((total, member) => total + member[field], 0);
  const swatch = make("span", "swatch");
  swatch.style.background = COLOURS[i];
  const title = make("td", "name", swatch, name, ...(members.length > 1 ? [make("span", "dim", ` \u00d7${members.length}`)] : []));
  title.title = members.map((member) => member.name).join("\n");
  const first = Math.min(...members.map((member) => member.cycle)) + D.origin;
  const cells = [first, sum("active"), ON_CHAIN[i].latency, ON_CHAIN[i].waited].map((value) => make("td", "", number(value)));
  const line = make("tr", "pick", title, ...cells);
  if (FILTER.families.size && !FILTER.families.has(i)) line.classList.add("off");
  line.onclick = (event) => toggleFamily(i, event.shiftKey || event.ctrlKey || event.metaKey);
  return line;
}

function toggleFamily(i, isMore) {
  const only = FILTER.families.has(i) && FILTER.families.size === 1;
  if (!isMore) FILTER.families.clear();
  if (isMore && FILTER.families.has(i)) FILTER.families.delete(i);
  else if (!only) FILTER.families.add(i);
  refilter();
}

function refilter() {
  applyFilter();
  byId("found").textContent = FILTER.active ? `${number(FILTER.matches)} boxes` : "";
  showLegend();
  redrawAll();
}

function showQueues() {
  const lines = QUEUES.map((queue) => {
    const share = queue.busy / Math.max(D.cycles, 1), fill = make("i", "");
    fill.style.width = `${100 * share}%`;
    const cells = [number(queue.busy), `${(100 * share).toFixed(1)}%`].map((text) => make("td", "", text));
    const bound = queue.bound === null ? [] : [make("td", "", number(queue.bound))];
    return make("tr", "", make("td", "", queue.name), make("td", "", make("span", "bar", fill)), ...cells, ...bound);
  });
  const bound = QUEUES.some((queue) => queue.bound !== null) ? ["bound"] : [];
  const table = tableOf(["", "", "busy", "", ...bound], lines);
  table.title = "busy: cycles in which the queue issues; bound: least cycles of a run that issues them";
  byId("queues").replaceChildren(table);
}

// ------------------------------------------------------------------ descriptions

function cyclesText(first, count, period) {
  const start = `cycle ${number(first + D.origin)}`;
  if (count === 1) return start;
  const last = number(first + D.origin + (count - 1) * period);
  return `${start} to ${last}, ${number(count)} elements${period > 1 ? `, one every ${period} cycles` : ""}`;
}

function addressText(box, cycle) {
  if (box.addr === null) return "";
  const steps = box.count > 1 ? `, ${box.step < 0 ? "\u2212" : "+"}${Math.abs(box.step)} each` : "";
  const i = Math.floor((cycle - box.cycle) / box.period);
  const here = box.count > 1 && i >= 0 && i < box.count ? `; element ${i}: ${box.addr + i * box.step}` : "";
  return `address ${box.addr}${steps}${here}`;
}

function boxLines(box, cycle) {
  const lines = [make("div", "what", D.named ? `${box.operator.name}  ${box.operation}` : box.operation)];
  lines.push(make("div", "mono", box.text));
  lines.push(make("div", "dim", `${box.queue.name}, pc ${box.pc}; ${cyclesText(box.cycle, box.count, box.period)}`));
  const address = addressText(box, cycle);
  if (address) lines.push(make("div", "dim", address));
  return lines;
}

const hopsText = (flow) => `${flow.hops} ${flow.hops === 1 ? "hop" : "hops"}`;

function flowLines(flow) {
  const readers = [...new Set(flow.readers.map((reader) => reader.queue.name))].join(", ");
  return [
    make("div", "what", `${streamsName(flow.stream, flow.width)}: ${flow.driver.queue.name} to ${readers}`),
    make("div", "dim", `${flow.driver.operator.name}; driven in ${cyclesText(flow.cycle, flow.count, flow.period)}; ${hopsText(flow)}`),
    make("div", "mono", flow.driver.text),
    ...flow.readers.map((reader) => make("div", "mono dim", `${reader.queue.name}: ${reader.text}`)).slice(0, 6),
  ];
}

function operatorLines(operator) {
  const span = `cycle ${number(operator.cycle + D.origin)} to ${number(operator.end - 1 + D.origin)}`;
  return [
    make("div", "what", operator.name),
    make("div", "dim", `${span}; issues ${number(operator.elements)} elements in ${number(operator.active)} cycles`),
  ];
}

function describe(chosen, cycle) {
  if (chosen.readers) return flowLines(chosen);
  return chosen.queue ? boxLines(chosen, cycle) : operatorLines(chosen);
}

function goLine(box, flow, word) {
  const text = `${word} ${streamsName(flow.stream, flow.width)}, ${hopsText(flow)}: ${box.queue.name} ${box.label}`;
  const line = make("div", "go", text);
  line.onclick = () => select(box, true);
  return line;
}

function showSelected() {
  const chosen = S.selected, node = byId("selected");
  if (!chosen) return node.replaceChildren(make("span", "dim", "click a box or a flow"));
  const lines = describe(chosen, -1);
  if (chosen.queue) {
    for (const flow of chosen.ins) lines.push(goLine(flow.driver, flow, "reads"));
    for (const flow of chosen.outs) for (const reader of flow.readers) lines.push(goLine(reader, flow, "drives"));
  }
  node.replaceChildren(...lines.slice(0, 40));
}

function showTip() {
  const tip = byId("tip");
  tip.hidden = !S.hover;
  if (!S.hover) return;
  tip.replaceChildren(...describe(S.hover, Math.floor(cycleAt(S.pointer.x))));
  const box = tip.getBoundingClientRect(), { clientX: x, clientY: y } = S.pointer;
  tip.style.left = `${Math.max(4, Math.min(x + 16, window.innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > window.innerHeight ? Math.max(4, y - box.height - 14) : y + 18}px`;
}
