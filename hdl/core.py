"""The LPU core: controller, superlanes, matrix planes, cross-superlane switch and host port, wired together."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import LpuConfig, Unit
from hdl.control.controller import Controller
from hdl.emit import shared
from hdl.isa import Queue, QueueKind, memory_ports, queues, stream
from hdl.layouts import lane_bits, matrix_units, port_name
from hdl.link.host import HOST_SIGNATURE, HostPort
from hdl.link.hostmap import NO_QUEUE, ErrorFlag, memory_groups
from hdl.matrix.control import ActivationControl, WeightControl
from hdl.matrix.plane import MatrixPlane
from hdl.memory.access import AccessHead
from hdl.superlane import Superlane, switch_units, traced_queues
from hdl.switch.rotor import Rotor


class Core(wiring.Component):
    """A complete core behind its host port; with ``config.trace`` also the retire bundle of docs/architecture.md."""

    def __init__(self, config: LpuConfig) -> None:
        self._config = config
        ports: dict[str, wiring.Member] = {"host": In(HOST_SIGNATURE), "running": Out(1), "done": Out(1)}
        if config.trace:
            ports["cycle"] = Out(32)
            for queue in queues(config):
                ports[f"trace__{port_name(queue)}__issue"] = Out(1)
                ports[f"trace__{port_name(queue)}__pc"] = Out((config.program_rows - 1).bit_length())
            for queue in traced_queues(config):
                ports[f"trace__{port_name(queue)}__valid"] = Out(config.superlanes)
                ports[f"trace__{port_name(queue)}__digest"] = Out(32 * config.superlanes)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.controller = self._controller = Controller(self._config)
        m.submodules.host_port = self._host = HostPort(self._config)
        self._lanes = [Superlane(self._config) for _ in range(self._config.superlanes)]
        for r, superlane in enumerate(self._lanes):
            m.submodules[f"superlane{r}"] = shared(superlane, platform)
        for before, after in zip(self._lanes, self._lanes[1:], strict=False):
            m.d.comb += Value.cast(after.command).eq(before.command_next)
        out_of_range = [self._command(m, queue, platform) for queue in queues(self._config)]
        for port in memory_ports(self._config):
            if port not in queues(self._config):
                self._memory_command(m, port, platform)
        for unit in matrix_units(self._config):
            self._matrix(m, unit, platform)
        for unit in switch_units(self._config) if self._config.switch_moves else ():
            self._rotor(m, unit, platform)
        self._host_port(m)
        self._errors(m, Cat(out_of_range))
        if self._config.trace:
            self._trace(m)
        return m

    def _command(self, m: Module, queue: Queue, platform: object) -> Value:
        """The queue's command for superlane 0; returns its row-range flag."""
        name = port_name(queue)
        issue = getattr(self._controller, name)
        command = self._lanes[0].command[name]
        if queue.kind in (QueueKind.MEM_READ, QueueKind.MEM_WRITE):
            return self._memory_command(m, queue, platform, issue)
        if queue.kind is QueueKind.MXM_WEIGHTS:
            m.submodules[f"{name}_control"] = control = WeightControl(self._config)
            m.d.comb += [control.issue.eq(issue), command.eq(control.command)]
        elif queue.kind is QueueKind.MXM_ACTIVATIONS:
            m.d.comb += command.stream.eq(issue.stream)
        else:
            m.d.comb += command.eq(self._controller.command_of(queue))
        return Signal(name=f"{name}_in_range")

    def _memory_command(self, m: Module, queue: Queue, platform: object, issue: Value | None = None) -> Value:
        """The same for a memory port; without a queue only the host accesses the memory by it."""
        name, unit = port_name(queue), queue.unit
        head = AccessHead(self._config, queue)
        m.submodules[f"{name}_head"] = shared(head, platform)
        group = memory_groups(self._config).index(unit)
        is_read = queue.kind is QueueKind.MEM_READ
        pokes = self._host.read_poke if is_read else self._host.write_poke
        inward = unit.outward.opposite
        direction = inward if is_read else unit.outward
        link = stream(direction, self._config.link_stream(direction))
        if self._config.indexes(unit):
            index = getattr(self._lanes[0], f"{unit.name}_index")
            m.d.comb += [head.index_low.eq(index[0]), head.index_high.eq(index[1])]
        if issue is not None:
            m.d.comb += head.issue.eq(issue)
        m.d.comb += [
            head.poke.eq(pokes[group]),
            head.poke_addr.eq(self._host.poke_addr),
            head.poke_stream.eq(link),
            self._lanes[0].command[name].eq(head.command),
        ]
        return head.out_of_range

    def _matrix(self, m: Module, unit: Unit, platform: object) -> None:
        m.submodules[unit.name] = plane = MatrixPlane(self._config)
        m.submodules[f"{unit.name}_control"] = control = ActivationControl(self._config)
        m.d.comb += control.issue.eq(getattr(self._controller, f"{unit.name}_a"))
        m.d.comb += plane.accumulate.eq(control.command)
        if self._config.abc_cycles > 1:
            command = self._lanes[0].command[f"{unit.name}_a"]
            m.d.comb += [command.block.eq(control.at_issue.block), command.works.eq(control.at_issue.valid)]
        for r, superlane in enumerate(self._lanes):
            m.d.comb += [
                plane.commands[r].eq(superlane.command[f"{unit.name}_w"]),
                plane.weights[r].eq(getattr(superlane, f"{unit.name}_weights")),
                plane.x[r].eq(getattr(superlane, f"{unit.name}_x")),
                getattr(superlane, f"{unit.name}_result").eq(plane.results[r]),
            ]

    def _rotor(self, m: Module, unit: Unit, platform: object) -> None:
        rotor = Rotor(self._config)
        m.submodules[f"{unit.name}_rotor"] = shared(rotor, platform)
        m.d.comb += rotor.issue.eq(getattr(self._lanes[0], f"{unit.name}_issue"))
        for r, superlane in enumerate(self._lanes):
            m.d.comb += rotor.x[r].eq(getattr(superlane, f"{unit.name}_x"))
            m.d.comb += getattr(superlane, f"{unit.name}_out").eq(rotor.out[r])

    def _host_port(self, m: Module) -> None:
        host, controller = self._host, self._controller
        wiring.connect(m, wiring.flipped(self.host), host.bus)
        m.d.comb += [
            controller.start.eq(host.start),
            controller.program_en.eq(host.program_en),
            controller.program_row.eq(host.program_row),
            controller.program_word.eq(host.program_word),
            host.running.eq(controller.running),
            host.done.eq(controller.done),
            host.cycles.eq(controller.cycles),
            self.running.eq(controller.running),
            self.done.eq(controller.done),
            self._lanes[0].command.link_drive.eq(host.drive_row),
        ]
        width = lane_bits(self._config)
        for r, superlane in enumerate(self._lanes):
            m.d.comb += superlane.link_row.eq(host.row[width * r : width * (r + 1)])
            for h in range(self._config.hemispheres):
                captured = Value.cast(host.captured[h])[width * r : width * (r + 1)]
                m.d.comb += captured.eq(superlane.link_captured[h])

    def _errors(self, m: Module, out_of_range: Value) -> None:
        """In-design checks, all at superlane 0: the others repeat it."""
        if not self._config.assertions:
            return
        illegal = self._controller.illegal
        flags = Signal(len(ErrorFlag), name="flags")
        checked = self._controller.running
        m.d.comb += [
            flags[0].eq(illegal.any()),
            flags[1].eq(self._lanes[0].conflict),
            flags[2].eq(out_of_range.any()),
        ]
        m.d.comb += self._host.new_errors.eq(Mux(checked, flags, 0))
        culprit = illegal | out_of_range
        m.d.comb += self._host.error_queue.eq(NO_QUEUE)
        for number in reversed(range(len(illegal))):
            with m.If(culprit[number]):
                m.d.comb += self._host.error_queue.eq(number)

    def _trace(self, m: Module) -> None:
        m.d.comb += self.cycle.eq(self._controller.cycles)
        for queue in queues(self._config):
            name = port_name(queue)
            m.d.comb += [
                getattr(self, f"trace__{name}__issue").eq(getattr(self._controller, name).valid),
                getattr(self, f"trace__{name}__pc").eq(getattr(self._controller, f"{name}_pc")),
            ]
        for queue in traced_queues(self._config):
            name = port_name(queue)
            for r, superlane in enumerate(self._lanes):
                valid = getattr(self, f"trace__{name}__valid")[r]
                digest = getattr(self, f"trace__{name}__digest")[32 * r : 32 * r + 32]
                m.d.comb += valid.eq(getattr(superlane, f"{name}_valid"))
                m.d.comb += digest.eq(getattr(superlane, f"{name}_digest"))
