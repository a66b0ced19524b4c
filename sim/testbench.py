"""The cocotb test module of every simulation: play scripts 0 .. SCRIPTS-1 of the working directory, up to a failure."""

from __future__ import annotations

import os
from typing import Any

import cocotb

from sim.host import HostPlayer

SCRIPTS = "METRONOME_SCRIPTS"
"""Environment variable: how many scripts there are."""


@cocotb.test()
async def play_scripts(dut: Any) -> None:
    player = HostPlayer(dut)
    await player.start_clock()
    for index in range(int(os.environ[SCRIPTS])):
        if not await player.play(index):
            break
