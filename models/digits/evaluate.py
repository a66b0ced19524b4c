"""The held-out digits on the simulated core, beside the golden int8 model and float32."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.build import CompiledProgram, compile_graph
from hdl.config import LpuConfig
from models.digits import golden
from models.digits.data import Split
from models.digits.graph import digits_graph
from models.digits.model import FloatModel, Int8Model
from sim.run import Player, run_image


@dataclass(frozen=True)
class Evaluation:
    """What three models say about n images with ``labels`` [n], and what the core did.

    ``float_digits``, ``golden_digits``, ``rtl_digits`` [n]; ``golden_logits``, ``rtl_logits`` int32 [n, 10];
    ``cycles`` [n] measured by the core, ``predicted`` by the compiler; ``seconds`` of simulation, loading included.
    """

    labels: NDArray[np.int64]
    float_digits: NDArray[np.int64]
    golden_digits: NDArray[np.int64]
    golden_logits: NDArray[np.int32]
    rtl_digits: NDArray[np.int64]
    rtl_logits: NDArray[np.int32]
    cycles: NDArray[np.int64]
    predicted: int
    seconds: float

    def accuracy(self, digits: NDArray[np.int64]) -> float:
        return float((digits == self.labels).mean())

    @property
    def equal_logits(self) -> int:
        """Images whose ten RTL logits all equal the golden ones."""
        return int((self.rtl_logits == self.golden_logits).all(axis=1).sum())

    @property
    def equal_digits(self) -> int:
        """Images whose RTL digit equals the golden one."""
        return int((self.rtl_digits == self.golden_digits).sum())

    @property
    def as_predicted(self) -> int:
        """Images whose measured cycles equal the compiler's prediction."""
        return int((self.cycles == self.predicted).sum())

    @property
    def exact(self) -> bool:
        """Whether every image has equal logits, equal digit and the predicted cycles."""
        images = len(self.labels)
        return self.equal_logits == self.equal_digits == self.as_predicted == images


def compile_digits(config: LpuConfig, int8: Int8Model) -> CompiledProgram:
    """The program of one image. Raises CompileError when the core is too small."""
    return compile_graph(config, digits_graph(config, int8))


def evaluate(
    compiled: CompiledProgram,
    model: FloatModel,
    int8: Int8Model,
    split: Split,
    progress: Callable[[int], None] | None = None,
    player: Player | None = None,
) -> Evaluation:
    """Run every held-out image of ``split`` on the simulated core, or ``player``'s; ``compiled``: ``int8``'s program.

    ``progress`` is told how many images are done. Raises SimError, HostError when the core raises an error flag.
    """
    pixels = split.test_images
    start = time.perf_counter()
    image = compiled.image
    runs = run_image(image.config, image, [{"image": row[None, :]} for row in pixels], progress=progress, player=player)
    seconds = time.perf_counter() - start
    return Evaluation(
        labels=split.test_labels,
        float_digits=model.logits(pixels).argmax(axis=1),
        golden_digits=golden.digits(image.config, int8, pixels),
        golden_logits=golden.logits(image.config, int8, pixels),
        rtl_digits=np.array([run.outputs["digit"][0, 0] for run in runs], np.int64),
        rtl_logits=np.concatenate([run.outputs["logits"] for run in runs]),
        cycles=np.array([run.cycles for run in runs], np.int64),
        predicted=compiled.report.cycles,
        seconds=seconds,
    )
