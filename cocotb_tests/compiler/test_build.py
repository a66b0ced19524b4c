"""Graph -> image -> golden machine == golden operators, in the predicted cycles, for many shapes and cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from cocotb_tests.compiler.reference import check_graph, run_image
from compiler.build import OWN_ORDER, PLACEMENTS, compile_graph
from compiler.emit import TooLongError, emit
from compiler.evaluate import Arrays, evaluate
from compiler.image import ProgramImage
from compiler.ir import CompileError, Graph, Tensor
from compiler.schedule import Schedule, schedules
from compiler.verify import verify
from compiler.workloads import matmul_graph, matmul_input
from golden.numerics import choose_requant
from golden.sequencer import expand
from hdl.config import LpuConfig, MemoryGroup, PipeKind, preset

PRESETS = ("tiny", "small", "ulx3s", "duo", "medium")
INTEGER = ("tiny", "duo")
"""Presets with a REQUANT pipe, which integer products and requantisation need."""
SMALL, DUO, NANO = preset("small"), preset("duo"), preset("tiny")


def check_matmul(config: LpuConfig, m: int, k: int, n: int) -> ProgramImage:
    image = check_graph(config, matmul_graph(config, m, k, n, seed=m + k + n)).image
    assert expand(config, image.programs).cycles == image.cycles
    return image


# ------------------------------------------------------------------------ matmul


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 9, 7), (1, 17, 33), (9, 5, 2)])
def test_matmul_of_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    check_matmul(preset(name), *shape)


@pytest.mark.parametrize("name", ["small", "duo", "medium"])
def test_matmul_with_padding_in_every_dimension(name: str) -> None:
    check_matmul(preset(name), 17, 33, 65)


@pytest.mark.parametrize("rows", [7, 8, 9, 16, 23])
def test_rows_around_the_accumulators_of_duo(rows: int) -> None:
    check_matmul(preset("duo"), rows, 64, 96)


@pytest.mark.parametrize(("name", "rows"), [("duo", 17), ("medium", 18)])
def test_rows_are_split_evenly_so_that_no_block_waits_for_its_loads(name: str, rows: int) -> None:
    config = preset(name)
    report = compile_graph(config, matmul_graph(config, rows, 2 * config.lanes, 3 * config.lanes)).report
    assert report.matrix_busy_cycles == rows * 6
    assert report.cycles == report.bound_cycles


@pytest.mark.parametrize(
    "config",
    [preset("small").replace(mac_rows=4), preset("ulx3s").replace(mac_rows=2), preset("duo").replace(mac_rows=4)],
    ids=lambda config: f"{config.name}, {config.mac_rows} rows",
)
@pytest.mark.parametrize("rows", [1, 5])
def test_matmul_with_few_multipliers(config: LpuConfig, rows: int) -> None:
    check_matmul(config, rows, 40, 70)


def test_a_narrow_weight_bus_keeps_as_many_multipliers_busy() -> None:
    """No bubble: a tile every two cycles."""
    board = preset("ulx3s")
    report = compile_graph(board, matmul_graph(board, 1, 20 * 16, 12 * 16)).report
    assert report.matrix_busy_cycles == 20 * 12 * 2
    assert report.cycles == report.bound_cycles


def test_fewer_accumulators_than_a_load_takes() -> None:
    config = preset("medium").replace(name="few", acc_rows=2)
    check_matmul(config, 5, 130, 70)


def test_more_k_tiles_than_one_instruction_counts() -> None:
    config = SMALL.replace(name="short", count_bits=4)
    check_matmul(config, 2, 20 * 16, 40)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((64, 64, 64), 1100),
        ((64, 128, 256), 8300),
        ((1, 64, 64), 60),
        ((1, 128, 128), 110),
        ((1, 256, 256), 310),
    ],
)
def test_cycle_targets_on_small(shape: tuple[int, int, int], target: int) -> None:
    """The numbers to beat; each within 2 cycles of its lower bound, with programs of a few dozen instructions."""
    m, k, n = shape
    graph = matmul_graph(SMALL, m, k, n)
    compiled = compile_graph(SMALL, graph)
    (run,) = run_image(compiled.image, {"x": matmul_input(m, k, 0)})
    np.testing.assert_array_equal(run.outputs["y"], evaluate(graph, {"x": matmul_input(m, k, 0)})["y"])
    assert run.cycles == compiled.image.cycles <= target
    floor = m * -(-k // 16) * -(-n // 16)
    assert floor < compiled.report.bound_cycles <= run.cycles <= compiled.report.bound_cycles + 2
    assert max(map(len, compiled.image.programs.values())) <= 12


def test_benchmark_results_use_the_int8_range() -> None:
    graph = matmul_graph(SMALL, 32, 64, 48, seed=5)
    y = evaluate(graph, {"x": matmul_input(32, 64, 5)})["y"]
    assert (np.abs(y.astype(int)).max(axis=0) >= 126).all()
    assert np.abs(y.astype(int)).max() <= 127


def test_the_matrix_unit_has_no_bubble_between_tiles() -> None:
    image = check_matmul(SMALL, 5, 48, 64)
    cycles = [e.cycle for e in expand(SMALL, image.programs).elements["mxm0.a"]]
    assert cycles == list(range(cycles[0], cycles[0] + 5 * 3 * 4))


def test_loads_hide_behind_feeds_where_a_tile_loads_in_several_cycles() -> None:
    config = preset("medium")
    image = check_matmul(config, 32, 192, 128)
    elements = expand(config, image.programs).elements
    feeds = [e.cycle for e in elements["mxm0.a"]]
    assert feeds == list(range(feeds[0], feeds[0] + 32 * 3 * 2))


@pytest.mark.parametrize(
    ("effort", "refused", "efforts"),
    [
        (8, 0, [8]),
        (8, 2, [8]),
        (8, 1000, [8, *[OWN_ORDER] * PLACEMENTS]),
        (64, 1000, [64, 2, *[OWN_ORDER] * PLACEMENTS]),
    ],
)
def test_programs_that_are_too_long_are_tried_in_other_orders(
    effort: int, refused: int, efforts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the next ones of those found, in those of less effort, in the bundles' own, of one placement after another."""
    tried, plans = [], []

    def noted(*arguments: Any) -> Iterator[Schedule]:
        tried.append(arguments[2])
        for plan in schedules(*arguments):
            plans.append(plan)
            yield plan

    def too_long_at_first(*arguments: Any) -> Any:
        if len(plans) <= refused:
            raise TooLongError(f"too long: {len(plans)}")
        return emit(*arguments)

    monkeypatch.setattr("compiler.build.schedules", noted)
    monkeypatch.setattr("compiler.build.emit", too_long_at_first)
    graph = Graph()
    for seed in range(4):
        graph.output(dense(SMALL, graph, graph.input(f"x{seed}", (2, 32)), 32, seed))
    with pytest.raises(CompileError, match=r"too long: 1$") if refused == 1000 else nullcontext():
        image = compile_graph(SMALL, graph, effort=effort).image
        assert len(plans) == refused + 1 and expand(SMALL, image.programs).cycles == image.cycles
    assert tried == efforts


