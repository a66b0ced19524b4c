"""`lpu demo`: a story by the shipped Llama, token by token on the RTL, checked against the golden model."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from rich.console import Console

from compiler.llama.program import Buckets
from hdl.config import LpuConfig
from hdl.isa import QueueKind, queues
from lpu.commands.eval import figures_of as perplexity_figures
from lpu.llama import (
    LAUNCH_TOKENS,
    BucketFigures,
    bucket_figures,
    clock_option,
    compile_and_build,
    load,
    report,
    simulated_speed,
    tell,
)
from lpu.options import json_option, preset_option
from lpu.progress import progress_bar
from models.llama.generate import Request
from models.llama.perplexity import Comparison, compare
from models.llama.prepare import Prepared, digest, read_text, sequences
from models.stories.corpus import HELD_OUT_PATH
from sim.build import CACHE, ROOT
from sim.files import write_atomically

MODEL = HELD_OUT_PATH.with_name("stories260k.bin")
PROMPT = "Once upon a time"
TOKENS = 80
HELD_OUT_TOKENS = 400
PICTURE = Path("build/story.png")
SOURCES = ("compiler/llama", "compiler/evaluate.py", "golden", "models/llama")
"""What a perplexity depends on, beside the model and the text."""


def perplexity(console: Console, prepared: Prepared, buckets: Buckets) -> Comparison:
    """Perplexities of some held-out text; kept in ``build/`` for as long as nothing changes that they depend on."""
    parts = sequences(prepared.tokenizer, read_text(HELD_OUT_PATH), buckets.context, HELD_OUT_TOKENS)
    kept = CACHE / "perplexity" / f"{_key(prepared, buckets, parts)}.json"
    if kept.exists():
        return Comparison(**json.loads(kept.read_text()))
    with progress_bar(console, "predicting held-out text", sum(map(len, parts)) - len(parts)) as progress:
        found = compare(prepared.model, buckets, parts, progress)
    write_atomically(kept, json.dumps(found.__dict__))
    return found


def _key(prepared: Prepared, buckets: Buckets, parts: list[list[int]]) -> str:
    found = hashlib.sha256(digest(prepared.model).encode())
    for layer in prepared.ranges:
        for array in vars(layer).values():
            found.update(array.tobytes())
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")) or [ROOT / source]:
            found.update(path.read_bytes())
    found.update(repr((buckets.config, buckets.context, parts)).encode())
    return found.hexdigest()[:16]


def matrix_cycles(buckets: Buckets, bucket: int) -> Counter[str]:
    """Cycles of one token in which the matrix unit multiplies, by operator, those of all layers together."""
    owners = buckets.program(bucket, LAUNCH_TOKENS).owners
    units = [q.name for q in queues(buckets.config) if q.kind is QueueKind.MXM_ACTIVATIONS]
    return Counter(re.sub(r"^l\d+\.", "", owner) for name in units for owner in owners.get(name, ()))


def save_picture(path: Path, buckets: Buckets, rows: Sequence[BucketFigures]) -> None:
    """One bar a bucket: the cycles of a token, those of the matrix unit by operator; a line at the lower bound."""
    shares = [matrix_cycles(buckets, row.bucket) for row in rows]
    names = list(dict.fromkeys(name for share in shares for name in share))
    figure, axis = plt.subplots(figsize=(9, 1.6 + 0.7 * len(rows)))
    labels = [f"positions < {row.bucket}" for row in rows]
    left = [0] * len(rows)
    for name, colour in zip(names, plt.get_cmap("tab20").colors, strict=False):  # type: ignore[attr-defined]
        width = [share[name] for share in shares]
        axis.barh(labels, width, left=left, color=colour, label=name)
        left = [a + b for a, b in zip(left, width, strict=True)]
    rest = [row.cycles_per_token - used for row, used in zip(rows, left, strict=True)]
    axis.barh(labels, rest, left=left, color="#e8e8e8", label="no product issued")
    for y, row in enumerate(rows):
        axis.vlines(row.bound_cycles, y - 0.4, y + 0.4, color="black", label="" if y else "lower bound")
    axis.invert_yaxis()
    axis.set_xlabel(f"cycles of a token on {buckets.config.name}: what the matrix unit multiplies")
    axis.legend(fontsize=7, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


@click.command()
@preset_option
@click.option("--prompt", default=PROMPT, show_default=True, help="What the story begins with.")
@click.option("--tokens", type=click.IntRange(1), default=TOKENS, show_default=True, help="How many to generate.")
@clock_option
@json_option
def demo(config: LpuConfig, prompt: str, tokens: int, clock: float, json_file: Path | None) -> None:
    """Tell a story on the core. Exit code 1 where RTL and golden model, or cycles and prediction, differ."""
    console = Console()
    prepared, buckets = load(config, MODEL)
    request = Request(tuple(prepared.tokenizer.encode(prompt)), tokens)
    compile_and_build(console, buckets, request)
    text, runs = tell(console, prepared, buckets, request, check=True)
    more: dict[str, int | float | str] = {"simulated_cycles_per_second": simulated_speed(runs)}
    more |= perplexity_figures(perplexity(console, prepared, buckets))
    figures = report(console, prepared, buckets, request, text, runs, clock, **more)
    save_picture(PICTURE, buckets, bucket_figures(buckets, runs))
    console.print(f"picture: {PICTURE}")
    if json_file is not None:
        write_atomically(json_file, json.dumps(figures, indent=2) + "\n")
    if not all(run.is_exact for run in runs):
        raise SystemExit(1)
