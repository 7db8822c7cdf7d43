"""What was measured, on the terminal and as JSON."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.comparison import Plan, Row
from bench.timing import Spread, cores

PACKAGES = [
    "mcgc",
    "numpy",
    "scipy",
    "numba",
    "autograd",
    "jax",
    "diffrax",
    "optax",
    "torch",
    "torchdiffeq",
    "scikit-learn",
    "joblib",
]
COLUMNS = ("case", "threads", "side", "time", "ratio", "by wall", "target", "met", "note")


def machine() -> dict[str, Any]:
    """Return the processor, the number of cores, the load, and the versions of Python and of all libraries."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table in Markdown: medians, with quartiles in brackets."""
    shown = Table(*COLUMNS, box=box.MARKDOWN)
    for row in rows:
        wall = f"{row.wall.median:.3g}" if row.wall else ""
        figures = _seconds(row.seconds), _ratio(row.ratio), wall
        shown.add_row(row.case, str(row.threads), row.side, *figures, *_judged(row), row.note)
    return shown


def show(rows: Sequence[Row]) -> None:
    """Print the table, as wide as it is unless this is a terminal."""
    console = Console(width=None if sys.stdout.isatty() else 250)
    console.print(table(rows))


def _seconds(taken: Spread | None) -> str:
    if taken is None:
        return ""
    unit, scale = next((u, s) for u, s in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)) if taken.median >= s or u == "µs")
    return "{:.3g} [{:.3g}, {:.3g}] {}".format(*(x / scale for x in taken), unit)


def _ratio(quotient: Spread | None) -> str:
    return "{:.3g} [{:.3g}, {:.3g}]".format(*quotient) if quotient else ""


def _judged(row: Row) -> tuple[str, str]:
    target = (
        "" if row.target is None else f"≥ {row.target:g}" if row.seconds is None or row.ratio else f"≤ {row.target:g} s"
    )
    return target, {True: "yes", False: "no", None: ""}[row.met]


def write(path: Path, plan: Plan, rows: Sequence[Row]) -> None:
    """Write the machine, the plan and all rows to `path`, as JSON; times are in seconds."""
    spreads = ("seconds", "ratio", "wall")
    listed = [
        {key: x._asdict() if key in spreads and x else x for key, x in row._asdict().items()} | {"met": row.met}
        for row in rows
    ]
    content = {"machine": machine(), "plan": plan._replace(plots=str(plan.plots))._asdict(), "rows": listed}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