def test_what_another_order_does_not_mend_is_not_tried_in_others(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def refused(*arguments: object) -> None:
        tried.append(arguments)
        raise CompileError("no LOOP")

    monkeypatch.setattr("compiler.build.emit", refused)
    with pytest.raises(CompileError, match="no LOOP"):
        compile_graph(SMALL, matmul_graph(SMALL, 2, 32, 32), effort=8)
    assert len(tried) == 1 + PLACEMENTS, "once, and once with each placement"


def test_the_first_read_is_in_cycle_0_without_loops() -> None:
    elements = expand(SMALL, check_matmul(SMALL, 1, 64, 64).programs).elements
    assert elements["w0.r"][0].cycle == 0


# --------------------------------------------------------------------- operators


def dense(config: LpuConfig, graph: Graph, x: Tensor, n: int, seed: int) -> Tensor:
    """matmul and bias scaled to int8 [M, n], near the range of int8 and beyond it: by requantise where the core can."""
    rng = np.random.default_rng(seed)
    k = x.shape[1]
    w = graph.constant(f"w{seed}", rng.integers(-128, 128, (n, k)))
    b = graph.constant(f"b{seed}", rng.integers(-40_000, 40_000, n), "int32")
    sums = graph.bias(graph.matmul(x, w), b)
    scales = rng.uniform(0.3, 3.0, n) * 40 / (74 * 74 * k**0.5)
    if PipeKind.REQUANT not in config.pipes:
        return graph.rescale(sums, graph.constant(f"s{seed}", scales.astype(np.float32), "fp32"))
    words = [choose_requant(config, scale) for scale in scales.tolist()]
    return graph.requantise(sums, [m for m, _ in words], [s for _, s in words])


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("m", [1, 3])
def test_perceptron_with_argmax(name: str, m: int) -> None:
    config, graph = preset(name), Graph()
    hidden = graph.relu(dense(config, graph, graph.input("x", (m, 64)), 24, 1))
    sums = graph.matmul(hidden, graph.constant("head", np.random.default_rng(2).integers(-128, 128, (10, 24))))
    graph.output(graph.bias(sums, graph.constant("c", np.arange(10), "int32"), name="logits"))
    graph.output(graph.argmax(sums, name="digit"))
    check_graph(config, graph, seed=3)


@pytest.mark.parametrize("name", PRESETS)
def test_unfused_sums_are_int32_in_sram(name: str) -> None:
    config, graph = preset(name), Graph()
    x = graph.input("x", (5, 2 * config.lanes + 1))
    weights = np.random.default_rng(1).integers(-128, 128, (config.lanes + 3, x.shape[1]))
    graph.output(graph.matmul(x, graph.constant("w", weights)))
    check_graph(config, graph)


@pytest.mark.parametrize("dtype", ["int8", "int32"])
@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in PRESETS for kind in ("add", "sub", "maximum", "minimum", "relu")]
    + [(name, "mul") for name in INTEGER],
)
def test_element_wise(name: str, dtype: str, kind: str) -> None:
    config, graph = preset(name), Graph()
    a = graph.input("a", (3, config.lanes + 2), dtype)
    if kind == "relu":
        graph.output(graph.relu(a))
    else:
        b = graph.input("b", a.shape, "int8" if kind == "mul" else dtype)
        graph.output(getattr(graph, kind)(a, b))
    check_graph(config, graph)


