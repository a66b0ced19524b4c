"""Bounds of queues: one machine against all orders there are, heads raised where everything has to pass."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from compiler.bound import Job, Use, backwards, one_machine, raised, uses_backwards


def least_of_all_orders(jobs: list[Job]) -> int:
    """Every order of all cycles of all jobs, each cycle as early as its job and the order allow."""
    pieces = [number for number, job in enumerate(jobs) for _ in range(job.busy)]
    ends = []
    for order in set(permutations(pieces)):
        now, end = 0, 0
        for number in order:
            now = max(now, jobs[number].head) + 1
            end = max(end, now + jobs[number].tail)
        ends.append(end)
    return min(ends)


@pytest.mark.parametrize("seed", range(40))
def test_one_machine_is_the_best_of_all_orders(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jobs, left = [], 6
    while left:
        busy = int(rng.integers(1, min(left, 3) + 1))
        jobs.append(Job(int(rng.integers(0, 8)), busy, int(rng.integers(0, 10))))
        left -= busy
    assert one_machine(jobs) == least_of_all_orders(jobs)


def test_a_tail_may_be_negative() -> None:
    """What follows may start before the job ends."""
    assert one_machine([Job(5, 4, -2), Job(0, 1, 0)]) == 7
    assert one_machine([]) == 0


def test_heads_are_raised_where_all_have_to_pass() -> None:
    """Three bundles of 4 cycles each on one queue, a fourth 10 cycles after the start of each, two more after that."""
    needs = [{}, {}, {}, {0: 10, 1: 10, 2: 10}, {3: 1}, {3: 1}]
    uses = {"q": [Use(number, 0, 4, 4) for number in (0, 1, 2, 4, 5)], "other": [Use(3, 0, 1, 1)]}
    by_data = [0, 0, 0, 10, 11, 11]
    assert raised(needs, uses) == [0, 0, 0, 18, 19, 19]
    assert raised(needs, {"other": uses["other"]}) == by_data


def test_tails_are_raised_like_heads() -> None:
    """The same from its end: the last two bundles cannot both be on the queue in the 4 cycles after the fourth begins.

    It ends 5 cycles before the end of all then, as 9 is the least from its start to that.
    """
    needs = backwards([{}, {}, {}, {0: 10, 1: 10, 2: 10}, {3: 1}, {3: 1}], [4] * 6)
    assert needs == [{}, {}, {0: 1, 1: 1}, {2: 10}, {2: 10}, {2: 10}]
    uses = {"q": [Use(number, 0, 4, 4) for number in (0, 1, 3, 4, 5)]}
    assert raised(needs, uses) == [0, 0, 5, 15, 15, 15]
    assert backwards([{}, {0: 3}], [5, 1]) == [{}, {0: -1}]
    uses = {"q": [Use(0, 1, 3, 2), Use(1, 0, 1, 1)]}
    assert uses_backwards(uses, [5, 1]) == {"q": [Use(1, 2, 4, 2), Use(0, 0, 1, 1)]}
