"""Trials of orders: what they predict is what the scheduler then does, and the best of them is what it takes."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest

from cocotb_tests.models.llama_files import random_llama, small_shape
from compiler.bundle import Bundle
from compiler.fuse import fuse
from compiler.lags import lags_of
from compiler.llama.calibration import calibrate
from compiler.llama.quantised import quantise_llama
from compiler.llama.token_graph import token_graph
from compiler.lower import lower
from compiler.order import Order
from compiler.place import place
from compiler.schedule import schedule, schedules
from compiler.search import KEPT, Repeats, Trials, best_orders
from hdl.config import preset

SMALL = preset("small")
MODEL = random_llama(small_shape(dim=32, hidden=40, layers=3, heads=4, kv_heads=2, vocabulary=50, context=96), seed=3)


@pytest.fixture(scope="module")
def layers() -> list[list[Bundle]]:
    """The bundles of each layer, nothing around them."""
    quantised = quantise_llama(MODEL, calibrate(MODEL, [[1, 7, 3, 20]]))
    graph = token_graph(SMALL, quantised, 96, 96, 32)
    passes = fuse(SMALL, graph)
    inside = [p for p in passes if p.block is not None]
    bundles = lower(SMALL, inside, place(SMALL, graph, passes))
    return [list(group) for _, group in groupby(bundles, key=lambda bundle: bundle.block)]


def trials_of(layers: list[list[Bundle]]) -> Trials:
    n, lags = len(layers[0]), lags_of(SMALL, [*layers[0], *layers[1]])
    between = [{i: lag for i, lag in found.items() if i < n} for found in lags[n:]]
    return Trials(layers[0], lags[:n], [0] * n, {}, Repeats(len(layers), between))


def test_the_scheduler_does_what_a_trial_predicts(layers: list[list[Bundle]]) -> None:
    """In its own order and in another: all iterations, by reservations of every instruction."""
    trials = trials_of(layers)
    order = Order(layers[0], trials.lags)
    for effort in (-1, 0, 5):
        plan = schedule(SMALL, [bundle for layer in layers for bundle in layer], effort)
        end = max(start + bundle.length for bundle, start in plan.placed)
        assert trials.cycles(best_orders(trials, order, effort)[0]) == end
        assert len(plan.blocks) == 1 and plan.blocks[0].n == 3


def test_more_trials_are_never_worse(layers: list[list[Bundle]]) -> None:
    trials = trials_of(layers)
    order = Order(layers[0], trials.lags)
    found = [trials.cycles(best_orders(trials, order, effort)[0]) for effort in (-1, 0, 40)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]
    assert trials.cycles(best_orders(trials, order, 40)[0]) == found[-1]


def test_the_next_orders_are_others_and_about_as_fast(layers: list[list[Bundle]]) -> None:
    trials = trials_of(layers)
    orders = best_orders(trials, Order(layers[0], trials.lags), 200)
    cycles = [trials.cycles(order) for order in orders]
    assert cycles == sorted(cycles) and cycles[-1] < trials.cycles(range(len(layers[0])))
    assert len(orders) == KEPT == len({tuple(order) for order in orders})


def test_schedules_take_one_order_after_the_other(layers: list[list[Bundle]]) -> None:
    trials, bundles = trials_of(layers), [bundle for layer in layers for bundle in layer]
    orders = best_orders(trials, Order(layers[0], trials.lags), 3)
    plans = list(schedules(SMALL, bundles, 3))
    ends = [max(start + bundle.length for bundle, start in plan.placed) for plan in plans]
    assert len(orders) > 2 and ends == [trials.cycles(order) for order in orders]


def test_orders_keep_what_bundles_wait_for(layers: list[list[Bundle]]) -> None:
    lags = lags_of(SMALL, layers[0])
    order = Order(layers[0], lags).by_priority(np.random.default_rng(1).normal(size=len(layers[0])).tolist())
    place_of = {number: i for i, number in enumerate(order)}
    assert sorted(order) == list(range(len(order))) and any(lags)
    assert all(place_of[i] < place_of[number] for number, found in enumerate(lags) for i in found)
