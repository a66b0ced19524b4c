"""The core on FPGA boards: the design around it, the flow to a bitstream, reports."""


class FpgaError(ValueError):
    """A board, clock, design or tool that cannot be used; the message names it and what would do."""