@pytest.mark.parametrize("name", ["small", "medium"])
@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_a_core_without_a_requant_pipe_refuses_integer_products(name: str, dtype: str) -> None:
    graph = Graph()
    graph.output(graph.mul(graph.input("a", (1, 3), dtype), graph.input("b", (1, 3))))
    with pytest.raises(CompileError, match=r"^mul0: MUL: needs a requant pipe; the core has int, mul, add, sfu$"):
        compile_graph(preset(name), graph)


@pytest.mark.parametrize("name", ["small", "medium"])
def test_a_core_without_a_requant_pipe_refuses_requantisation(name: str) -> None:
    graph = Graph()
    graph.output(graph.requantise(graph.input("a", (1, 3), "int32"), 3, 4))
    rule = r"^requantise0: REQUANT: needs a requant pipe; the core has int, mul, add, sfu$"
    with pytest.raises(CompileError, match=rule):
        compile_graph(preset(name), graph)


def test_int32_sums_wrap_and_int8_sums_saturate() -> None:
    graph = Graph()
    wide, narrow = graph.input("wide", (1, 4), "int32"), graph.input("narrow", (1, 4))
    graph.output(graph.add(wide, graph.constant("c", [[2**31 - 1] * 4], "int32"), name="wraps"))
    graph.output(graph.sub(graph.constant("d", [[100, -100, 0, 1]]), narrow, name="saturates"))
    items: Arrays = {"wide": np.array([[1, 0, -1, 2]], np.int32), "narrow": np.array([[-100, 100, -128, 1]], np.int8)}
    (run,) = run_image(compile_graph(SMALL, graph).image, items)
    assert run.outputs["wraps"].tolist() == [[-(2**31), 2**31 - 1, 2**31 - 2, -(2**31) + 1]]
    assert run.outputs["saturates"].tolist() == [[127, -128, 127, 0]]


