"""`lpu view`: boxes, flows and chains against the compiler and against a program worked out by hand; the files."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import compiler.build
from bench.ops import kv_scatter, rms_norm, softmax
from compiler.assembly import assemble, format_image, parse
from compiler.bound import bounds
from compiler.build import CompiledProgram, compile_graph
from compiler.image import ProgramImage
from compiler.ir import DType, Graph
from compiler.schedule import Schedule, schedules
from compiler.workloads import matmul_graph
from hdl.config import LpuConfig, preset
from lpu.main import main
from lpu.view.build import build_timeline
from lpu.view.page import SCRIPTS, page, write_view
from lpu.view.timeline import Box, Flow, Timeline, ViewError
from lpu.view.trace import QUEUES, STREAMS, Event, trace_events, write_trace
from models.digits.graph import digits_graph
from models.digits.model import FloatModel, quantise
from models.stories.corpus import HELD_OUT_PATH

ROOT = Path(__file__).parents[2]
NANO, SMALL, DUO = preset("tiny"), preset("small"), preset("duo")


def _digits(config: LpuConfig) -> Graph:
    return digits_graph(config, quantise(FloatModel.load()))


GRAPHS = {
    "digits on tiny": (NANO, _digits(NANO)),
    "digits on small": (SMALL, _digits(SMALL)),
    "matmul on duo": (DUO, matmul_graph(DUO, 6, 40, 70)),
    "matmul with LOOP": (SMALL, matmul_graph(SMALL, 16, 64, 48)),
    "softmax": (SMALL, softmax(2, 64).graph()),
    "rms_norm": (SMALL, rms_norm(1, 64).graph()),
    "kv_scatter": (SMALL, kv_scatter(128, 32).graph()),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A compiled graph, its schedule, its timeline."""

    graph: Graph
    plan: Schedule
    program: CompiledProgram
    timeline: Timeline


def compiled_case(name: str) -> Case:
    config, graph = GRAPHS[name]
    plans: list[Schedule] = []

    def recorded(*args: object) -> Iterator[Schedule]:
        for plan in schedules(*args):  # type: ignore[arg-type]
            plans.append(plan)
            yield plan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler.build, "schedules", recorded)
        program = compile_graph(config, graph)
    timeline = build_timeline(program.image, graph.name, program.owners, program.report)
    return Case(graph, plans[-1], program, timeline)


@pytest.fixture(scope="module", params=GRAPHS)
def case(request: pytest.FixtureRequest) -> Case:
    return compiled_case(request.param)


