"""`lpu run MODEL`, `eval`, `calibrate`, `demo`: what they print and write, how they fail; the core is stood in for."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from cocotb_tests.models.llama_files import ak42_bytes, random_llama, small_shape, tokenizer_bytes, write_huggingface
from compiler.build import CompiledProgram, compile_graph
from compiler.image import ProgramImage
from compiler.ir import Graph
from compiler.llama.program import Buckets
from hdl.config import LpuConfig, preset
from lpu.commands import demo
from lpu.llama import Typewriter
from lpu.main import main
from models.llama.generate import golden_run
from models.llama.perplexity import Comparison
from models.llama.prepare import prepare
from sim.run import Player
from sim.session import SessionRun

SMALL = preset("small")
SHAPE = small_shape(dim=32, hidden=40, layers=2, heads=4, kv_heads=2, context=64)
TEXT = "abcd eee efgh ab\n\ncd gh é\nabcdefgh\n\n\n\nab ab ab\n"
Session = Callable[..., Iterator[SessionRun]]


def lpu(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with tokenizer, text and calibration."""
    path = tmp_path_factory.mktemp("llama")
    (path / "model.bin").write_bytes(ak42_bytes(random_llama(SHAPE, seed=3)))
    (path / "tokenizer.bin").write_bytes(tokenizer_bytes())
    (path / "text").write_text(TEXT)
    result = lpu("calibrate", path / "model.bin", "--text", path / "text")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(r".*model.calibration.npz: 2 layers over \d+ tokens\n", result.stdout)
    return path


@pytest.fixture(scope="module")
def buckets(folder: Path) -> Buckets:
    return Buckets(SMALL, prepare(folder / "model.bin").quantised)


PROGRAMS: dict[tuple[str, int], CompiledProgram] = {}


def compiled(config: LpuConfig, graph: Graph, steps: int, effort: int) -> CompiledProgram:
    """compile_graph, once for each graph and number of steps."""
    key = graph.name, steps
    if key not in PROGRAMS:
        PROGRAMS[key] = compile_graph(config, graph, steps, effort)
    return PROGRAMS[key]


