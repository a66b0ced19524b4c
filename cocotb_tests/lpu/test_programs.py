"""`lpu asm`, `disasm` and `compile`, and configurations from files: what they print and write."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from compiler.image import ProgramImage
from hdl.config import ConfigError, LpuConfig, MemoryGroup, PipeKind, preset
from hdl.config_file import load_config
from lpu.main import main
from models.digits import golden
from models.digits.data import load_split
from models.digits.model import FloatModel, quantise
from sim.compare import golden_image

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "relu.lpu"
NANO, SMALL = preset("tiny"), preset("small")


def lpu(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


# -------------------------------------------------------------------- programs


def test_asm_saves_a_verified_image(tmp_path: Path) -> None:
    result = lpu("asm", EXAMPLE, "-o", tmp_path / "new" / "image")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path}/new/image: 12 instructions in 4 queues, 15 cycles predicted\n"
    image = ProgramImage.load(tmp_path / "new" / "image", SMALL)
    assert image.cycles == 15 and [info.name for info in image.tensors] == ["x", "y"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["image"]


def test_disasm_prints_what_asm_reads(tmp_path: Path) -> None:
    lpu("asm", EXAMPLE, "-o", tmp_path / "a")
    text = lpu("disasm", tmp_path / "a").stdout
    assert "queue d0.r:\n    READ count=4 gap=1 stream=E0 stride=1\n    END\n" in text
    assert "tensor y output int8 4x16 d1 addr=0 live=0..15\n" in text
    (tmp_path / "text").write_text(text)
    assert lpu("asm", tmp_path / "text", "-o", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_compile_matmul(tmp_path: Path) -> None:
    result = lpu("compile", "matmul", 2, 8, 4, "--preset", "tiny", "-o", tmp_path / "image")
    assert result.exit_code == 0
    image = ProgramImage.load(tmp_path / "image", NANO)
    assert f"{image.cycles} cycles on 'tiny'" in result.stdout and "│ mxm0.a │" in result.stdout
    assert result.stdout.endswith("input x: int8 [2, 8]\noutput y: int8 [2, 4]\n")


def test_compile_digits(tmp_path: Path) -> None:
    """The image recognises digits: its logits are those of the golden int8 model."""
    result = lpu("compile", "digits", "-o", tmp_path / "image")
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "input image: int8 [1, 64]\noutput logits: int32 [1, 10]\noutput digit: int32 [1, 1]\n"
    )
    pixels = load_split().test_images[:1]
    outputs, _ = golden_image(ProgramImage.load(tmp_path / "image", SMALL), {"image": pixels}, ["logits"])
    assert np.array_equal(outputs["logits"], golden.logits(SMALL, quantise(FloatModel.load()), pixels))


NANO_RELU = """
tensor x input  int8 4x4 d0 addr=0
tensor y output int8 4x4 d1 addr=0
queue d0.r:
    READ stride=1 count=4 stream=E0
    END
queue vxm0.i:
    NOP n=3
    ALU count=4 x=E0 op=MAX y_from=IMM imm=0 drive=1 out=W4
    END
queue d1.w:
    NOP n=6
    WRITE stride=1 count=4 stream=W4
    END
"""


@pytest.mark.rtl
def test_a_hand_written_program_runs_on_the_rtl(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(NANO_RELU)
    assert lpu("asm", tmp_path / "text", "-o", tmp_path / "image", "--preset", "tiny").exit_code == 0
    x = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    np.save(tmp_path / "x.npy", x)
    options = ["--preset", "tiny", "--input", f"x={tmp_path}/x.npy", "--output", tmp_path]
    result = lpu("run", tmp_path / "image", *options)
    assert result.exit_code == 0 and "RTL = golden" in result.stdout, result.output
    assert np.array_equal(np.load(tmp_path / "y.npy"), np.maximum(x, 0))


# -------------------------------------------------------------- configurations


def config_of(folder: Path, text: str, name: str = "mine") -> LpuConfig:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return load_config(path)


def test_a_file_changes_its_base(tmp_path: Path) -> None:
    text = 'base = "small"\nacc_rows = 8\npipes = ["int", "mul"]\ntrace = true\n'
    text += "[[data_groups]]\nslices = 4\ndepth_rows = 64\n"
    groups = (MemoryGroup(4, 64),)
    expected = SMALL.replace(
        name="mine",
        acc_rows=8,
        pipes=(PipeKind.INT, PipeKind.MUL),
        trace=True,
        data_groups=groups,
        data_groups_per_position=1,
    )
    assert config_of(tmp_path, text.replace("trace", "data_groups_per_position = 1\ntrace")) == expected
    with pytest.raises(ConfigError, match=r"mine.toml: config 'mine': data_groups_per_position = 3: must be .* 1..1"):
        config_of(tmp_path, text)


def test_a_file_without_a_base_needs_the_geometry_alone(tmp_path: Path) -> None:
    lines = ["lanes = 8", "streams_east = 8", "streams_west = 12", "weight_streams = 8", 'name = "eight"']
    groups = "".join(
        f"\n[[{g}_groups]]\nslices = {n}\ndepth_rows = {d}" for g, n, d in (("weight", 8, 99), ("data", 4, 32))
    )
    expected = LpuConfig("eight", 8, 8, 12, 8, (MemoryGroup(8, 99),), (MemoryGroup(4, 32),))
    assert config_of(tmp_path, "\n".join(lines) + groups) == expected
    for line in lines[:4]:
        with pytest.raises(ConfigError, match=f"mine.toml: {line.split()[0]}: must be given, or base = one of nano"):
            config_of(tmp_path, "\n".join(lines).replace(line, "") + groups)


def test_the_readme_example_compiles(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    config = config_of(tmp_path, text)
    assert config == SMALL.replace(
        name="mine",
        acc_rows=8,
        pipes=tuple(PipeKind),
        data_groups_per_position=2,
        data_groups=(MemoryGroup(4, 1024), MemoryGroup(4, 256)),
    )
    result = lpu("compile", "matmul", 8, 64, 32, "-o", tmp_path / "image", "--preset", tmp_path / "mine.toml")
    assert result.exit_code == 0 and "cycles on 'mine'" in result.stdout
    assert ProgramImage.load(tmp_path / "image", config).config is config