def lpu(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def _cycles(item: Box | Flow) -> range:
    return range(item.cycle, item.cycle + (item.count - 1) * item.period + 1, item.period)


# ------------------------------------------------------------- against the compiler


def test_boxes_of_a_queue_are_apart_and_within_the_run(case: Case) -> None:
    by_queue: dict[str, list[Box]] = defaultdict(list)
    for box in case.timeline.boxes:
        by_queue[box.queue.name].append(box)
    for boxes in by_queue.values():
        assert all(a.cycle + a.duration <= b.cycle for a, b in pairwise(boxes))
        assert boxes[0].cycle >= 0 and boxes[-1].cycle + boxes[-1].duration <= case.program.image.cycles


def test_boxes_sum_up_to_the_busy_cycles_of_the_report(case: Case) -> None:
    expected = {queue.name: queue.busy_cycles for queue in case.program.report.queues}
    assert case.timeline.busy_cycles == expected and sum(expected.values()) > 0


def _lead(case: Case) -> int:
    first = min(start + slot.cycle for bundle, start in case.plan.placed for slot in bundle.slots)
    return min(box.cycle for box in case.timeline.boxes) - first


def test_every_element_has_its_operator_and_its_operation(case: Case) -> None:
    lead = _lead(case)
    expected = {
        (slot.queue.name, start + slot.cycle + i * (slot.instruction["gap"] + 1) + lead): (
            bundle.group,
            slot.instruction.op,
        )
        for bundle, start in case.plan.placed
        for slot in bundle.slots
        for i in range(slot.instruction["count"])
    }
    found = {
        (box.queue.name, cycle): (box.operator, box.instruction.op)
        for box in case.timeline.boxes
        for cycle in _cycles(box)
    }
    assert found == expected


def test_flows_are_those_that_the_compiler_planned(case: Case) -> None:
    lead, boxes = _lead(case), case.timeline.boxes
    expected = {
        (flow.driver.name, flow.reader.name, start + flow.cycle + i * flow.pitch + lead, flow.width.value)
        for bundle, start in case.plan.placed
        for flow in bundle.flows
        for i in range(flow.count)
    }
    found = {
        (boxes[flow.driver].queue.unit.name, boxes[reader].queue.unit.name, cycle, 0 if flow.bus else len(flow.streams))
        for flow in case.timeline.flows
        for reader in flow.readers
        for cycle in _cycles(flow)
    }
    assert found == expected


def test_instructions_read_as_disasm_prints_them(case: Case) -> None:
    programs: dict[str, list[str]] = {}
    for section in format_image(case.program.image).split("queue ")[1:]:
        name, *lines = section.splitlines()
        programs[name.rstrip(":")] = [line.strip() for line in lines if line]
    for box in case.timeline.boxes:
        assert box.text == programs[box.queue.name][box.pc]


def test_a_chain_goes_from_result_to_operand(case: Case) -> None:
    chain, boxes = case.timeline.chain, case.timeline.boxes
    assert chain[-1].cycle == max(cycle for box in boxes for cycle in _cycles(box))
    assert chain[0].waited == chain[0].cycle
    for before, step in pairwise(chain):
        assert 0 <= step.waited < step.cycle - before.cycle
    for step in chain:
        assert step.cycle == _cycles(boxes[step.box])[step.element]


def test_the_latency_of_a_chain_is_within_the_lower_bound(case: Case) -> None:
    latency = case.timeline.cycles - case.timeline.waited_cycles
    assert 0 < latency <= case.program.report.bound_cycles


def test_the_digits_chain_is_the_bound_that_data_dependencies_set() -> None:
    digits = compiled_case("digits on small")
    timeline = digits.timeline
    start = [timeline.boxes[step.box].queue.name for step in timeline.chain[:3]]
    assert start == ["w0.r", "mxm0.w", "mxm0.a"]
    data = bounds(SMALL, [bundle for bundle, _ in digits.plan.placed]).data
    assert timeline.cycles - timeline.waited_cycles == data <= digits.program.report.bound_cycles


def test_owners_of_another_program_are_refused(case: Case) -> None:
    owners = {name: names[1:] for name, names in case.program.owners.items()}
    with pytest.raises(ValueError, match="shorter"):
        build_timeline(case.program.image, "", owners)


# ---------------------------------------------------------------------- by hand

RELU = (ROOT / "docs" / "examples" / "relu.lpu").read_text()


def _hand(text: str) -> Timeline:
    return build_timeline(assemble(SMALL, text), "by hand")


def test_boxes_by_hand() -> None:
    boxes = [(b.queue.name, b.cycle, b.count, b.period, b.operator, b.addr, b.step) for b in _hand(RELU).boxes]
    memory = [("d0.r", 0, 4, 2, "READ", 0, 1), ("d1.w", 7, 4, 2, "WRITE", 0, 1), ("d2.r", 0, 4, 2, "READ", 0, 0)]
    vector = [("vxm0.i", 3 + i, 1, 1, ("ADD", "MAX")[i % 2], None, 0) for i in range(8)]
    assert boxes == memory + vector


def test_flows_by_hand() -> None:
    timeline = _hand(RELU)
    found: Counter[object] = Counter()
    for flow in timeline.flows:
        driver, readers = timeline.boxes[flow.driver], [timeline.boxes[reader] for reader in flow.readers]
        assert flow.hops == 1 and not flow.bus
        found.update((driver.operator, flow.streams, cycle, readers[0].operator) for cycle in _cycles(flow))
    # E0 is 0, E8 is 16, W16 is 33; driven two cycles after READ, and two after MAX, an operation of latency 1
    expected = [("READ", (0,), 2 + 2 * i, "ADD") for i in range(4)]
    expected += [("READ", (16,), 2 + 2 * i, "ADD") for i in range(4)]
    expected += [("MAX", (33,), 6 + 2 * i, "WRITE") for i in range(4)]
    assert found == Counter(expected)


def test_chain_by_hand() -> None:
    timeline = _hand(RELU)
    steps = [(timeline.boxes[s.box].operator, s.element, s.cycle, s.waited) for s in timeline.chain]
    assert steps == [("READ", 3, 6, 6), ("ADD", 0, 9, 0), ("MAX", 0, 10, 0), ("WRITE", 3, 13, 0)]


def test_a_chain_counts_the_wait_for_a_row() -> None:
    """A row written in 6 and read in 9, 2 cycles after it could have been; then it is written again."""
    text = """
    memory d0 addr=0:
        00010203 04050607 08090a0b 0c0d0e0f
    queue d0.r:
        READ addr=0 stream=E0
        END
    queue vxm0.i:
        NOP n=3
        ALU op=PASS x=E0 drive=1 out=W16
        NOP n=8
        ALU op=PASS x=E1 drive=1 out=W16
        END
    queue d1.w:
        NOP n=6
        WRITE addr=9 stream=W16
        NOP n=8
        WRITE addr=9 stream=W16
        END
    queue d1.r:
        NOP n=9
        READ addr=9 stream=E1
        END
    """
    steps = [(step.cycle, step.waited) for step in _hand(text).chain]
    assert steps == [(0, 0), (3, 0), (6, 0), (9, 2), (12, 0), (15, 0)]


def test_a_chain_passes_through_an_indexed_write() -> None:
    graph = Graph("table")
    index = graph.input("index", (1, 1), DType.INT32)
    cache = graph.scatter(graph.state("cache", np.zeros((32, 16), np.int8)), index, graph.input("row", (1, 16)))
    graph.output(graph.relu(cache))
    timeline = build_timeline(compile_graph(SMALL, graph).image, "table")
    names = [timeline.boxes[step.box].operator for step in timeline.chain]
    assert "SCATTER" in names  # it may have written the last row, which the last element needs


PASSING = """
memory d0 addr=0:
    00010203 04050607 08090a0b 0c0d0e0f
queue d0.r:
    READ addr=0 stream=W23
    END
queue w0.w:
    NOP n=3
    WRITE addr=0 stream=W23
    END
queue sxm0:
    NOP n=4
    SHIFT x=W23 out=E0 amount=1
    END
"""


def test_a_flow_goes_to_its_last_reader() -> None:
    timeline = _hand(PASSING)
    (flow,) = timeline.flows
    assert [timeline.boxes[reader].queue.name for reader in flow.readers] == ["sxm0", "w0.w"]
    assert (timeline.boxes[flow.driver].queue.name, flow.cycle, flow.count, flow.hops) == ("d0.r", 2, 1, 2)
    events = [(e["ts"], e["dur"]) for e in trace_events(timeline) if (e["ph"], e["pid"]) == ("X", STREAMS)]
    assert events == [(2, 1), (3, 1)]


def test_single_elements_in_a_row_are_one_box_while_their_step_is_one() -> None:
    text = """
    queue d0.r:
        LOOP n=2 length=2 stride=16
        READ addr=4 mask=1 stream=E0
        REPEAT n=2 d=0 stride=3
        READ addr=4 stream=E0
        REPEAT n=1 d=1 stride=0
        END
    """
    image = ProgramImage(SMALL, parse(SMALL, text).programs, (), (), 12)
    boxes = [(b.pc, b.cycle, b.count, b.period, b.addr, b.step) for b in build_timeline(image, "").boxes]
    assert boxes == [(1, 2, 3, 1, 4, 3), (1, 5, 3, 1, 20, 3), (3, 8, 1, 1, 4, 0), (3, 10, 1, 1, 4, 0)]


def test_a_window_is_a_part_of_the_whole(case: Case) -> None:
    whole, window = case.timeline, range(5, 25)
    part = build_timeline(case.program.image, "", case.program.owners, window=window)
    assert (part.cycles, part.run_cycles) == (20, whole.run_cycles)
    expected = {(b.queue.name, b.operator, c) for b in whole.boxes for c in _cycles(b) if c in window}
    assert {(b.queue.name, b.operator, c + 5) for b in part.boxes for c in _cycles(b)} == expected


def test_every_step_of_a_program_has_the_operators_of_one() -> None:
    one = compile_graph(SMALL, _digits(SMALL))
    three = compile_graph(SMALL, _digits(SMALL), steps=3)
    single = build_timeline(one.image, "", one.owners)
    step = len(single.window)
    for i in range(3):
        start = three.image.cycles - SMALL.superlanes - (3 - i) * step
        part = build_timeline(three.image, "", three.owners, window=range(start, start + step))
        assert {(b.queue, b.operator, c) for b in part.boxes for c in _cycles(b)} == {
            (b.queue, b.operator, c) for b in single.boxes for c in _cycles(b)
        }


@pytest.mark.parametrize("window", [range(0, 72), range(-1, 5), range(5, 5), range(80, 90)])
def test_a_window_is_within_the_run(window: range) -> None:
    image = compile_graph(SMALL, _digits(SMALL)).image
    rule = f"^digits: cycles {window.start} to {window.stop - 1}: must be in this order and within the run's 71$"
    with pytest.raises(ViewError, match=rule):
        build_timeline(image, "digits", window=window)


def test_too_many_boxes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpu.view.build.MOST_BOXES", 10)
    assert len(_hand(PASSING).boxes) == 3
    with pytest.raises(ViewError, match=r"^by hand: more than 10 boxes in 15 cycles: choose fewer cycles$"):
        _hand(RELU)


# ------------------------------------------------------------------------ traces


def _slices(events: Sequence[Event]) -> Iterator[tuple[tuple[object, object], int, int, str]]:
    for event in events:
        if event["ph"] == "X":
            at, length, name = event["ts"], event["dur"], event["name"]
            assert isinstance(at, int) and isinstance(length, int) and isinstance(name, str)
            yield (event["pid"], event["tid"]), at, length, name


def test_trace_is_json_of_tracks_without_overlaps(case: Case, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace", case.timeline)
    events = json.loads((tmp_path / "trace").read_text())["traceEvents"]
    assert events == list(trace_events(case.timeline))
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(set(names.values())) == len(names)
    tracks: dict[object, list[tuple[int, int]]] = defaultdict(list)
    for track, at, length, _ in _slices(events):
        assert track in names
        tracks[track].append((at, at + length))
    for spans in tracks.values():
        spans.sort()
        assert spans[0][0] >= 0 and spans[-1][1] <= case.program.image.cycles
        assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_trace_has_every_busy_cycle_and_every_hop(case: Case) -> None:
    events = list(trace_events(case.timeline))
    sums: Counter[object] = Counter()
    for (process, _), _, length, _ in _slices(events):
        sums[process] += length
    assert sums[QUEUES] == sum(queue.busy_cycles for queue in case.program.report.queues)
    assert sums[STREAMS] == sum(flow.count * flow.hops for flow in case.timeline.flows)
    shown = {name for (process, _), _, _, name in _slices(events) if process == QUEUES}
    for operator in case.timeline.operators:
        assert any(name.startswith(f"{operator} ") for name in shown)


def test_trace_by_hand() -> None:
    events = json.loads(json.dumps(list(trace_events(_hand(RELU)))))
    tracks = {e["args"]["name"]: e["tid"] for e in events if e["name"] == "thread_name" and e["pid"] == STREAMS}
    assert list(tracks) == ["E0 3 to 4", "E8 3 to 4", "W16 4 to 3"]
    passing = [e for e in events if e["ph"] == "X" and e["pid"] == STREAMS and e["tid"] == tracks["W16 4 to 3"]]
    assert [(e["ts"], e["dur"], e["name"]) for e in passing] == [
        (6 + 2 * i, 1, "MAX: vxm0.i to d1.w") for i in range(4)
    ]
    reads = [
        (e["ts"], e["dur"], e["args"]["instruction"], e["args"]["addr"]) for e in events if e["name"] == "READ READ"
    ]
    expected = [(2 * i, 1, "READ count=4 gap=1 stream=E0 stride=1", i) for i in range(4)]
    assert reads == expected + [(2 * i, 1, "READ count=4 gap=1 stream=E8", 0) for i in range(4)]


def test_a_trace_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(timeline: Timeline) -> Iterator[Event]:
        yield {"ph": "M"}
        raise OSError("no space left")

    monkeypatch.setattr("lpu.view.trace.trace_events", broken)
    with pytest.raises(OSError, match="no space left"):
        write_trace(tmp_path / "trace", _hand(RELU))
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------- page


def test_page_loads_nothing_and_names_every_operator(case: Case, tmp_path: Path) -> None:
    write_view(tmp_path / "new" / "page.html", case.timeline)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    text = (tmp_path / "new" / "page.html").read_text()
    assert "{{" not in text and text.startswith("<!doctype html>") and text.endswith("</html>\n")
    assert not re.search(r"https?:|\bsrc\s*=|\bhref\s*=|@import|url\(|\bimport\b|fetch\(|XMLHttp", text)
    for operator in case.timeline.operators:
        assert f'"{operator}"' in text


def _data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def test_page_holds_every_box_and_flow(case: Case) -> None:
    data, timeline = _data(page(case.timeline)), case.timeline
    boxes, flows = data["boxes"], data["flows"]
    names, texts = [row[0] for row in data["operators"]], data["texts"]
    found = [
        (names[o], texts[t], c, n, p)
        for o, t, c, n, p in zip(*(boxes[k] for k in ("operator", "text", "cycle", "count", "period")), strict=True)
    ]
    assert found == [(b.operator, b.text, b.cycle, b.count, b.period) for b in timeline.boxes]
    assert [[flow.driver, list(flow.readers), flow.cycle, flow.count, flow.hops] for flow in timeline.flows] == [
        list(row) for row in zip(*(flows[k] for k in ("driver", "readers", "cycle", "count", "hops")), strict=True)
    ]


def test_head_line_states_the_report(case: Case) -> None:
    facts = dict(_data(page(case.timeline))["facts"])
    report = case.program.report
    assert facts["cycles"] == f"{report.cycles:,}" and facts["ratio"] == f"{report.ratio:.3f}"
    assert facts["bound"] == f"{report.bound_cycles:,} by {report.bound_by}"
    assert facts["matrix unit"] == f"{report.matrix_occupancy:.1%}"


def test_a_name_cannot_end_the_script(case: Case) -> None:
    title = "</script><script>alert(1)</script> & {{data}}"
    text = page(dataclasses.replace(case.timeline, title=title))
    assert "<script>alert" not in text and _data(text)["title"] == title
    assert text.count("</script>") == 2


def test_scripts_name_only_elements_that_the_page_has() -> None:
    folder = ROOT / "lpu" / "view"
    known = set(re.findall(r'\bid="([\w-]+)"', (folder / "page.html").read_text()))
    for script in SCRIPTS:
        text = (folder / script).read_text()
        used = set(re.findall(r'(?:getElementById|byId)\("([\w-]+)"\)', text))
        assert used <= known, script


def test_operators_of_many_layers_share_colours() -> None:
    program = compile_graph(SMALL, GRAPHS["digits on small"][1])
    renamed = {
        name: [f"layer{i % 9}.{owner}.w1" for i, owner in enumerate(owners)] for name, owners in program.owners.items()
    }
    rows = _data(page(build_timeline(program.image, "", renamed)))["operators"]
    assert len(rows) > 16
    for name, family, *_ in rows:
        assert family == re.sub("^layer.", "layer*", name)


# ----------------------------------------------------------------------- command


def test_view_writes_page_and_trace(tmp_path: Path) -> None:
    result = lpu("view", "digits", "-o", tmp_path / "a.html", "--trace", tmp_path / "a.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{tmp_path}/a.html: 71 cycles, ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.json"]
    assert '"matmul1"' in (tmp_path / "a.html").read_text() and "matmul1 " in (tmp_path / "a.json").read_text()


def test_view_shows_a_part(tmp_path: Path) -> None:
    assert lpu("view", "digits", "-o", tmp_path / "a.html", "--cycles", 40, 70).exit_code == 0
    data = _data((tmp_path / "a.html").read_text())
    assert (data["origin"], data["cycles"]) == (40, 31)
    assert dict(data["facts"])["shown"] == "40 to 70" and dict(data["facts"])["cycles"] == "71"
    assert [row[0] for row in data["operators"]] == ["matmul1", "digit"]


def test_view_of_an_image_has_the_boxes_of_its_programs(tmp_path: Path) -> None:
    assert lpu("compile", "matmul", 2, 8, 4, "--preset", "tiny", "-o", tmp_path / "image").exit_code == 0
    assert lpu("view", tmp_path / "image", "--preset", "tiny", "-o", tmp_path / "a.html").exit_code == 0
    assert lpu("view", "matmul", 2, 8, 4, "--preset", "tiny", "-o", tmp_path / "b.html").exit_code == 0
    a, b = (_data((tmp_path / name).read_text()) for name in ("a.html", "b.html"))
    assert a["queues"] != b["queues"]  # an image has no bounds
    assert [row[:3] for row in a["queues"]] == [row[:3] for row in b["queues"]]
    assert (a["named"], b["named"], a["title"], b["title"]) == (False, True, "image", "matmul 2 x 8 x 4")
    assert [row[0] for row in b["operators"]] == ["matmul0"]
    assert "REQUANT" in [row[0] for row in a["operators"]]


STORY = str(HELD_OUT_PATH.with_name("stories260k.bin"))


def test_a_token_of_a_llama(tmp_path: Path) -> None:
    """Every operator of a layer is named, all layers are there, and the page is small."""
    page, trace = tmp_path / "token.html", tmp_path / "token.json"
    assert lpu("view", STORY, "-o", page, "--trace", trace).exit_code == 0
    text = page.read_text()
    assert all(f"l{layer}.{name}" in text for layer in range(5) for name in ("norm", "query", "attention", "0.down"))
    assert len(text) < 1_000_000
    names = {event["name"] for event in json.loads(trace.read_text())["traceEvents"]}
    assert {"next ABC", "next RSUB"} <= names, "the classifier's products and their arg-max"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["nothing"], "'nothing': must be digits, matmul M K N, a Llama, or the file of a program image"),
        (["."], "config.json: no such file"),
        ([STORY, "--bucket", "33"], "--bucket 33: must be one of 32, 64, 128, 256"),
        (["digits", "3"], "digits: 1 sizes: must be none"),
        (["matmul", "3", "4"], "matmul: 2 sizes: must be M K N"),
        (["matmul", "3", "4", "0"], "Invalid value for '[M K N]': 0 is not in the range x>=1."),
        (
            ["pyproject.toml"],
            "pyproject.toml: not a llama2.c checkpoint: no ak42 magic, and as a legacy header: "
            "dim = 1769300571: must be in 1..65536",
        ),
        (
            ["matmul", "9", "9999", "9999"],
            f"matmul 9x9999x9999: operand of 99980001 bytes: must fit the {SMALL.sram_bytes} of 'small'",
        ),
        (["digits", "--cycles", "9", "8"], "digits: cycles 9 to 8: must be in this order and within the run's 71"),
        (["digits", "--trace", "page.html"], "--trace 'page.html': must be another file than the page"),
    ],
)
def test_a_mistake_is_one_line_and_no_file(
    args: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    monkeypatch.chdir(tmp_path)
    result = lpu("view", *args, "-o", "page.html")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"lpu: error: {text}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


def test_a_damaged_image_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "image"
    compile_graph(NANO, matmul_graph(NANO, 2, 8, 4)).image.save(path)
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 12):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        result = lpu("view", path, "--preset", "tiny", "-o", tmp_path / "page.html")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith(f"lpu: error: {path}: ")
    assert [file.name for file in tmp_path.iterdir()] == ["image"]
