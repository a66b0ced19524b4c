"""The HTML page: template, style, scripts and data in one file that loads nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from hdl.isa import queues
from lpu.view.build import operation
from lpu.view.summary import facts, operator_uses
from lpu.view.timeline import Box, Flow, Timeline
from sim.files import write_atomically

SCRIPTS = ("model.js", "layout.js", "shapes.js", "draw.js", "panel.js", "main.js")


def write_view(path: Path, timeline: Timeline) -> None:
    """Write the page whole or not at all. Raises OSError."""
    write_atomically(path, page(timeline))


def page(timeline: Timeline) -> str:
    """The text of the page."""
    data = json.dumps(view_data(timeline), separators=(",", ":")).replace("<", "\\u003c")
    parts = {
        "title": html.escape(timeline.title),
        "style": _file("page.css"),
        "data": data,
        "script": "\n".join(map(_file, SCRIPTS)),
    }
    head, *rest = _file("page.html").split("{{")
    return head + "".join(parts[name] + text for name, text in (piece.split("}}", 1) for piece in rest))


def _file(name: str) -> str:
    return resources.files("lpu.view").joinpath(name).read_text(encoding="utf-8")


# -------------------------------------------------------------------------- data


def view_data(timeline: Timeline) -> dict[str, object]:
    """What the scripts read; boxes and flows in columns, boxes numbered as in ``timeline.boxes``."""
    config, report = timeline.config, timeline.report
    bounds = {} if report is None else {q.name: q.bound_cycles for q in report.queues}
    busy = timeline.busy_cycles
    return {
        "title": timeline.title,
        "core": config.name,
        "cycles": timeline.cycles,
        "origin": timeline.window.start,
        "superlanes": config.superlanes,
        "facts": facts(timeline),
        "positions": config.positions,
        "units": [(unit.name, unit.position) for unit in config.units],
        "queues": [(q.name, q.unit.name, busy[q.name], bounds.get(q.name)) for q in queues(config)],
        "named": timeline.has_operators,
        "operators": [(u.name, u.family, u.first, u.last, u.active, u.elements) for u in operator_uses(timeline)],
        **_box_columns(timeline),
        "flows": _flow_columns(timeline.flows),
        "chain": [(step.box, step.element, step.waited) for step in timeline.chain],
    }


def _box_columns(timeline: Timeline) -> dict[str, object]:
    boxes = timeline.boxes
    queue_number = {q.name: i for i, q in enumerate(queues(timeline.config))}
    operator_number = {name: i for i, name in enumerate(timeline.operators)}
    texts = _numbered(box.text for box in boxes)
    operations = _numbered(_operation(box) for box in boxes)
    return {
        "texts": list(texts),
        "operations": list(operations),
        "boxes": {
            "queue": [queue_number[box.queue.name] for box in boxes],
            "cycle": [box.cycle for box in boxes],
            "count": [box.count for box in boxes],
            "period": [box.period for box in boxes],
            "operator": [operator_number[box.operator] for box in boxes],
            "operation": [operations[_operation(box)] for box in boxes],
            "text": [texts[box.text] for box in boxes],
            "pc": [box.pc for box in boxes],
            "addr": [box.addr for box in boxes],
            "step": [box.step for box in boxes],
        },
    }


def _operation(box: Box) -> str:
    return operation(box.queue, box.instruction)


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}


def _flow_columns(flows: tuple[Flow, ...]) -> dict[str, object]:
    return {
        "driver": [flow.driver for flow in flows],
        "readers": [flow.readers for flow in flows],
        "stream": [flow.streams[0] for flow in flows],
        "width": [len(flow.streams) for flow in flows],
        "bus": [int(flow.bus) for flow in flows],
        "cycle": [flow.cycle for flow in flows],
        "count": [flow.count for flow in flows],
        "period": [flow.period for flow in flows],
        "hops": [flow.hops for flow in flows],
    }
