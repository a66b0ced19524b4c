"""`python -m lpu`, for use without an installed command."""

from lpu.main import main

main(prog_name="lpu")
