"""Placement: live tensors do not share rows, dead ones do, co-read tensors are apart, and memory has an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from compiler.fuse import Pass, fuse
from compiler.image import tensor_addresses
from compiler.ir import CompileError, Graph, Tensor
from compiler.lower import lower
from compiler.place import Placement, overlap, place
from compiler.workloads import scaled_to_int8
from hdl.config import LpuConfig, MemoryGroup, preset

SMALL = preset("small")


def chain_graph(config: LpuConfig, layers: int, width: int, rows: int = 4) -> Graph:
    """A stack of width x width layers, each with a bias and a scale of its own."""
    graph = Graph()
    x = graph.input("x", (rows, width))
    for layer in range(layers):
        w = graph.constant(f"w{layer}", np.ones((width, width), dtype=np.int64))
        b = graph.constant(f"b{layer}", np.arange(width), "int32")
        sums = graph.bias(graph.matmul(x, w), b)
        x = scaled_to_int8(config, graph, sums, np.arange(1, width + 1) / 512, f"y{layer}")
    graph.output(x)
    return graph


def placed(config: LpuConfig, graph: Graph) -> tuple[list[Pass], Placement]:
    passes = fuse(config, graph)
    return passes, place(config, graph, passes)


def cells(config: LpuConfig, placement: Placement, tensor: Tensor) -> set[tuple[str, int]]:
    info = placement.info(tensor, 0, 0)
    return {(info.unit, addr) for addr in tensor_addresses(config, info)}


def live_together(passes: list[Pass], placement: Placement) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs that hold their values in the same pass, derived from the passes alone."""
    for number, p in enumerate(passes):
        later = {t for q in passes[number:] for t in (*q.reads, q.weights) if t is not None}
        produced = {q.output for q in passes[: number + 1]}
        always = {t for t, kind in placement.kinds.items() if kind in ("input", "const")}
        waiting = {t for t in produced if t in later or placement.kinds[t] == "output"}
        yield from combinations(always | waiting | {p.output}, 2)


@pytest.mark.parametrize("name", ["tiny", "small", "duo", "medium"])
def test_live_tensors_share_no_row(name: str) -> None:
    config = preset(name)
    passes, placement = placed(config, chain_graph(config, 3, 2 * config.lanes - 1))
    pairs = list(live_together(passes, placement))
    assert pairs
    for a, b in pairs:
        assert not cells(config, placement, a) & cells(config, placement, b), (a, b)


def test_rows_of_dead_temporaries_are_used_again_only_when_rows_get_scarce() -> None:
    for depth_rows, reuses in ((512, False), (32, True)):
        config = SMALL.replace(name="rows", data_groups=(MemoryGroup(4, depth_rows),) * 3)
        _, placement = placed(config, chain_graph(config, 7, 16, rows=16))
        occupied = [cells(config, placement, t) for t, kind in placement.kinds.items() if kind == "temp"]
        assert len(occupied) == 6
        assert (len(set.union(*occupied)) < sum(map(len, occupied))) is reuses


def test_a_pass_knows_whose_rows_it_writes_over() -> None:
    config = SMALL.replace(name="rows", data_groups=(MemoryGroup(4, 32),) * 3)
    passes, placement = placed(config, chain_graph(config, 7, 16, rows=16))
    found = {bundle.group: set(bundle.overwrites) for bundle in lower(config, passes, placement)}
    for number, p in enumerate(passes):
        own = cells(config, placement, p.output)
        owners = {q.name for q in passes[:number] for t in (q.x, q.output) if cells(config, placement, t) & own}
        assert found[p.name] == owners
    assert any(found.values())


def test_what_a_pass_reads_together_is_in_different_groups() -> None:
    passes, placement = placed(SMALL, chain_graph(SMALL, 2, 32))
    for p in passes:
        units = [placement[t].unit.name for t in p.reads]
        assert len(set(units)) == len(units) == 3


def test_int8_tensors_continue_from_slice_to_slice() -> None:
    graph = Graph()
    x = graph.input("x", (600, 16))
    graph.output(graph.relu(x))
    _, placement = placed(SMALL, graph)
    slices = {addr >> 9 for _, addr in cells(SMALL, placement, x)}
    assert len(slices) == 2


def test_groups_whose_depth_is_no_power_of_two_hold_int8_tensors_in_one_slice() -> None:
    config = SMALL.replace(name="odd", data_groups=(MemoryGroup(4, 100),) * 3)
    graph = Graph()
    tensors = [graph.input(f"x{i}", (60, 16)) for i in range(3)]
    graph.output(graph.add(graph.add(tensors[0], tensors[1]), tensors[2]))
    _, placement = placed(config, graph)
    for tensor in tensors:
        addresses = [addr for _, addr in cells(config, placement, tensor)]
        assert len({addr >> 7 for addr in addresses}) == 1
        assert max(addr & 127 for addr in addresses) < 100


def test_data_that_does_not_fit_is_listed_with_its_bytes() -> None:
    graph = Graph()
    x = graph.input("x", (3000, 16))
    graph.output(graph.relu(x, name="y"))
    with pytest.raises(CompileError) as error:
        placed(SMALL, graph)
    text = str(error.value)
    assert "out of memory: 'x' int8 [3000, 16] does not fit the data groups of config 'small', 98304 bytes:" in text
    assert any(line.split() == ["y", "output", "(3000,", "16)", "48000"] for line in text.splitlines())