def test_a_wide_constant_that_fits_the_multiplier_is_its_operand() -> None:
    graph = Graph()
    x = graph.input("x", (2, 20), "int32")
    graph.output(graph.mul(graph.constant("c", np.arange(-20, 20).reshape(2, 20) * 1600, "int32"), x))
    check_graph(DUO, graph)


@pytest.mark.parametrize("m", [1, 3])
def test_results_of_the_requant_pipe_go_on_to_every_pipe(m: int) -> None:
    """REQUANT takes words from streams and INT only, and neither MUL nor ADD takes its results: INT is in between."""
    graph = Graph()
    x, y = graph.input("x", (m, 50), "int32"), graph.input("y", (m, 50))
    factor = graph.constant("f", np.full(50, 1e-3, np.float32), "fp32")
    graph.output(graph.dequantise(graph.mul(x, y), factor))
    graph.output(graph.mul(graph.mul(x, y), graph.constant("c", np.full((m, 50), -77), "int32")))
    graph.output(graph.requantise(graph.mul(x, graph.constant("d", np.full((m, 50), 3), "int32")), 50, 20))
    graph.output(graph.rescale(graph.mul(graph.relu(x), y), factor))
    graph.output(graph.mul(y, y))
    check_graph(DUO, graph)


def test_a_state_is_no_operand_of_the_multiplier_even_if_it_fits_at_first() -> None:
    graph = Graph()
    x, state = graph.input("x", (1, 20), "int32"), graph.state("s", [[0] * 20], "int32")
    graph.output(graph.mul(x, state))
    with pytest.raises(CompileError, match=r"^mul0: 'x' .* \* 's' .*: one operand must be int8 or a constant of 16 "):
        compile_graph(DUO, graph)


@pytest.mark.parametrize("config", [SMALL, DUO], ids=lambda config: config.name)
def test_fused_stages_do_not_change_results(config: LpuConfig) -> None:
    """Residual sums, clipping and products around a matmul, some of which must not be fused."""
    graph = Graph()
    x = graph.input("x", (4, 40))
    y = dense(config, graph, x, 40, 7)
    clipped = graph.minimum(graph.maximum(y, graph.constant("low", np.full((4, 40), -90))), x)
    graph.output(graph.add(graph.add(clipped, x), y))
    combine = graph.mul if PipeKind.REQUANT in config.pipes else graph.maximum
    graph.output(combine(graph.sub(x, y), clipped))
    check_graph(config, graph)


def test_a_per_tensor_scale_beyond_the_immediate_uses_a_constant_row() -> None:
    config = NANO.replace(name="wide", mult_bits=16)
    graph = Graph()
    sums = graph.matmul(graph.input("x", (3, 30)), graph.constant("w", np.eye(20, 30, dtype=np.int64) * 99))
    graph.output(graph.relu(graph.requantise(sums, 40_000, 21), name="y"))
    image = check_graph(config, graph).image
    assert {info.name for info in image.tensors} == {"x", "w", "requantise0.word", "y"}


def test_a_per_tensor_scale_is_an_immediate_where_it_fits() -> None:
    graph = Graph()
    sums = graph.matmul(graph.input("x", (3, 30)), graph.constant("w", np.eye(20, 30, dtype=np.int64) * 99))
    graph.output(graph.relu(graph.requantise(sums, 40_000, 21), name="y"))
    assert {info.name for info in check_graph(DUO, graph).image.tensors} == {"x", "w", "y"}


