"""`mcgc doctor`: what is installed, and whether it computes the right numbers."""

import os
import platform
from pathlib import Path
from typing import Any

import click

from mcgc.errors import DeviceError
from mcgc_cli.errors import FAILURE, Stopped
from mcgc_cli.options import json_option
from mcgc_cli.summary import as_json


@click.command()
@click.option(
    "--gpu", is_flag=True, help="Check a GPU: its kernels, whole computations against the CPU, and how fast it is."
)
@json_option
def doctor(gpu: bool, json: bool) -> None:
    """Describe the installation, and compare every compiled kernel with its definition.

    A function of mcgc.jit is among the kernels. The exit status is 1 if one does not compile or gives wrong numbers. It
    is also 1 with --gpu if there is no usable GPU. The last line is the verdict. With --gpu it says how many times as
    fast as the CPU the GPU is; --json has all measurements.
    """
    # imported here, so that help is fast
    from mcgc.checks.device import compare_device
    from mcgc.checks.kernels import compare_kernels
    from mcgc.devices import select_device
    from mcgc.train.run_file import versions

    try:
        devices = {name: select_device(name) for name in ("cpu", "cuda" if gpu else "auto")}
    except DeviceError as error:
        raise Stopped(f"there is no GPU to check: {error}", FAILURE) from None
    used = list({device.name: device for device, _ in devices.values()}.values())
    found = [a for device in used for a in compare_kernels(device)]
    found += compare_device(devices["cuda"][0]) if gpu else []
    wrong = [f"{a.kernel} in {a.dtype} on {a.device}" for a in found if not a.agrees]
    result: dict[str, Any] = {
        "versions": versions(),
        "processor": _processor(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "blas": _blas(),
        "devices": {name: sentence for name, (_, sentence) in devices.items()},
        "datasets": _datasets(),
        "numba_cache": _numba_cache(),
        "kernels": [a._asdict() | {"agrees": a.agrees} for a in found],
        **(_speed(devices["cuda"][0]) if gpu and not wrong else {}),
        "verdict": "",
    }
    if wrong:
        result["verdict"] = f"do not trust on this machine: {', '.join(wrong)}; please report it"
    else:
        right = f"ready: all comparisons are right on {' and '.join(device.name for device in used)}"
        begin = f"the GPU is {_times(result['speed'])}" if gpu else "begin with: mcgc fit --problem lorenz"
        result["verdict"] = f"{right}; {begin}"
    click.echo(as_json(result) if json else _text(result))
    if wrong:
        raise Stopped(result["verdict"], FAILURE)


def _speed(device: Any) -> dict[str, Any]:
    """Return how long a launch takes, and computations there and on the host."""
    from mcgc.checks.speed import compare_speed, launch_seconds

    rows = [row._asdict() | {"times": row.times} for row in compare_speed(device)]
    return {"launch_seconds": launch_seconds(device), "speed": rows}


def _times(rows: list[dict[str, Any]]) -> str:
    """Return how many times as fast as the CPU the GPU takes the training steps."""
    steps = [row for row in rows if row["computation"].endswith("step")]
    found = (f"{row['times']:.2g} times the CPU on {_of(row)}" for row in steps)
    return ", ".join(found)


def _of(row: dict[str, Any]) -> str:
    return f"{row['computation']} ({row['members']} member{'s' if row['members'] > 1 else ''})"


def _processor() -> str:
    """Return the model of the processor, or else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _blas() -> str:
    import numpy

    blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


def _datasets() -> dict[str, Any]:
    """Return the directory of the cached datasets, and the size of each in bytes, or None if it is missing."""
    from mcgc_datasets.registry import cached

    from mcgc.train import problems

    paths = {name: cached(name) for name in problems.names()}
    sizes = {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}
    return {"directory": str(next(iter(paths.values())).parent), "bytes": sizes}


def _numba_cache() -> str:
    """Return the directory in which Numba stores the compiled kernels."""
    from mcgc.kernels import cache_directory

    return str(cache_directory())


def _text(result: dict[str, Any]) -> str:
    datasets = result["datasets"]
    sizes = [f"{name} {'missing' if size is None else f'{size} bytes'}" for name, size in datasets["bytes"].items()]
    return "\n".join(
        [
            f"versions     {', '.join(f'{name} {version}' for name, version in result['versions'].items())}",
            f"processor    {result['processor']}, {result['threads']} threads",
            f"BLAS         {result['blas']}",
            *(f"device {name:<5} {sentence}" for name, sentence in result["devices"].items()),
            f"datasets     {datasets['directory']}: {', '.join(sizes)}",
            f"Numba cache  {result['numba_cache']}",
            "",
            f"{'kernel':<26} {'device':<7} {'dtype':<8} {'':<6} {'ulps':>8} {'allowed':>8} {'seconds':>8}",
            *map(_row, result["kernels"]),
            "",
            *_speed_lines(result),
            f"verdict      {result['verdict']}",
        ]
    )


def _speed_lines(result: dict[str, Any]) -> list[str]:
    if "speed" not in result:
        return []
    head = f"{'computation':<34} {'CPU ms':>9} {'GPU ms':>9} {'times':>7}"
    ms = lambda seconds: f"{1e3 * seconds:9.3f}"
    rows = [
        f"{_of(row):<34} {ms(row['host_seconds'])} {ms(row['device_seconds'])} {row['times']:7.2g}"
        for row in result["speed"]
    ]
    return [head, *rows, f"a launch takes the host {1e6 * result['launch_seconds']:.1f} microseconds", ""]


def _row(kernel: dict[str, Any]) -> str:
    verdict = "ok" if kernel["agrees"] else "WRONG"
    numbers = f"{kernel['difference']:8.3g} {kernel['allowed']:8.4g} {kernel['seconds']:8.3f}"
    return (
        f"{kernel['kernel']:<26} {kernel['device']:<7} {kernel['dtype']:<8} {verdict:<6} {numbers}"
        + f"  {kernel['error'] or ''}".rstrip()
    )
