"""A model and its tokenizer from a path: a file is a llama2.c checkpoint, a folder is a Hugging Face Llama."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.llama.checks import is_folder
from models.llama.config import read_config
from models.llama.huggingface import read_huggingface, read_outline
from models.llama.llama2c import read_header, read_llama2c
from models.llama.model import Llama, LlamaShape, ModelError
from models.llama.tokenizer import BinTokenizer, JsonTokenizer, Tokenizer

BIN: Final = "tokenizer.bin"
JSON: Final = "tokenizer.json"


def load_model(path: Path, tokenizer: Path | None = None) -> tuple[Llama, Tokenizer]:
    """The model at ``path`` and its tokenizer: a file named ``*.json``, or else a tokenizer.bin.

    Without ``tokenizer`` it is the tokenizer.bin beside a checkpoint, or the tokenizer.json of a folder.
    ModelError: whatever is wrong with either, or with the two together. Weights are read last.
    """
    shape, _ = read_shape(path)
    words = load_tokenizer(path, tokenizer)
    if words.vocabulary != shape.vocabulary:
        raise ModelError(
            f"{tokenizer or default_tokenizer(path)}: {words.vocabulary} tokens, but the vocabulary of {path} is "
            f"{shape.vocabulary}"
        )
    return (read_huggingface(path) if is_folder(path) else read_llama2c(path)), words


def read_shape(path: Path) -> tuple[LlamaShape, bool]:
    """Dimensions, and whether embedding and classifier are one matrix. ModelError: anything wrong but the weights."""
    if is_folder(path):
        config, _ = read_outline(path)
        return config.shape, config.is_tied
    header = read_header(path)
    return header.shape, header.is_tied


def load_tokenizer(path: Path, tokenizer: Path | None = None) -> Tokenizer:
    """The tokenizer of the model at ``path``; arguments as for :func:`load_model`. ModelError: damaged or missing."""
    file = tokenizer or default_tokenizer(path)
    if file.suffix != ".json":
        return BinTokenizer(file)
    if not is_folder(path):
        return JsonTokenizer(file)
    config = read_config(path)
    return JsonTokenizer(file, config.begin, config.ends)


def default_tokenizer(path: Path) -> Path:
    """Where a model's tokenizer is looked for."""
    return path / JSON if is_folder(path) else path.with_name(BIN)
