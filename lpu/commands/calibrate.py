"""`lpu calibrate`: the largest magnitudes that a Llama reaches on a text, in a file to ship with it."""

from __future__ import annotations

from pathlib import Path

import click

from models.llama.load import load_model
from models.llama.prepare import calibration_path, measured, read_text, save_ranges, sequences, story_text


@click.command()
@click.argument("path", metavar="MODEL", type=click.Path(exists=True, path_type=Path))
@click.option("--text", type=click.Path(path_type=Path), help="Default: stories from the grammar of models/stories.")
@click.option("--tokenizer", type=click.Path(path_type=Path), help="Default: beside MODEL.")
def calibrate(path: Path, text: Path | None, tokenizer: Path | None) -> None:
    """Measure MODEL on a text; `lpu run` and `lpu eval` take their scales from the file, found beside MODEL."""
    model, words = load_model(path, tokenizer)
    content = story_text() if text is None else read_text(text)
    texts = sequences(words, content, model.shape.context)
    target = calibration_path(path)
    save_ranges(target, model, measured(model, texts))
    click.echo(f"{target}: {len(model.layers)} layers over {sum(map(len, texts)):,} tokens")
