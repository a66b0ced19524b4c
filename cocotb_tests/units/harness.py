"""One RTL component under Verilator: inputs per cycle in, outputs per cycle out.

The component is emitted as in the core (:class:`hdl.emit.VerilogWriter`) and stands where the core would stand, as
module ``lpu_core``. Simulators are cached in ``build/units`` by content.
"""

from __future__ import annotations

import pickle
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape, ValueCastable
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from cocotb_tests.units import player
from fpga.netlist import netlist
from hdl.emit import TOP, Technology, VerilogWriter
from sim import SimError
from sim.build import CACHE, compiled
from sim.run import kept_log, run_testbench

UNITS = CACHE / "units"
Cycle = dict[str, Any]
"""Outputs of one cycle by port: an int, or a ``data.Const`` for a port with a layout."""


class Stimulus:
    """Inputs by cycle and port; what is not set is 0."""

    def __init__(self) -> None:
        self.values: defaultdict[int, dict[str, Any]] = defaultdict(dict)

    def at(self, cycle: int, **inputs: Any) -> None:
        """Set ports in ``cycle``: an int, or fields by name or elements by index for a port with a layout."""
        self.values[cycle].update(inputs)

    @property
    def cycles(self) -> int:
        return 1 + max(self.values)


class Bench:
    """A simulator of ``component``, ready to play stimuli; builds it when the cache does not have it.

    For a ``technology`` whose cells yosys knows it is the synthesised component, cell by cell.
    """

    def __init__(self, component: wiring.Component, technology: Technology = Technology.GENERIC) -> None:
        self._inputs: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        for path, member, _ in component.signature.flatten(component):
            side = self._inputs if member.flow is In else self._outputs
            side["__".join(map(str, path))] = member.shape
        text = VerilogWriter(technology).write(component)
        text = netlist(text, type(component).__name__) if technology is Technology.ICE40 else text
        self._directory = compiled(UNITS, type(component).__name__, {"unit.v": text}, TOP)

    def run(self, stimulus: Stimulus, extra: int = 0) -> list[Cycle]:
        """Outputs from reset on, for the cycles of the stimulus and ``extra`` more without inputs."""
        cycles = [self._inputs_of(stimulus.values.get(cycle, {})) for cycle in range(stimulus.cycles + extra)]
        response = _play(self._directory, (cycles, tuple(self._outputs)))
        return [{name: _decode(self._outputs[name], raw) for name, raw in cycle.items()} for cycle in response]

    def width(self, port: str) -> int:
        """Bits of an output port."""
        return _width(self._outputs[port])

    def _inputs_of(self, values: Mapping[str, Any]) -> dict[str, int]:
        unknown = values.keys() - self._inputs.keys()
        assert not unknown, f"no input ports {unknown}"
        return {name: _encode(shape, values.get(name, 0)) for name, shape in self._inputs.items()}


def _encode(shape: Any, value: Any) -> int:
    if isinstance(value, int):
        return value & ((1 << _width(shape)) - 1)
    if isinstance(value, ValueCastable):
        return int(value.as_value().value)
    return int(shape.const(value).as_value().value)


def _decode(shape: Any, raw: int) -> Any:
    if isinstance(shape, data.Layout):
        return shape.from_bits(raw)
    signed = Shape.cast(shape).signed and raw >> (_width(shape) - 1)
    return raw - (1 << _width(shape)) if signed else raw


def _width(shape: Any) -> int:
    return int(Shape.cast(shape).width)


def _play(directory: Path, stimulus: object) -> list[dict[str, int]]:
    files = {str(player.STIMULUS): pickle.dumps(stimulus)}
    response: list[dict[str, int]] = pickle.loads(launch(directory, TOP, player.__name__, files, str(player.RESPONSE)))
    return response


def launch(directory: Path, top: str, module: str, files: Mapping[str, bytes], response: str) -> bytes:
    """The file ``response`` after one launch of cocotb's ``module`` on ``top``, beside ``files``.

    Raises SimError with the path of the log.
    """
    (UNITS / "jobs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNITS / "jobs") as folder:
        job = Path(folder)
        for name, content in files.items():
            (job / name).write_bytes(content)
        launch_in(job, directory, top, module)
        return (job / response).read_bytes()


def launch_in(job: Path, directory: Path, top: str, module: str) -> None:
    """One launch of cocotb's ``module`` on ``top`` in the folder ``job``. Raises SimError with the path of the log."""
    if not run_testbench(job, directory, top, module, {}):
        raise SimError(f"simulation of {directory.name} failed; see {kept_log(job, UNITS)}")