def test_bias_and_scale_of_single_tile_sums_share_the_only_queue_of_nano() -> None:
    config, graph = preset("tiny"), Graph()
    graph.output(graph.relu(dense(config, graph, graph.input("x", (4, 3)), 13, 4)))
    check_graph(config, graph)


@pytest.mark.parametrize("groups", [1, 2])
def test_operands_that_share_a_read_queue(groups: int) -> None:
    config = preset("medium").replace(
        data_groups_per_position=1, name="few", data_groups=(MemoryGroup(4, 1024),) * groups
    )
    graph = Graph()
    x = graph.input("x", (20, 100))
    y = dense(config, graph, x, 100, 4)
    graph.output(graph.add(graph.sub(graph.relu(y), x), x))
    check_graph(config, graph)


def test_a_tensor_combined_with_itself_is_read_once() -> None:
    graph = Graph()
    x = graph.input("x", (2, 20))
    graph.output(graph.add(x, x))
    image = check_graph(SMALL, graph).image
    elements = expand(SMALL, image.programs).elements
    assert len(elements[f"{image.tensor('x').unit}.r"]) == 4
    assert not elements["sxm0"]


@pytest.mark.parametrize("preset_name", ["small", "duo"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_several_temporaries_use_in_turn(preset_name: str, seed: int) -> None:
    """Wide and narrow temporaries in memory so small that most of them follow another one in its rows."""
    config, graph = preset(preset_name).replace(name="tiny", data_groups=(MemoryGroup(4, 16),) * 3), Graph()
    weights = np.random.default_rng(seed).integers(-128, 128, (32, 32))
    x = graph.input("x", (5, 32))
    w, factor = graph.constant("w", weights), graph.constant("f", np.full(32, 1.5e-3, np.float32), "fp32")
    y = x
    for layer in range(6):
        sums = graph.relu(graph.maximum(graph.matmul(y, w), graph.matmul(x, w)))
        with_words = PipeKind.REQUANT in config.pipes
        codes = graph.requantise(sums, 50_000 + layer, 25) if with_words else graph.rescale(sums, factor)
        y = graph.sub(codes, x)
    graph.output(y)
    image = check_graph(config, graph, seed).image
    temps = [info for info in image.tensors if info.kind == "temp"]
    assert len({(t.unit, t.addr) for t in temps}) < len(temps)


INT, REQUANT = PipeKind.INT, PipeKind.REQUANT


@pytest.mark.parametrize(
    "pipes", [(INT, REQUANT), tuple(kind for kind in PipeKind if kind is not REQUANT), tuple(PipeKind)]
)
def test_the_same_graph_on_other_pipes(pipes: tuple[PipeKind, ...]) -> None:
    config = SMALL.replace(name="other", pipes=pipes)
    graph = Graph()
    x = graph.input("x", (2, 20))
    y = graph.relu(dense(config, graph, x, 20, 9))
    graph.output(graph.mul(y, x) if REQUANT in pipes else graph.sub(y, x))
    graph.output(graph.argmax(y))
    check_graph(config, graph)


# ------------------------------------------------------------------------ argmax


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("shape", [(3, 1), (3, 4), (3, 11), (3, 40), (1, 100)])
def test_argmax_of_int8(name: str, shape: tuple[int, int]) -> None:
    graph = Graph()
    graph.output(graph.argmax(graph.input("x", shape)))
    check_graph(preset(name), graph)


def test_argmax_takes_the_lowest_of_equal_indices_and_no_padding() -> None:
    graph = Graph()
    graph.output(graph.argmax(graph.input("x", (4, 37)), name="y"))
    x = np.full((4, 37), -128, np.int8)
    x[1, [5, 20, 36]] = -3
    x[2, [16, 17]] = 127
    x[3, 36] = -127
    (run,) = run_image(compile_graph(SMALL, graph).image, {"x": x})
    assert run.outputs["y"].tolist() == [[0], [5], [16], [36]]


@pytest.mark.parametrize("name", PRESETS)
def test_argmax_of_the_widest_int32_values(name: str) -> None:
    graph = Graph()
    graph.output(graph.argmax(graph.input("x", (2, 17), "int32"), name="y"))
    low, high = -(1 << 31), (1 << 31) - 1
    x = np.full((2, 17), low, np.int32)
    x[1] = high - 1
    x[1, 9] = high
    (run,) = run_image(compile_graph(preset(name), graph).image, {"x": x})
    assert run.outputs["y"].tolist() == [[0], [9]]


# ------------------------------------------------------------------ random graphs


@pytest.mark.parametrize("name", ["small", "duo"])
@pytest.mark.parametrize("seed", range(6))
def test_random_graphs(name: str, seed: int) -> None:
    """int8 tensors of one shape, combined by random operators; every third result is an output."""
    config, rng, graph = preset(name), np.random.default_rng(seed), Graph()
    shape = (int(rng.integers(1, 4)), int(rng.integers(1, 50)))
    values = [graph.input("x0", shape), graph.input("x1", shape)]
    for number in range(7):
        a, b = (values[int(i)] for i in rng.integers(0, len(values), 2))
        kinds = ["dense", "add", "sub", "maximum", "minimum", "relu"] + ["mul"] * (name in INTEGER)
        kind = str(rng.choice(kinds))
        if kind == "dense":
            result = dense(config, graph, a, shape[1], 100 + number)
        elif kind == "relu":
            result = graph.relu(a)
        else:
            result = getattr(graph, kind)(a, b)
        values.append(result)
        if number % 3 == 0:
            graph.output(result)
    graph.output(values[-1])
    check_graph(config, graph, seed)


# ------------------------------------------------------------------------- report


def test_report_counts_what_the_program_issues() -> None:
    compiled = compile_graph(SMALL, matmul_graph(SMALL, 2, 32, 48))
    issued = Counter({name: len(e) for name, e in expand(SMALL, compiled.image.programs).elements.items()})
    report = compiled.report
    assert {q.name: q.busy_cycles for q in report.queues} == {q.name: issued[q.name] for q in report.queues}
    assert {q.name: q.program_rows for q in report.queues} == {n: len(p) for n, p in compiled.image.programs.items()}
    assert report.matrix_busy_cycles == 2 * 2 * 3
    assert report.matrix_occupancy == pytest.approx(12 / report.cycles)
    assert report.ratio == pytest.approx(report.cycles / report.bound_cycles) and report.ratio >= 1
    assert report.as_dict()["bound_by"] in {q.name for q in report.queues} | {"data dependencies"}
    assert report.table().row_count == len(report.queues)


def test_a_chain_of_dependent_steps_is_bound_by_data() -> None:
    graph = Graph()
    x = graph.input("x", (1, 16))
    for layer in range(4):
        x = dense(SMALL, graph, x, 16, layer)
    graph.output(x)
    report = compile_graph(SMALL, graph).report
    assert report.bound_by == "data dependencies"
    assert report.cycles == report.bound_cycles


def test_tensors_of_the_image_live_from_first_write_to_last_read() -> None:
    graph = Graph()
    hidden = dense(SMALL, graph, graph.input("x", (1, 16)), 16, 1)
    graph.output(dense(SMALL, graph, hidden, 16, 2))
    image = compile_graph(SMALL, graph).image
    info = image.tensor(hidden.name)
    elements = expand(SMALL, image.programs).elements
    writes = [e.cycle for e in elements[f"{info.unit}.w"] if e.addr == info.addr]
    reads = [e.cycle for e in elements[f"{info.unit}.r"] if e.addr == info.addr]
    assert info.kind == "temp"
    assert (info.live_from, info.live_until) == (min(writes), max(reads))
    assert min(writes) < min(reads)


def test_the_image_passes_the_verifier_with_its_own_memory_and_tensors() -> None:
    graph = Graph()
    x = graph.constant("x", matmul_input(2, 20, 0))
    graph.output(dense(SMALL, graph, x, 30, 1))
    image = compile_graph(SMALL, graph).image
    assert verify(SMALL, image.programs, image.memory, image.tensors).cycles == image.cycles
