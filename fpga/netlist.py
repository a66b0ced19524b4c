"""The core as yosys makes it of an iCE40's cells, as Verilog that simulates like the core's own.

Every cell is replaced by what yosys says that it does (``ice40/cells_sim.v``; a single-port RAM by ``_SPRAM``), so the
text needs nothing else; the ports are those of ``lpu_core``. Texts are kept in ``build/netlist`` by a hash of what goes
into them.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from fpga.tools import tool
from hdl.config import LpuConfig
from sim import SimError
from sim.build import CACHE, core_verilog
from sim.files import locked, write_atomically

SYNTHESIS = "read_verilog -sv core.v; synth_ice40 -top lpu_core"
"""Without -dsp: yosys 0.70 makes wrong SB_MAC16 of sums of products (hdl/matrix/pair.py), so they are instantiated."""
_SIMULATION = (
    "write_verilog -noattr gates.v; design -reset; read_verilog gates.v; "
    "read_verilog -icells -defer -D ICE40_U -D EQUIV +/ice40/cells_sim.v; read_verilog -overwrite spram.v; "
    "hierarchy -top lpu_core; proc; flatten; "
    "delete t:$scopeinfo; opt -purge -fast; opt_mem; memory_share; opt_clean -purge; write_verilog -noattr netlist.v"
)


_SPRAM = """\
module SB_SPRAM256KA (
  input [13:0] ADDRESS, input [15:0] DATAIN, input [3:0] MASKWREN,
  input WREN, CHIPSELECT, CLOCK, STANDBY, SLEEP, POWEROFF, output reg [15:0] DATAOUT
);
  reg [15:0] mem [0:16383];
  wire [15:0] mask = {{4{MASKWREN[3]}}, {4{MASKWREN[2]}}, {4{MASKWREN[1]}}, {4{MASKWREN[0]}}};
  wire on = CHIPSELECT && !STANDBY && !SLEEP && POWEROFF;
  always @(posedge CLOCK) begin
    if (on && WREN) mem[ADDRESS] <= DATAIN & mask | mem[ADDRESS] & ~mask;
    DATAOUT <= on && !WREN ? mem[ADDRESS] : ~DATAIN;
  end
endmodule
"""
"""That of cells_sim.v forgets its 16,384 words one by one when the power goes: minutes of yosys. This one keeps
them; where DATAOUT is x or held there, it shows what nobody expects.
"""


def ice40_netlist(config: LpuConfig, change: str = "") -> str:
    """Verilog of the synthesised core. ``change``: yosys commands between synthesis and simulation, to break it.

    Raises SimError with yosys' last line when it fails.
    """
    return netlist(core_verilog(config, "ice40"), config.name, change)


def netlist(text: str, name: str, change: str = "") -> str:
    """The same of any text whose top is a module ``lpu_core``; ``name`` is that of the file."""
    script = "; ".join(filter(None, (SYNTHESIS, change, _SIMULATION)))
    key = hashlib.sha256(f"{text}\0{script}\0{_SPRAM}".encode()).hexdigest()[:16]
    path = CACHE / "netlist" / f"{name}-{key}.v"
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            write_atomically(path, _synthesised(text, name, script))
    return path.read_text()


def _synthesised(core: str, name: str, script: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "core.v").write_text(core)
        (work / "spram.v").write_text(_SPRAM)
        done = subprocess.run(
            [tool("yosys").path, "-q", "-l", "yosys.log", "-p", script], cwd=work, capture_output=True, text=True
        )
        if done.returncode != 0:
            log = work / "yosys.log"
            last = (log.read_text().strip() if log.exists() else done.stderr.strip() or "no message").splitlines()[-1]
            raise SimError(f"yosys on the Verilog of '{name}' failed: {last}")
        return (work / "netlist.v").read_text()
