"""Timelines of program images.

Boxes and flows follow from the programs, expanded by ``golden/sequencer.py``; only the names of operators come from the
compiler, so an image alone has a timeline, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from compiler.assembly import format_image
from compiler.image import ProgramImage
from compiler.owners import Owners
from compiler.report import Report
from golden.sequencer import expand
from hdl.isa import PIPE_OPS, PIPES, Element, Instruction, Queue, has_address, queues
from lpu.view.chain import longest_chain
from lpu.view.flows import Run, Streams, flows_of
from lpu.view.timeline import Box, Timeline, ViewError

MOST_BOXES = 100_000
"""A page of more is neither small nor smooth."""


def build_timeline(
    image: ProgramImage,
    title: str,
    owners: Owners | None = None,
    report: Report | None = None,
    window: range | None = None,
) -> Timeline:
    """The timeline of one run of ``image``, or of the cycles of ``window`` alone.

    ``owners``: the operator of each element, in issue order (``CompiledProgram.owners``), of a program of several equal
    steps those of one; without them a box's operator is what its instruction does. ``report``: of the run or a step.
    Raises ViewError for a window that is not in the run and for more than MOST_BOXES, SequenceError for a program that
    does not run, ValueError for owners of another program.
    """
    shown = range(image.cycles) if window is None else window
    if not 0 <= shown.start < shown.stop <= image.cycles:
        where = f"cycles {shown.start} to {shown.stop - 1}"
        raise ViewError(f"{title}: {where}: must be in this order and within the run's {image.cycles}")
    runs = list(islice(_runs(image, owners, shown), MOST_BOXES + 1))
    if len(runs) > MOST_BOXES:
        raise ViewError(f"{title}: more than {MOST_BOXES:,} boxes in {len(shown):,} cycles: choose fewer cycles")
    streams = Streams(image.config, runs)
    return Timeline(
        title=title,
        config=image.config,
        window=shown,
        run_cycles=image.cycles,
        boxes=tuple(box for box, _ in runs),
        flows=tuple(flows_of(image.config, runs, streams)),
        chain=longest_chain(image, runs, streams),
        has_operators=owners is not None,
        report=report,
    )


def _runs(image: ProgramImage, owners: Owners | None, window: range) -> Iterator[Run]:
    """Boxes and their elements, queue by queue."""
    texts = _texts(image)
    elements = expand(image.config, image.programs).elements
    for queue in queues(image.config):
        issued = elements[queue.name]
        names = [operation(queue, e.instruction) for e in issued] if owners is None else _each(owners, queue, issued)
        named = [(e, name) for e, name in zip(issued, names, strict=True) if e.cycle in window]
        for run, operator in _split(named):
            yield _box(queue, run, operator, texts[queue.name, run[0].pc], window.start), run


def _each(owners: Owners, queue: Queue, issued: Sequence[Element]) -> Sequence[str]:
    """The owners of a step, for every step."""
    names = list(owners.get(queue.name, ()))
    return names * (len(issued) // max(len(names), 1))


def _split(named: Sequence[tuple[Element, str]]) -> Iterator[tuple[list[Element], str]]:
    """Elements in runs of one operator, each run one box."""
    run: list[Element] = []
    owner = ""
    for element, name in named:
        if run and (name != owner or not _continues(run, element)):
            yield run, owner
            run = []
        owner = name
        run.append(element)
    if run:
        yield run, owner


def _continues(run: Sequence[Element], element: Element) -> bool:
    """Whether an element goes on with a pass, or repeats an instruction of one element a cycle and a step later."""
    last = run[-1]
    if element.pc != last.pc:
        return False
    if element.number == last.number + 1:
        return True
    repeats = element.instruction["count"] == 1 and element.cycle == last.cycle + 1
    return repeats and (len(run) == 1 or element.addr - last.addr == run[1].addr - run[0].addr)


def _box(queue: Queue, run: Sequence[Element], operator: str, text: str, origin: int) -> Box:
    first, second = run[0], run[min(1, len(run) - 1)]
    return Box(
        queue=queue,
        cycle=first.cycle - origin,
        count=len(run),
        period=max(second.cycle - first.cycle, 1),
        operator=operator,
        instruction=first.instruction,
        text=text,
        pc=first.pc,
        addr=first.addr if has_address(queue.kind) else None,
        step=second.addr - first.addr,
    )


def operation(queue: Queue, instruction: Instruction) -> str:
    """What an instruction does: its opcode, of a vector pipe its operation."""
    if queue.kind in PIPES:
        return PIPE_OPS[PIPES[queue.kind]](instruction["op"]).name
    return instruction.op.name


def _texts(image: ProgramImage) -> dict[tuple[str, int], str]:
    """(queue, pc) -> instruction, as `lpu disasm` prints it."""
    texts: dict[tuple[str, int], str] = {}
    name, pc = "", 0
    for line in format_image(ProgramImage(image.config, image.programs, (), (), image.cycles)).splitlines():
        if line.startswith("queue "):
            name, pc = line.removeprefix("queue ").rstrip(":"), 0
        elif line.startswith(" "):
            texts[name, pc] = line.strip()
            pc += 1
    return texts
