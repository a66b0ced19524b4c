"""Text from a Llama on the simulated core, each launch checked against the golden model as it comes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compiler.evaluate import bits, evaluate
from compiler.llama.program import Buckets, Launch
from compiler.llama.token_graph import OPEN
from models.llama.model import ModelError
from sim.run import Player
from sim.session import run_session

Arrays = dict[str, np.ndarray]
CHECKED = ("logits", "token", "tokens")


@dataclass(frozen=True)
class Request:
    """``prompt``: ids, the first one included. ``temperature`` 0 takes the likeliest token, whatever the ``seed``."""

    prompt: tuple[int, ...]
    tokens: int
    temperature: float = 0.0
    seed: int = 0

    @property
    def steps(self) -> int:
        """Positions to be run: the last prompt token's and those of all generated tokens but the last."""
        return len(self.prompt) + self.tokens - 1


@dataclass(frozen=True)
class Run:
    """What one launch did: ``tokens`` that follow its positions, its cycles, and the core's seconds, loading included.

    ``differs``: what is not the golden model's on every bit, None where nothing was compared.
    """

    launch: Launch
    tokens: tuple[int, ...]
    cycles: int
    predicted: int
    differs: tuple[str, ...] | None
    seconds: float

    @property
    def is_exact(self) -> bool:
        return not self.differs and self.cycles == self.predicted


def check_request(buckets: Buckets, request: Request) -> None:
    """Raise ModelError for what the model, or its programs, cannot do."""
    vocabulary = buckets.model.shape.vocabulary
    if not request.prompt:
        raise ModelError("prompt of 0 tokens: must be at least 1")
    for token in request.prompt:
        if not 0 <= token < vocabulary:
            raise ModelError(f"prompt: token {token}: must be in 0..{vocabulary - 1}, the vocabulary")
    if len(request.prompt) + request.tokens > buckets.context:
        found = f"prompt of {len(request.prompt)} tokens + {request.tokens} to generate"
        raise ModelError(f"{found}: must be at most the context, {buckets.context}")
    if request.temperature < 0 or not np.isfinite(request.temperature):
        raise ModelError(f"temperature {request.temperature}: must be 0 or more")
    if request.temperature and not buckets.sampling:
        raise ModelError(f"temperature {request.temperature}: must be 0 for programs without noise")


def generate(
    buckets: Buckets, request: Request, steps: int, check: bool = True, player: Player | None = None
) -> Iterator[Run]:
    """Launches of ``steps`` tokens each, as the core has them: the simulated one, or ``player``'s.

    Raises ModelError, CompileError before anything is simulated, SimError and HostError when the simulation fails.
    """
    check_request(buckets, request)
    launches = list(buckets.plan(request.steps, steps))
    images = [buckets.program(launch.bucket, launch.steps).image for launch in launches]
    states = first_states(buckets, request)
    golden = {name: value.copy() for name, value in states.items()} if check else None
    results = run_session(buckets.config, images, states, buckets.states(), CHECKED, player)
    for launch, image, result in zip(launches, images, results, strict=True):
        following = slice(launch.position + 1, launch.position + 1 + launch.steps)
        tokens = tuple(int(token) for token in result.outputs["tokens"].ravel()[following])
        differs = None if golden is None else _differing(result.outputs, golden_run(buckets, launch, golden))
        yield Run(launch, tokens, result.cycles, image.cycles, differs, result.seconds)


def first_states(buckets: Buckets, request: Request) -> Arrays:
    """What the host writes before the first run."""
    lanes = buckets.config.lanes
    tokens = np.full((buckets.context // lanes + 1, lanes), OPEN, np.int32)
    tokens.ravel()[: len(request.prompt)] = request.prompt
    states: Arrays = {
        "tokens": tokens,
        "token": np.array([[request.prompt[0]]], np.int32),
        "position": np.zeros((1, 1), np.int32),
    }
    if buckets.sampling:
        states["temperature"] = np.array([[request.temperature]], np.float32)
        states["counter"] = np.array([[start_counter(request.seed)]], np.uint32).view(np.int32)
    return states


def start_counter(seed: int) -> int:
    """Where the noise of a seed begins: the low 32 bits of splitmix64 (Steele, Lea and Flood, 2014)."""
    mask = (1 << 64) - 1
    z = (seed + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return (z ^ z >> 31) & 0xFFFFFFFF


def golden_run(buckets: Buckets, launch: Launch, states: Arrays) -> Arrays:
    """Outputs of the golden model after the steps of a launch; ``states`` move on."""
    outputs: Arrays = {}
    for _ in range(launch.steps):
        outputs = evaluate(buckets.graph(launch.bucket), {}, states)
    return outputs


def _differing(found: Mapping[str, np.ndarray], golden: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    names: Sequence[str] = CHECKED
    return tuple(name for name in names if not np.array_equal(bits(found[name]), bits(golden[name])))
