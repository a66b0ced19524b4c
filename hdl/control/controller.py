"""The static-issue controller: all queues, the start of a run, its cycle count and its end."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig
from hdl.control.queue import IssueQueue
from hdl.control.straight import StraightQueue
from hdl.emit import shared
from hdl.isa import PIPES, Queue, queues, word_bits
from hdl.layouts import issue_layout, port_name, vector_lead


def start_to_issue(config: LpuConfig) -> int:
    """Cycles from ``start`` to T = 0."""
    return 3 if config.loop_levels else 1


class Controller(wiring.Component):
    """Runs all queues from T = 0 in lockstep; a run takes max(T of END) + R cycles, whatever the data.

    ``cycle`` is T of the elements that issue now; during and after a run ``cycles`` counts it. ``<queue>_coming``, of
    the vector unit where it is told a cycle before: what ``<queue>`` will be in the next cycle.
    """

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        pc_bits = (config.program_rows - 1).bit_length()
        self._queues = queues(config)
        ports: dict[str, wiring.Member] = {
            "start": In(1),
            "running": Out(1),
            "done": Out(1),
            "cycles": Out(32),
            "program_en": In(len(self._queues)),
            "program_row": In(pc_bits),
            "program_word": In(max(word_bits(config, q.kind) for q in self._queues)),
            "illegal": Out(len(self._queues)),
        }
        for queue in self._queues:
            ports[port_name(queue)] = Out(issue_layout(config, queue.kind))
            ports[f"{port_name(queue)}_pc"] = Out(pc_bits)
            if self._is_told_before(queue):
                ports[f"{port_name(queue)}_coming"] = Out(issue_layout(config, queue.kind))
        super().__init__(ports)

    def _is_told_before(self, queue: Queue) -> bool:
        return queue.kind in PIPES and vector_lead(self._config) > 0

    def command_of(self, queue: Queue) -> data.View:
        """What the queue tells its unit now: the element that issues, or where it is told before the next one."""
        name = port_name(queue)
        command: data.View = getattr(self, f"{name}_coming" if self._is_told_before(queue) else name)
        return command

    def elaborate(self, platform: object) -> Module:
        m = Module()
        notify = Signal(name="notify")
        kind = IssueQueue if self._config.loop_levels else StraightQueue
        parts = [kind(self._config, queue) for queue in self._queues]
        for number, (queue, part) in enumerate(zip(self._queues, parts, strict=True)):
            name = port_name(queue)
            m.submodules[name] = shared(part, platform)
            m.d.comb += [
                part.start.eq(self.start),
                part.notify_in.eq(notify),
                part.write_en.eq(self.program_en[number]),
                part.write_row.eq(self.program_row),
                part.write_word.eq(self.program_word),
                getattr(self, name).eq(part.issue),
                getattr(self, f"{name}_pc").eq(part.pc),
                self.illegal[number].eq(part.illegal),
            ]
            if self._is_told_before(queue):
                m.d.comb += getattr(self, f"{name}_coming").eq(part.coming)
        m.d.sync += notify.eq(Cat(part.notify_out for part in parts).any())
        self._count(m, Cat(part.ended for part in parts).all())
        return m

    def _count(self, m: Module, all_ended: object) -> None:
        """Cycles from T = 0 to the last END, then R more for the last superlane's last write."""
        wait = start_to_issue(self._config) - 1
        lead = Signal(range(wait + 1), name="lead")
        drain = Signal(range(self._config.superlanes + 1), name="drain")
        with m.If(self.start):
            m.d.sync += [self.running.eq(1), self.done.eq(0), self.cycles.eq(0)]
            m.d.sync += [lead.eq(wait), drain.eq(self._config.superlanes)]
        with m.Elif(self.running):
            with m.If(lead != 0):
                m.d.sync += lead.eq(lead - 1)
            with m.Elif(all_ended & (drain == 0)):
                m.d.sync += [self.running.eq(0), self.done.eq(1)]
            with m.Else():
                m.d.sync += self.cycles.eq(self.cycles + 1)
                with m.If(all_ended):
                    m.d.sync += drain.eq(drain - 1)
