"""The simulation top ``lpu_sim``: the core, a host-port player for scripts, and the commit-trace logger.

Ports: ``clk``, ``rst``; ``play`` runs script number ``index`` and ``finished`` answers (four-phase handshake), with
``broken`` when the script stopped at a request that failed.
Files, in the working directory: requests ``script.<index>`` (see ``sim/script.py``), answers ``answer.<index>``
(one hexadecimal word a line; ``error <n>`` or ``timeout <n>`` ends a script that failed at its n-th request),
traces ``trace.<n>`` in the format of ``golden/trace.py``.
"""

from __future__ import annotations

from hdl.config import LpuConfig
from hdl.isa import Queue, QueueKind, queues
from sim.script import Op

TOP = "lpu_sim"
START_CYCLES = 4
"""WAIT looks at `done` this many cycles after the start was written, when the flag of the last run is down."""
REQUEST_CYCLES = 4096
"""A request that is not answered for this long ends the script as `timeout`."""

_PLAYER = """\
// Plays host scripts on lpu_core's host port, and logs its commit trace.
module {top} (
    input logic clk, input logic rst,
    input logic play, input logic [31:0] index, output logic finished, output logic broken
);
    logic host__valid, host__write, host__ready, host__error, done, running, script_reset;
    logic [31:0] host__addr, host__w_data, host__r_data;
    logic [7:0] op;
    logic [71:0] request;
    logic [31:0] count, waited;
    logic playing, failed, timeout, complete;
    integer requests, answers, trace_file;

    assign host__valid = playing && (op == {WRITE} || op == {READ});
    assign host__write = op == {WRITE};
    assign script_reset = playing && op == {RESET};
    assign failed = host__valid && host__ready && host__error;
    assign timeout = playing && !complete && waited >= (op == {WAIT} ? host__w_data : {request_cycles});
    always_comb case (op)
        {WRITE}, {READ}: complete = host__ready;
        {WAIT}: complete = waited >= {start_cycles} && done && !running;
        default: complete = 1;
    endcase

    always_ff @(posedge clk) begin
        if (rst || !play) begin
            playing <= 0;
            finished <= 0;
            broken <= 0;
        end else if (!playing && !finished) begin
            requests = $fopen($sformatf("script.%0d", index), "rb");
            answers = $fopen($sformatf("answer.%0d", index), "w");
            playing <= 1;
            op <= {NEXT};
            count <= 0;
        end else if (playing && (failed || timeout)) begin
            $fwrite(answers, "%s %0d\\n", failed ? "error" : "timeout", count - 1);
            broken <= 1;
            stop();
        end else if (playing && complete) begin
            if (op == {READ}) $fwrite(answers, "%08x\\n", host__r_data);
            if (op == {TRACE}) trace_file = $fopen($sformatf("trace.%0d", host__w_data), "w");
            if (op == {WAIT}) close_trace();
            if ($fread(request, requests) == 9) begin
                {{op, host__addr, host__w_data}} <= request;
                count <= count + 1;
                waited <= 0;
            end else stop();
        end else waited <= waited + 1;
    end

    task stop();
        $fclose(requests);
        $fclose(answers);
        close_trace();
        playing <= 0;
        finished <= 1;
    endtask

    task close_trace();
        if (trace_file != 0) $fclose(trace_file);
        trace_file = 0;
    endtask
"""

_NEXT = 255
"""Operation that completes at once: what the player holds before it has read its first request."""


def _player() -> str:
    ops = {op.name: f"8'd{op.value}" for op in Op}
    limits = {"start_cycles": START_CYCLES, "request_cycles": REQUEST_CYCLES}
    return _PLAYER.format(top=TOP, NEXT=f"8'd{_NEXT}", **limits, **ops)


def _port(queue: Queue) -> str:
    return f"trace__{queue.name.replace('.', '_')}"


def has_results(queue: Queue) -> bool:
    """Whether the queue's unit reports results; loading weights shows only in later products."""
    return queue.kind is not QueueKind.MXM_WEIGHTS


def trace_signals(config: LpuConfig) -> dict[str, int]:
    """Names and widths of the core's trace ports."""
    pc_bits = (config.program_rows - 1).bit_length()
    signals = {"cycle": 32}
    for queue in queues(config):
        signals |= {f"{_port(queue)}__issue": 1, f"{_port(queue)}__pc": pc_bits}
        if has_results(queue):
            signals |= {f"{_port(queue)}__valid": config.superlanes, f"{_port(queue)}__digest": 32 * config.superlanes}
    return signals


def _logger(config: LpuConfig) -> list[str]:
    """Statements that write the events of one cycle: `I cycle queue pc`, `R cycle queue superlane digest`."""
    lines = []
    for queue in queues(config):
        port = _port(queue)
        lines.append(f'if ({port}__issue) $fwrite(trace_file, "I %0d {queue.name} %0d\\n", cycle, {port}__pc);')
        for superlane in range(config.superlanes if has_results(queue) else 0):
            digest = f"{port}__digest[{32 * superlane} +: 32]"
            line = f'$fwrite(trace_file, "R %0d {queue.name} {superlane} %08x\\n", cycle, {digest});'
            lines.append(f"if ({port}__valid[{superlane}]) {line}")
    return lines


def wrapper_verilog(config: LpuConfig) -> str:
    """SystemVerilog of ``lpu_sim`` around the ``lpu_core`` of this config."""
    signals = trace_signals(config) if config.trace else {}
    text = _player()
    text += "".join(f"    logic [{width - 1}:0] {name};\n" for name, width in signals.items())
    if signals:
        body = "".join(f"        {line}\n" for line in _logger(config))
        text += f"    always_ff @(posedge clk) if (trace_file != 0 && running) begin\n{body}    end\n"
    ports = ["clk", "rst", "host__valid", "host__write", "host__addr", "host__w_data"]
    ports += ["host__ready", "host__r_data", "host__error", "done", "running", *signals]
    wiring = ", ".join(".rst(rst || script_reset)" if name == "rst" else f".{name}({name})" for name in ports)
    return text + f"    lpu_core core ({wiring});\nendmodule\n"
