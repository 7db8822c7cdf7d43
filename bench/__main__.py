"""Measure mcgc against its peers: `python -m bench`."""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bench import report
from bench.comparison import OURS, Plan, Row
from bench.timing import cores
from mcgc.devices import select_device
from mcgc.errors import DeviceError

CASES = (
    "mnist-step",
    "lorenz-step",
    "windows",
    "tabular",
    "generic-step",
    "generic-rows",
    "repressilator",
    "least-squares",
    "noise",
    "adam",
    "ensemble",
    "limit",
    "kernels",
    "layouts",
    "jit",
    "scaling",
    "cold",
)
ON_DEVICES = ("mnist-step", "noise", "adam")  # the cases whose side of mcgc may compute on another device


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cases that the command line names, print their table, and write it if asked. Exit with 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--case", choices=CASES, action="append", help="run this case; may be repeated [all]")
    parser.add_argument("--quick", action="store_true", help="a smoke run: few short turns, small cases, no targets")
    parser.add_argument("--threads", type=int, action="append", help="threads a side; may be repeated [1, all cores]")
    parser.add_argument("--rounds", type=int, help="turns of each side [9, quick 2]")
    parser.add_argument("--device", default="cpu", help="that of mcgc's side in mnist-step, noise and adam [cpu]")
    parser.add_argument("--plots", type=Path, default=Path("bench", "plots"), help="folder of the plots [bench/plots]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    given = parser.parse_args(arguments)
    if given.device != "cpu" and not set(given.case or CASES) <= set(ON_DEVICES):
        parser.error(f"--device goes with --case of {', '.join(ON_DEVICES)}")
    try:
        select_device(given.device)
    except DeviceError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as scratch:
        plan = Plan(
            given.quick,
            given.threads or ([1] if given.quick else sorted({1, cores()})),
            given.rounds or (2 if given.quick else 9),
            0.02 if given.quick else 0.3,
            Path(scratch) if given.quick else given.plots,
            given.device,
        )
        rows: list[Row] = []
        failed: list[str] = []
        for case in given.case or CASES:
            began = time.perf_counter()
            try:
                found = import_module(f"bench.cases.{case.replace('-', '_')}").rows(plan)
            except Exception as error:  # the other cases are still worth their time
                traceback.print_exc()
                failed.append(case)
                found = [Row(case, plan.threads[0], OURS, note=f"failed: {error!r}".splitlines()[0])]
            rows += [row._replace(target=None) for row in found] if plan.quick else found
            print(f"{case}: {time.perf_counter() - began:.0f} s", flush=True)
    report.show(rows)
    if given.json:
        report.write(given.json, plan, rows)
    if failed:
        sys.exit(f"these cases failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
