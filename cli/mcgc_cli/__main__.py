"""`python -m mcgc_cli` is the command `mcgc`."""

from mcgc_cli import main

main(prog_name="mcgc")
