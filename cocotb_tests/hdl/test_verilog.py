"""The generated Verilog: standalone, free of lint errors, every module once."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hdl.config import preset
from sim.build import core_verilog, verilator_bin

REPEATED = (
    *("lpu_superlane", "lpu_lane", "lpu_pipe_int_float_1", "lpu_pipe_mul", "lpu_pipe_add", "lpu_pipe_sfu"),
    *("lpu_supercell_16x16", "lpu_matrix_row_4"),
    *("lpu_accumulator_16x16", "lpu_memory_d_west_4096", "lpu_queue_mem_r", "lpu_access_read_4x4096", "lpu_rotor_64"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "small"])
def test_verilator_lints_it_without_errors(name: str, tmp_path: Path) -> None:
    """Alone, nothing else on the command line; width warnings are Amaranth's style."""
    source = tmp_path / "core.v"
    source.write_text(core_verilog(preset(name).replace(trace=True)))
    command = [str(verilator_bin()[0] / "verilator"), "--lint-only", "-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC"]
    done = subprocess.run([*command, "--top-module", "lpu_core", str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "%Error" not in done.stderr


@pytest.mark.slow
def test_repeated_tiles_of_medium_are_emitted_once() -> None:
    text = core_verilog(preset("medium"))
    defined = Counter(re.findall(r"^module (\\?\S+?)[ (]", text, re.MULTILINE))
    assert [name for name, count in defined.items() if count > 1] == []
    for name in REPEATED:
        assert defined[name] == 1
    assert len(re.findall(r"^  lpu_lane ", text, re.MULTILINE)) == 16  # one superlane's worth, instantiated in it
    assert len(re.findall(r"^  lpu_superlane ", text, re.MULTILINE)) == 4