def test_weights_that_do_not_fit_are_listed_with_their_bytes() -> None:
    graph = Graph()
    x = graph.input("x", (1, 16))
    rows = sum(group.slices * group.depth_rows for group in SMALL.weight_groups)
    graph.output(graph.matmul(x, graph.constant("w", np.zeros((rows + 16, 16), dtype=np.int64))))
    text = rf"'w' int8 .* does not fit the weight groups of config 'small', {rows * 16} bytes:"
    with pytest.raises(CompileError, match=text):
        placed(SMALL, graph)


def test_a_constant_cannot_be_weights_and_data() -> None:
    graph = Graph()
    w = graph.constant("w", np.ones((4, 4), dtype=np.int64))
    x = graph.input("x", (4, 4))
    graph.output(graph.matmul(graph.add(x, w), w))
    with pytest.raises(CompileError, match=r"matmul0: 'w' int8 \[4, 4\]: is both weights and data"):
        placed(SMALL, graph)


# ------------------------------------------------------------------------- states


def cache_graph(positions: int, channels: int) -> tuple[Graph, Tensor]:
    """A cache in a weight group: one row is replaced, then all of it multiplied."""
    graph = Graph()
    cache = graph.state("cache", np.zeros((positions, channels), dtype=np.int64))
    index = graph.kv_index(graph.input("p", (1, 1), "int32"), cache)
    graph.kv_scatter(cache, index, graph.input("row", (1, channels)))
    graph.output(graph.matmul(graph.input("q", (1, channels)), cache))
    return graph, cache


@pytest.mark.parametrize(("name", "spare"), [("small", 3), ("duo", 4), ("medium", 4)])
def test_a_cache_has_spare_rows_that_nothing_else_uses(name: str, spare: int) -> None:
    """Each slice writes as many rows as a cache row takes in it; the slices without the position write behind it."""
    config = preset(name)
    graph, cache = cache_graph(20, 48)
    graph.output(graph.matmul(graph.input("x", (1, 5)), graph.constant("w", np.ones((9, 5), dtype=np.int64))))
    _, placement = placed(config, graph)
    at = placement[cache]
    assert (at.unit.name, at.spare, placement.kinds[cache]) == ("w0", spare, "const")
    others = [placement[t] for t in placement.kinds if t is not cache and placement[t].unit is at.unit]
    assert others and all(o.addr >= at.addr + at.rows + spare or o.addr + o.rows <= at.addr for o in others)


def test_spare_rows_overlap_with_what_is_placed_in_them() -> None:
    graph, cache = cache_graph(20, 48)
    _, placement = placed(SMALL, graph)
    at = placement[cache]
    assert overlap(SMALL, at, replace(at, addr=at.addr + at.rows, rows=1, spare=0))
    assert not overlap(SMALL, at, replace(at, addr=at.addr + at.rows + at.spare, rows=1, spare=0))


def test_a_state_is_never_written_over_by_temporaries() -> None:
    """Even where its last use is early: it must have its value in the next run."""
    config = SMALL.replace(name="rows", data_groups=(MemoryGroup(4, 16),) * 3)
    graph = Graph()
    state, index = graph.state("s", np.zeros((8, 16), dtype=np.int64), "int32"), graph.input("i", (1, 1), "int32")
    x = graph.scatter(state, index, graph.input("x", (1, 16), "int32"))
    x = graph.gather(x, index)
    for _ in range(30):
        x = graph.add(x, graph.gather(state, index))
    graph.output(x)
    _, placement = placed(config, graph)
    rows = cells(config, placement, state)
    for tensor in placement.kinds:
        assert tensor is state or not cells(config, placement, tensor) & rows


@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_states_stay_where_they_are_when_other_tensors_grow(dtype: str) -> None:
    found = set()
    for rows in (3, 40, 200):
        graph = Graph()
        state = graph.state("s", np.zeros((8, 16), dtype=np.int64), dtype)
        index = graph.input("i", (1, 1), "int32")
        graph.scatter(state, index, graph.input("x", (1, 16), dtype))
        graph.output(graph.relu(graph.input("other", (rows, 16))))
        _, placement = placed(SMALL, graph)
        found.add((placement[state].unit.name, placement[state].addr))
    assert len(found) == 1


def test_what_takes_an_index_is_where_there_are_indices() -> None:
    config = SMALL.replace(plain_groups=("d0", "d2"))
    graph = Graph()
    index = graph.input("index", (1, 1), "int32")
    tables = [graph.constant(f"table{i}", np.ones((4, 16), dtype=np.float32), "fp32") for i in range(3)]
    for table in tables:
        graph.output(graph.gather(table, index))
    _, placement = placed(config, graph)
    assert {placement[table].unit.name for table in tables} == {"d1"}


def test_a_cache_cannot_be_gathered_from() -> None:
    graph, cache = cache_graph(20, 48)
    graph.output(graph.gather(cache, graph.input("i", (1, 1), "int32")))
    with pytest.raises(CompileError, match=r"^gather0: 'cache' int8 \[20, 48\]: is both weights and data; make two"):
        placed(SMALL, graph)
