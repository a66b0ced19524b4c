"""One lane of the vector unit: its pipes and what each takes from the streams and from the result registers."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import STREAMS_PER_GROUP, LpuConfig, PipeKind
from hdl.emit import Shared, shared
from hdl.layouts import vector_lead
from hdl.streams import Reach, any_of, view_ports
from hdl.vector.add_pipe import AddPipe
from hdl.vector.command import PIPE_COMMAND
from hdl.vector.int_pipe import IntPipe
from hdl.vector.mul_pipe import MulPipe
from hdl.vector.operand import Operand, gated
from hdl.vector.requant_pipe import RequantPipe
from hdl.vector.sfu_pipe import SfuPipe


def pipe_component(config: LpuConfig, pipe: PipeKind) -> Shared:
    match pipe:
        case PipeKind.INT:
            return IntPipe(config.has_floats, config.bitwise, registered=pipe in config.operand_registers)
        case PipeKind.REQUANT:
            return RequantPipe(config.mult_bits)
        case PipeKind.MUL:
            return MulPipe()
        case PipeKind.ADD:
            return AddPipe()
        case PipeKind.SFU:
            return SfuPipe()


def shares_sfu(config: LpuConfig) -> bool:
    """Whether lanes take turns in an SFU pipe, which stands outside them."""
    return PipeKind.SFU in config.pipes and config.sfu_cycles > 1


class Lane(Shared):
    """The pipes of one lane; ``<pipe>_result`` shows the result registers.

    An element that issues in T gives its picks (``<pipe>_x``, ``<pipe>_y``) ``vector_lead`` cycles before T, or in T if
    masked bit by bit, its takes and its command in T, the immediate of the command in T + 1; the operand register, or a
    result register as it stands, or another lane's (``<pipe>_swapped``) enters the pipe in T + 1.

    ``out[g]`` is the result of the pipe for which ``drive[g]`` had its bit on a cycle before, in the order of
    ``config.pipes``; the bit above them stands for INT's result saturated to int8, in all bytes where it may be driven.
    An SFU pipe that lanes share (:class:`SfuTurns`) takes ``sfu_entering``, and gives ``sfu_result``.

    What is the same in all lanes is registered in each: a mask then has a lane's sinks only, where wires are long.
    """

    def __init__(self, config: LpuConfig, reads: Reach, drives: Reach) -> None:
        self._config = config
        groups = sum(len(streams) for streams in drives.streams.values()) // STREAMS_PER_GROUP
        ports = view_ports(reads, 8)
        for pipe in config.pipes:
            if pipe is PipeKind.SFU and shares_sfu(config):
                ports |= {"sfu_result": In(32), "sfu_entering": Out(32)}
            else:
                ports |= {f"{pipe.value}_result": Out(32), f"{pipe.value}_command": In(PIPE_COMMAND)}
            for operand in Operand.all_of(config, pipe):
                ports |= operand.ports
                if operand.swaps:
                    ports[f"{pipe.value}_swapped"] = In(data.ArrayLayout(32, operand.swaps))
        drive = data.ArrayLayout(len(config.pipes) + 1, groups)
        ports |= {"drive": In(drive), "out": Out(data.ArrayLayout(32, groups))}
        super().__init__(ports)

    @property
    def module_name(self) -> str:
        return "lpu_lane"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for pipe in self._config.pipes:
            if pipe is PipeKind.SFU and shares_sfu(self._config):
                (x,) = Operand.all_of(self._config, pipe)
                m.d.comb += self.sfu_entering.eq(self._operand(m, x))
                continue
            component = pipe_component(self._config, pipe)
            m.submodules[pipe.value] = shared(component, platform)
            self._connect(m, pipe, component)
        singles = Cat(Const(self._config.single(j), 1).replicate(8) for j in range(STREAMS_PER_GROUP))
        narrow = saturated(self._result(PipeKind.INT)) & singles
        values = [*(self._result(pipe) for pipe in self._config.pipes), narrow]
        for g, (out, drive) in enumerate(zip(self.out, self.drive, strict=True)):
            gates = self._registered(m, drive, f"drive{g}_now")
            m.d.comb += out.eq(any_of(gated(values, gates)))
        return m

    def _registered(self, m: Module, value: Value, name: str) -> Value:
        register = Signal(len(value), name=name)
        m.d.sync += register.eq(value)
        return register

    def _result(self, pipe: PipeKind) -> Value:
        value: Value = getattr(self, f"{pipe.value}_result")
        return value

    def _connect(self, m: Module, pipe: PipeKind, component: wiring.Component) -> None:
        m.d.comb += self._result(pipe).eq(component.result)
        registered = pipe in self._config.operand_registers and pipe is not PipeKind.INT
        domain = m.d.sync if registered else m.d.comb
        command = getattr(self, f"{pipe.value}_command")
        domain += [
            component.command.valid.eq(self._registered(m, command.valid, f"{pipe.value}_valid")),
            component.command.op.eq(self._registered(m, command.op, f"{pipe.value}_op")),
            component.command.imm.eq(command.imm),
        ]
        for operand in Operand.all_of(self._config, pipe):
            domain += getattr(component, operand.name[-1]).eq(self._operand(m, operand))

    def _operand(self, m: Module, operand: Operand) -> Value:
        """The operand as it enters the pipe."""
        values = [self._result(pipe) for pipe in operand.registers]
        if operand.swaps:
            values += list(getattr(self, f"{operand.pipe.value}_swapped"))
        terms = []
        if operand.takes:
            take = Value.cast(getattr(self, f"{operand.name}_take"))
            terms = gated(values, self._registered(m, take, f"{operand.name}_take_now"))
        for k, word in enumerate(operand.words(self._pick(m, operand), self) if operand.picks else ()):
            register = Signal(32, name=f"{operand.name}_register{k}", reset_less=True)
            m.d.sync += register.eq(word)
            terms.append(register)
        return any_of(terms)

    def _pick(self, m: Module, operand: Operand) -> data.View:
        """The pick of the element that issues now."""
        pick: data.View = getattr(self, operand.name)
        if operand.is_masked_bit_by_bit or not vector_lead(self._config):
            return pick
        parts = [self._registered(m, Value.cast(pick[part]), f"{operand.name}_{part}") for part, _ in pick.shape()]
        return data.View(pick.shape(), Cat(parts))


def saturated(word: Value) -> Value:
    """A word as int8, in all four bytes."""
    sign, fits = word[31], (word[7:31] ^ word[31].replicate(24)) == 0
    return Mux(fits, word[:8], Cat((~sign).replicate(7), sign)).replicate(4)
