"""What a user waits for: help, import, and the first training step, with and without a kernel cache."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from bench.comparison import Plan, Row
from bench.timing import environment, spread

STEP = """
from mcgc_datasets import load
from mcgc.train import problems
from mcgc import train
from mcgc.arrays import HOST
settings = problems.get("lorenz").recipe._replace(epochs=1, batch_size=30)
next(train.fit(settings, load("lorenz"), HOST))
"""
IMPORT = ("-c", "import mcgc")
HELP = ("-m", "mcgc_cli", "--help")


def taken_by(arguments: Sequence[str], variables: Mapping[str, str]) -> float:
    """Return the seconds that a new interpreter takes: the processor's, of all its threads, held to one core."""
    process = subprocess.Popen(
        [sys.executable, *arguments], env=os.environ | environment(1) | variables, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} failed")
    return usage.ru_utime + usage.ru_stime


def rows(plan: Plan) -> list[Row]:
    """Time each in processes of its own, in processor time: that of an idle machine. Quickly, no compilation."""
    table = []
    with tempfile.TemporaryDirectory() as kept:
        for side, arguments, target in (("mcgc --help", HELP, None), ("import mcgc", IMPORT, 0.3)):
            taken = [taken_by(arguments, {}) for _ in range(plan.rounds)]
            table.append(Row("cold", 1, side, spread(taken), None, target))
        if plan.quick:
            return table
        empty = [taken_by(("-c", STEP), {"NUMBA_CACHE_DIR": kept})]
        warm = [taken_by(("-c", STEP), {"NUMBA_CACHE_DIR": kept}) for _ in range(plan.rounds)]
        table.append(Row("cold", 1, "first step, warm cache", spread(warm), None, 2.0))
        table.append(Row("cold", 1, "first step, empty cache", spread(empty), None, 30.0, "one compilation"))
    return table
