"""The simulated core: Verilator build, host-port driver, and whole runs from ordinary Python."""


class SimError(ValueError):
    """The simulator could not be built or a run did not finish; the message says which and where the log is."""
