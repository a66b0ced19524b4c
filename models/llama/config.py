"""config.json of a Hugging Face Llama: dimensions, and refusals of every variant that the arithmetic does not have."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models.llama.checks import LIMITS, check_shape, one_line, read_file
from models.llama.model import LlamaShape, ModelError

CONFIG: Final = "config.json"
CONFIG_BYTES: Final = 1 << 20
BEGIN: Final = 1
END: Final = 2
"""Token ids, where config.json names none; the same in every tokenizer.bin."""

FIXED: Final[dict[str, tuple[Any, Any]]] = {
    "model_type": (None, "llama"),
    "hidden_act": ("silu", "silu"),
    "attention_bias": (False, False),
    "mlp_bias": (False, False),
    "rope_scaling": (None, None),
    "quantization_config": (None, None),
}
"""Key: (value where it is absent, the one value that is accepted)."""
FIXED_ROPE: Final[dict[str, tuple[Any, Any]]] = {"rope_type": ("default", "default"), "partial_rotary_factor": (1, 1)}


@dataclass(frozen=True)
class Config:
    """``begin`` is the token a text begins with, if any; ``ends`` are the tokens that end one."""

    shape: LlamaShape
    is_tied: bool
    begin: int | None
    ends: frozenset[int]


def read_config(folder: Path) -> Config:
    """ModelError: no config.json in ``folder``, not JSON, a value of the wrong type or range, an unknown variant."""
    fields = Fields(str(folder / CONFIG), read_object(folder / CONFIG, CONFIG_BYTES))
    fields.fixed(FIXED)
    rope = Fields(f"{fields.where}: rope_parameters", fields.get("rope_parameters", {}))
    rope.fixed(FIXED_ROPE)
    heads = fields.integer("num_attention_heads", "heads")
    shape = LlamaShape(
        dim=fields.integer("hidden_size", "dim"),
        hidden=fields.integer("intermediate_size", "hidden"),
        layers=fields.integer("num_hidden_layers", "layers"),
        heads=heads,
        kv_heads=fields.integer("num_key_value_heads", "kv_heads", heads),
        vocabulary=fields.integer("vocab_size", "vocabulary"),
        context=fields.integer("max_position_embeddings", "context"),
        rope_theta=rope.number("rope_theta", fields.number("rope_theta", 10000.0, 1, 1e9), 1, 1e9),
        epsilon=fields.number("rms_norm_eps", 1e-6, 1e-12, 1),
    )
    check_shape(fields.where, shape)
    if fields.get("head_dim", shape.head_dim) != shape.head_dim:
        raise fields.refusal("head_dim", f"must be hidden_size / num_attention_heads = {shape.head_dim}")
    begin, ends = fields.tokens("bos_token_id", BEGIN, shape), fields.tokens("eos_token_id", END, shape)
    if begin[1:]:
        raise fields.refusal("bos_token_id", "must be one token id or null")
    return Config(shape, fields.flag("tie_word_embeddings"), begin[0] if begin else None, frozenset(begin + ends))


def read_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """The JSON object in a file. ModelError: no file, too long, not JSON, not an object."""
    try:
        content = json.loads(read_file(path, most_bytes))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: not JSON: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: must hold a JSON object")
    return content


class Fields:
    """Checked access to the values of a JSON object; null counts as absent. Every method raises ModelError."""

    def __init__(self, where: str, values: Any) -> None:
        self.where = where
        if not isinstance(values, dict):
            raise ModelError(f"{where}: must be an object")
        self._values = values

    def get(self, key: str, default: Any) -> Any:
        value = self._values.get(key)
        return default if value is None else value

    def refusal(self, key: str, rule: str) -> ModelError:
        value = one_line(repr(self._values.get(key)))
        return ModelError(f"{self.where}: {key} = {value}: {rule}")

    def fixed(self, accepted: dict[str, tuple[Any, Any]]) -> None:
        """Each key has the only value that is accepted, or is absent where that is the default."""
        for key, (default, only) in accepted.items():
            if self.get(key, default) != only:
                raise self.refusal(key, "must be absent" if only is None else f"must be {json.dumps(only)}")

    def integer(self, key: str, dimension: str, default: int | None = None) -> int:
        """Within the limits of ``dimension``."""
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= LIMITS[dimension]:
            raise self.refusal(key, f"must be an integer in 1..{LIMITS[dimension]}")
        return value

    def number(self, key: str, default: float, least: float, most: float) -> float:
        value = self.get(key, default)
        if type(value) not in (int, float) or not least <= value <= most or math.isnan(value):
            raise self.refusal(key, f"must be a number in {least:g}..{most:g}")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.get(key, False)
        if type(value) is not bool:
            raise self.refusal(key, "must be true or false")
        return value

    def tokens(self, key: str, default: int, shape: LlamaShape) -> list[int]:
        """One token id or a list of them; none where the key says null."""
        value = self._values.get(key, default)
        found = [] if value is None else value if isinstance(value, list) else [value]
        if not all(type(token) is int and 0 <= token < shape.vocabulary for token in found):
            raise self.refusal(key, f"must be token ids in 0..{shape.vocabulary - 1}")
        return found
