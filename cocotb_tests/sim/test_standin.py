"""The host player and its driver on a stand-in core that keeps words and counts cycles (standin_core.v)."""

from pathlib import Path

import numpy as np
import pytest

from hdl.config import preset
from hdl.link.hostmap import ErrorFlag
from sim import SimError
from sim.build import Simulator, build
from sim.run import play
from sim.script import HostError, Op, RunStatus, Script, as_rows

pytestmark = pytest.mark.rtl
CONFIG = preset("tiny").replace(trace=True)


@pytest.fixture(scope="module")
def standin() -> Simulator:
    return build(CONFIG, Path(__file__).with_name("standin_core.v").read_text())


def start_script(cycles: int, errors: int = 0) -> Script:
    """A script that tells the stand-in how long its next run takes and which flags it raises."""
    script = Script(CONFIG)
    words = np.array([cycles, errors], "<u4").view(np.uint8).reshape(2, 4)
    script.write_rows("w0", [0, 1], words)
    return script


def test_rows_come_back_as_written_in_any_order(standin: Simulator) -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 256, (500, 4), dtype=np.uint8)
    order = rng.permutation(500)
    script = Script(CONFIG)
    script.write_rows("w0", range(500), rows)
    script.write_rows("d1", [7], np.full((1, 4), 9, np.uint8))
    answer = script.read_rows("w0", order)
    words = play(standin, [script])[0]
    assert np.array_equal(as_rows(CONFIG, words[answer]), rows[order])


@pytest.mark.parametrize("cycles", [1, 2, 3, 4, 5, 1000])
def test_a_run_reports_its_cycles(standin: Simulator, cycles: int) -> None:
    script = start_script(cycles, ErrorFlag.ROW_RANGE)
    status = script.run(limit=2000)
    found = RunStatus.of(CONFIG, play(standin, [script])[0][status])
    assert (found.cycles, found.errors) == (cycles, ErrorFlag.ROW_RANGE)


def test_a_hung_program_is_reported_and_later_scripts_are_not_run(standin: Simulator) -> None:
    hung, after = start_script(0), Script(CONFIG)
    hung.run(limit=500)
    after.read_rows("w0", [0])
    with pytest.raises(SimError, match="the program did not finish within 500 cycles"):
        play(standin, [hung, after])


def test_a_refused_request_is_named(standin: Simulator) -> None:
    script = start_script(10)
    script._add(Op.READ, 0xC000_0012)
    with pytest.raises(HostError, match="core refused READ of host address 0xc0000012"):
        play(standin, [script])


def test_each_run_has_its_own_trace(standin: Simulator, tmp_path: Path) -> None:
    scripts, paths = [], [tmp_path / "first", None, tmp_path / "third"]
    for number, cycles in enumerate([5, 9, 7]):
        script = start_script(cycles)
        if paths[number] is not None:
            script.trace(number)
        script.run(limit=100)
        scripts.append(script)
    play(standin, scripts, paths)
    for path, last in [(tmp_path / "first", 3), (tmp_path / "third", 6)]:
        events = [f"I {t} vxm0.i {t}\nR {t} vxm0.i 0 {t:08x}\n" for t in range(0, last + 1, 3)]
        assert path.read_text() == "".join(events)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "first", tmp_path / "third"]


def test_progress_counts_finished_scripts(standin: Simulator) -> None:
    seen: list[int] = []
    play(standin, [start_script(1), start_script(1)], progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 2


def test_a_trace_needs_a_core_that_has_one(tmp_path: Path) -> None:
    plain = Simulator(preset("tiny"), tmp_path)
    with pytest.raises(SimError, match="config 'tiny': trace = False: must be True to log a trace"):
        play(plain, [Script(plain.config)], [tmp_path / "trace"])


@pytest.mark.parametrize("status", [0, 1])
def test_a_simulator_that_leaves_no_results_is_an_error(tmp_path: Path, status: int) -> None:
    executable = tmp_path / "lpu_sim"
    executable.write_text(f"#!/bin/sh\nexit {status}\n")
    executable.chmod(0o755)
    with pytest.raises(SimError, match=r"simulation of 'tiny' failed; see .*failed\.log"):
        play(Simulator(CONFIG, tmp_path), [Script(CONFIG)])


def test_a_second_build_comes_from_the_cache(standin: Simulator) -> None:
    before = (standin.directory / "lpu_sim").stat().st_mtime_ns
    again = build(CONFIG, Path(__file__).with_name("standin_core.v").read_text())
    assert again == standin and (again.directory / "lpu_sim").stat().st_mtime_ns == before


def test_verilog_that_does_not_compile_leaves_a_log_and_no_simulator() -> None:
    with pytest.raises(SimError, match=r"Verilator build failed; see (.*\.log)") as caught:
        build(CONFIG, "module lpu_core(; endmodule")
    log = Path(str(caught.value).rsplit(" ", 1)[-1])
    assert "syntax error" in log.read_text()
    assert not log.with_suffix("").exists()