@pytest.fixture
def core(buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A core that does what the golden model does, in the predicted cycles."""

    def session(
        config: LpuConfig,
        images: Sequence[ProgramImage],
        start: Mapping[str, np.ndarray],
        states: Sequence[str],
        outputs: Sequence[str],
        player: Player | None,
    ) -> Iterator[SessionRun]:
        assert player is None
        values = {name: value.copy() for name, value in start.items()}
        for launch, image in zip(islice(buckets.plan(buckets.context, 4), len(images)), images, strict=True):
            found = golden_run(buckets, launch, values)
            yield SessionRun({name: found[name].copy() for name in outputs}, image.cycles, 0.5)

    monkeypatch.setattr("models.llama.generate.run_session", session)
    monkeypatch.setattr("lpu.llama.build", lambda config: None)
    monkeypatch.setattr("lpu.llama.kept_program", compiled)
    return session


def run(folder: Path, *args: object) -> Result:
    return lpu("run", folder / "model.bin", *args)


def test_text_and_figures_of_a_generation(folder: Path, core: Session, tmp_path: Path) -> None:
    result = run(folder, "--prompt", "abcd ab", "--tokens", 13, "--json", tmp_path / "run.json", "--clock", 100)
    assert (result.exit_code, result.stderr) == (0, "")
    figures = json.loads((tmp_path / "run.json").read_text())
    assert figures["text"].startswith("abcd ab") and result.stdout.startswith("abcd ab")
    assert (figures["prompt_tokens"], figures["tokens"], figures["launches"]) == (4, 13, 4)
    assert figures["launches_in_predicted_cycles"] == figures["launches_equal_to_golden"] == 4
    assert figures["calibration"] == "model.calibration.npz"
    (bucket,) = figures["buckets"]
    assert (bucket["bucket"], bucket["tokens"]) == (32, 16)
    assert bucket["predicted_cycles"] == bucket["measured_cycles"] == figures["cycles"]
    assert figures["simulated_cycles_per_second"] == figures["cycles"] / 2
    assert figures["tokens_per_second_at_clock"] == pytest.approx(16 * 100e6 / figures["cycles"])
    for text in ("cycles a token", "lower bound", "matrix unit busy", "launches equal to golden", "nothing"):
        assert text in result.stdout


def test_a_prompt_of_its_own_is_not_repeated(folder: Path, core: Session) -> None:
    """The text once, then the tables: the tokens that the core hands back of the prompt are not printed again."""
    result = run(folder, "--prompt", "abcd abcd abcd abcd", "--tokens", 8)
    assert result.stdout.split("model on small")[0].count("abcd abcd abcd abcd") == 1


def test_a_hugging_face_folder_runs_as_well(folder: Path, core: Session, tmp_path: Path) -> None:
    """The same weights, calibration beside them; another tokenizer file, the same tokens."""
    write_huggingface(random_llama(SHAPE, seed=3), tmp_path / "llama")
    (tmp_path / "llama" / "calibration.npz").write_bytes((folder / "model.calibration.npz").read_bytes())
    result = lpu("run", tmp_path / "llama", "--prompt", "abcd ab", "--tokens", 5, "--json", tmp_path / "run.json")
    assert (result.exit_code, result.stderr) == (0, "")
    figures = json.loads((tmp_path / "run.json").read_text())
    assert (figures["model"], figures["calibration"], figures["prompt_tokens"]) == ("llama", "calibration.npz", 4)
    assert figures["launches_equal_to_golden"] == 2


def spoiled(run_: SessionRun) -> SessionRun:
    return replace(run_, outputs={**run_.outputs, "logits": np.nextafter(run_.outputs["logits"], np.float32(9))})


def late(run_: SessionRun) -> SessionRun:
    return replace(run_, cycles=run_.cycles + 1)


@pytest.mark.parametrize(
    ("fault", "args", "code", "differs"),
    [(spoiled, [], 1, "logits"), (spoiled, ["--no-check"], 0, "nothing"), (late, ["--no-check"], 1, "nothing")],
)
def test_one_bit_or_one_cycle_is_exit_code_1(
    folder: Path,
    core: Session,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fault: Callable[[SessionRun], SessionRun],
    args: list[str],
    code: int,
    differs: str,
) -> None:
    def session(*given: object) -> Iterator[SessionRun]:
        yield from (fault(run_) if number == 2 else run_ for number, run_ in enumerate(core(*given)))

    monkeypatch.setattr("models.llama.generate.run_session", session)
    result = run(folder, "--tokens", 16, "--json", tmp_path / "run.json", *args)
    assert result.exit_code == code
    assert json.loads((tmp_path / "run.json").read_text())["differs_from_golden"] == differs


ERRORS = {
    "--tokens 0": "Invalid value for '--tokens': 0 is not in the range x>=1.",
    "--tokens 64": "prompt of 1 tokens [+] 64 to generate: must be at most the context, 64",
    "--prompt ab --tokens 60 --context 32": "prompt of 2 tokens [+] 60 to generate: must be at most the context, 32",
    "--temperature -1": "temperature -1.0: must be 0 or more",
    "--temperature nan": "temperature nan: must be 0 or more",
    "--seed -1": "Invalid value for '--seed': -1 is not in the range x>=0.",
    "--preset giant": "unknown preset 'giant'; presets: .*",
    "--context 65": "context 65: must be at most 64, the model's",
    "--context 40": "context 40, bucket 40: must be multiples of 16 .*",
    "--tokenizer none.bin": "none.bin: no such file",
    "--calibrate none": "none: no such file",
    "--trace trace": "--trace: only for a program image",
    "--json .": "Invalid value for '--json': '.': must be a file",
}


@pytest.mark.parametrize("args", ERRORS)
def test_a_mistake_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, args: str) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(folder, *args.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(f"lpu: error: {ERRORS[args]}\n", result.stderr), result.stderr
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_fit_is_a_table_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(ak42_bytes(random_llama(small_shape(), seed=3)))
    result = run(tmp_path, "--preset", "tiny")
    assert (result.exit_code, result.stdout) == (2, "")
    *table, last = result.stderr.splitlines()
    assert re.fullmatch(r"lpu: error: does not fit: [\d,]+ bytes in the weight groups of 'tiny': .* 4,096", last)
    sizes = {line[:48].strip(): int(line.split()[-2].replace(",", "")) for line in table if line.endswith(" bytes")}
    weights = [name for name in sizes if "weights" in name or name.startswith(("embedding and", "keys"))]
    assert f"{sum(sizes[name] for name in weights):,} bytes in the weight groups" in last


def test_options_of_a_model_are_not_those_of_an_image(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"LPUIMAGE")
    result = lpu("run", tmp_path / "image", "--prompt", "x")
    assert (result.exit_code, result.stderr) == (2, "lpu: error: --prompt: only for a model\n")


def test_eval_prints_both_perplexities(folder: Path, tmp_path: Path) -> None:
    figures_file = tmp_path / "eval.json"
    result = lpu("eval", folder / "model.bin", "--text", folder / "text", "--json", figures_file)
    assert (result.exit_code, result.stderr) == (0, "")
    figures = json.loads(figures_file.read_text())
    ratio = figures["perplexity_int8"] / figures["perplexity_fp32"]
    assert figures["difference_percent"] == pytest.approx(100 * (ratio - 1)) and 0.8 < ratio < 1.2
    for text in ("perplexity fp32", "perplexity int8", "difference percent", "same likeliest token percent"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "no text"), (b" \n\n", "no text"), (b"ab\xff", "byte 2: must be UTF-8 text")]
)
def test_texts_that_are_none(folder: Path, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad").write_bytes(content)
    result = lpu("eval", folder / "model.bin", "--text", tmp_path / "bad")
    assert (result.exit_code, result.stderr) == (2, f"lpu: error: {tmp_path / 'bad'}: {message}\n")


def test_the_demo_adds_perplexity_and_a_picture(
    folder: Path, core: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "MODEL", folder / "model.bin")
    monkeypatch.setattr(demo, "PICTURE", tmp_path / "story.png")
    monkeypatch.setattr(demo, "perplexity", lambda *_: Comparison(300, 2.0, 2.01, 297))
    result = lpu("demo", "--tokens", 12, "--prompt", "", "--json", tmp_path / "demo.json")
    assert (result.exit_code, result.stderr) == (0, "")
    figures = json.loads((tmp_path / "demo.json").read_text())
    assert figures["difference_percent"] == pytest.approx(0.5)
    assert figures["same_likeliest_token_percent"] == pytest.approx(99)
    assert (tmp_path / "story.png").read_bytes().startswith(b"\x89PNG")


def test_lines_break_between_words() -> None:
    console = Console(width=12, record=True, file=io.StringIO())
    pen = Typewriter(console)
    for piece in ("one t", "wo thr", "ee four", " five\nsix", "."):
        pen.write(piece)
    pen.end()
    assert [line.strip() for line in console.export_text().splitlines()] == ["one two", "three four", "five", "six."]
