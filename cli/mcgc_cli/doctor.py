"""`mcgc doctor`: what is installed, whether what computes is right here, and what memory a run takes."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import click

from mcgc.errors import DeviceError
from mcgc_cli.options import json_option, settings_of
from mcgc_cli.sentences import FAILURE, Stopped
from mcgc_cli.summary import as_json
from mcgc_cli.values import DEVICE, FILE, PROBLEM

EXAMPLES = {"mnist": (60_000, 1), "lotka-volterra": (30, 50), "lorenz": (30, 20)}  # of the paper, and their times


@click.command()
@click.option("--gpu", is_flag=True, help="Check a GPU: its kernels, and whole computations against the CPU.")
@click.option("--problem", type=PROBLEM, help="Tell the memory that a run on this problem takes, and nothing else.")
@click.option("--dataset", metavar="FILE", type=FILE, help="HDF5 file of its data.  [default: those of the paper]")
@click.option("--members", type=int, help="Models of the run.  [default: the recipe's]")
@click.option("--batch-size", type=int, help="Examples a step of the run.  [default: the recipe's]")
@click.option("--device", type=DEVICE, help="Device of the run: auto, cpu, cuda, or cuda:N, which need not be there.")
@json_option
def doctor(gpu: bool, json: bool, problem: str | None, **run: Any) -> None:
    """Describe the installation, and compare every compiled kernel with its meaning.

    With --problem, tell the memory of a run instead. The exit status is 1 if a kernel does not compile or does not
    agree, or if a GPU is to be checked and none can be used. The last
    line says what came of it.
    """
    if problem is not None and not gpu:
        result: dict[str, Any] = _memory(problem, **run)
        click.echo(as_json(result) if json else _memory_text(result))
        return
    if problem is not None or any(value is not None for value in run.values()):
        raise click.UsageError("--dataset, --members, --batch-size and --device go with --problem, which goes alone")
    # imported here, since help should not wait for it
    from mcgc.checks.device import acceptance
    from mcgc.checks.kernels import agreements
    from mcgc.devices import select_device
    from mcgc.train.run_file import versions

    try:
        devices = {name: select_device(name) for name in ("cpu", "cuda" if gpu else "auto")}
    except DeviceError as error:
        raise Stopped(f"there is no GPU to check: {error}", FAILURE) from None
    places = list({place.name: place for place, _ in devices.values()}.values())
    found = [a for place in places for a in agreements(place)]
    found += acceptance(devices["cuda"][0]) if gpu else []
    result = {
        "versions": versions(),
        "processor": _processor(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "blas": _blas(),
        "devices": {name: sentence for name, (_, sentence) in devices.items()},
        "datasets": _datasets(),
        "numba_cache": _numba_cache(),
        "kernels": [a._asdict() | {"agrees": a.agrees} for a in found],
        "verdict": "",
    }
    wrong = [f"{a.kernel} in {a.dtype} on {a.device}" for a in found if not a.agrees]
    if wrong:
        result["verdict"] = f"not to be trusted on this machine: {', '.join(wrong)}; please report it"
    else:
        right = f"ready: all that was compared is right on {' and '.join(place.name for place in places)}"
        result["verdict"] = f"{right}; begin with: mcgc fit --problem lorenz"
    click.echo(as_json(result) if json else _text(result))
    if wrong:
        raise Stopped(result["verdict"], FAILURE)


def _memory(
    name: str, dataset: str | None, members: int | None, batch_size: int | None, device: str | None
) -> dict[str, Any]:
    """Return the memory of a run, in bytes."""
    from mcgc_datasets import load

    from mcgc.arrays import Device
    from mcgc.devices import select_device
    from mcgc.train import problems
    from mcgc.train._memory import predict

    problem = problems.get(name)
    settings = settings_of(problem, {"members": members, "batch_size": batch_size})
    count, times = EXAMPLES[name]
    if dataset is not None:
        data: Any = load(name, dataset)
        count, times = data.num_examples, len(data.times) if "solver" in problem.options else 1
    named = re.fullmatch(r"cuda(:\d+)?", device or "auto")
    place = Device(named[0], None, None) if named else select_device(device or "auto", problem, settings.members)[0]  # type: ignore[arg-type]
    found = predict(problem, settings, count, times, place)
    return {
        "problem": name,
        "device": place.name,
        "members": settings.members,
        "batch_size": settings.batch_size,
        "examples": count,
        **found._asdict(),
        "total": found.total,
    }


def _memory_text(result: dict[str, Any]) -> str:
    from mcgc.train._memory import PARTS, amount

    members, turns = result["members"], "one after the other" if result["at_once"] == 1 else "all at once"
    of = "1 member" if members == 1 else f"{members} members {turns}"
    return "\n".join(
        [
            f"{result['problem']} on {result['device']}, {result['examples']} examples in batches of "
            f"{result['batch_size']}, {of}",
            *(f"{part:<11} {amount(result[part]):>10}" for part in (*PARTS, "total")),
        ]
    )


def _processor() -> str:
    """Return the model of the processor, or at least its architecture."""
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
    """Return the directory of the cached datasets, and the size in bytes of each, or None."""
    from mcgc_datasets.registry import cached

    from mcgc.train import problems

    paths = {name: cached(name) for name in problems.names()}
    sizes = {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}
    return {"directory": str(next(iter(paths.values())).parent), "bytes": sizes}


def _numba_cache() -> str:
    """Return the directory where Numba keeps the compiled kernels."""
    from mcgc.kernels import cache_directory

    return str(cache_directory())


def _text(result: dict[str, Any]) -> str:
    datasets = result["datasets"]
    sizes = [f"{name} {'not there' if size is None else f'{size} bytes'}" for name, size in datasets["bytes"].items()]
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
            f"verdict      {result['verdict']}",
        ]
    )


def _row(kernel: dict[str, Any]) -> str:
    verdict = "ok" if kernel["agrees"] else "WRONG"
    numbers = f"{kernel['difference']:8.3g} {kernel['allowed']:8.4g} {kernel['seconds']:8.3f}"
    return (
        f"{kernel['kernel']:<26} {kernel['device']:<7} {kernel['dtype']:<8} {verdict:<6} {numbers}"
        + f"  {kernel['error'] or ''}".rstrip()
    )
