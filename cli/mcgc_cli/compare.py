"""`mcgc compare`: the results of runs, the intervals of their differences, and a picture."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mcgc.errors import InputError
from mcgc_cli.options import json_option
from mcgc_cli.summary import SPREAD, as_json, as_table, number, spread_rows
from mcgc_cli.values import FILE

if TYPE_CHECKING:
    from mcgc.train.run_file import RunFile


@click.command()
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, help="Picture of the runs, PNG or SVG by its name.")
@click.option(
    "--data",
    metavar="FILE",
    type=FILE,
    help="HDF5 file that a classifier was trained on. Shows the accuracy on each class.",
)
@json_option
def compare(paths: tuple[str, ...], output: str | None, data: str | None, json: bool) -> None:
    """Compare run files of one problem: the spread of each run, and its difference from the first run."""
    # imported here, so that help and mistakes of spelling are fast
    from mcgc.paper.comparison import summary
    from mcgc.train import problems, run_file
    from mcgc.train._resume import records
    from mcgc_cli import pictures
    from mcgc_cli.tables import is_own, problem_of_model

    if output is not None:
        pictures.check_format(output)
    if len(set(map(os.path.realpath, paths))) != len(paths):
        raise InputError("a run is given twice: name each run once")
    found = {path: run_file.load(path) for path in paths}
    for run in found.values():
        records(run)  # raises if they are not complete
    names = {path: run.settings.get("problem") for path, run in found.items()}
    for path, name in names.items():
        if name != names[paths[0]]:
            raise InputError(
                f"{paths[0]} is a run of {names[paths[0]]}, but {path} of {name}: compare runs of one problem"
            )
    first = found[paths[0]]
    own = is_own(first.model)
    problem = problem_of_model(first.model, first.settings) if own else problems.get(str(names[paths[0]]))
    result: dict[str, Any] = {
        "problem": problem.name,
        "runs": {path: summary(run.epochs) for path, run in found.items()},
        "differences": {path: _differences(found[paths[0]], found[path]) for path in paths[1:]},
    }
    if data is not None:
        if own:
            raise InputError("these are runs on tables: leave out --data, and see mcgc evaluate")
        if problem.confusion is None:
            raise InputError(f"{problem.name} has no classes: leave out --data")
        result["recall"] = {path: _recall(problem, run, data) for path, run in found.items()}
    if output is not None:
        result["output"] = output
        classifier = problem.accuracy is not None
        shown = [name for name in ("train_loss", "test_loss", "test_accuracy") if classifier or "loss" in name]
        loss = "cross-entropy" if classifier else "MSE"
        epochs = {path: run.epochs for path, run in found.items()}
        pictures.save(pictures.ensembles(epochs, shown, loss, log=not classifier), output)
    click.echo(as_json(result) if json else _text(result))


def _differences(first: "RunFile", other: "RunFile") -> dict[str, Any]:
    """Return the difference of each mean from that of the first run, its interval, and whether members are paired.

    Members are paired if seed, data and dtype are the same. Then member i of both runs has the same initial parameters
    and test set.
    """
    from mcgc.paper.comparison import best, final, interval

    same_data = first.dataset.get("sha256") == other.dataset.get("sha256")
    paired = same_data and all(first.settings.get(x) == other.settings.get(x) for x in ("seed", "members", "dtype"))
    found: dict[str, Any] = {"paired": paired, "same_data": same_data}
    for when, numbers in (("final", final), ("best", best)):
        ours, theirs = numbers(first.epochs), numbers(other.epochs)
        found[when] = {name: interval(ours[name], theirs[name], paired)._asdict() for name in ours if name in theirs}
    return found


def _recall(problem: Any, run: "RunFile", path: str) -> list[dict[str, Any]]:
    """Return the accuracy on each class for each member, and the classes that it never predicts."""
    from mcgc_datasets import load

    from mcgc import train
    from mcgc.arrays import HOST, to_host
    from mcgc.paper.comparison import recall
    from mcgc.train._run import dataset_of
    from mcgc_cli.options import settings_of

    data = load(problem, path)
    if dataset_of(data)["sha256"] != run.dataset.get("sha256"):
        raise InputError(f"{path} is not the dataset of the run: give the one that it was trained on with --data")
    task = train.bind(settings_of(problem, {"members": 1}, run), data, HOST, problem)
    found = []
    for theta in run.theta:
        counts = to_host(problem.confusion(theta, task.test)).tolist()
        predicted = [sum(column) for column in zip(*counts, strict=True)]
        found.append({"recall": recall(counts), "never": [k for k, times in enumerate(predicted) if not times]})
    return found


def _text(result: dict[str, Any]) -> str:
    rows = [[path, *row] for path, found in result["runs"].items() for row in spread_rows(found)]
    runs = [f"{path} has {it['members']} members and {it['epochs']} epochs" for path, it in result["runs"].items()]
    parts = [f"{result['problem']}: {', '.join(runs)}", as_table(["run", "quantity", "when", *SPREAD], rows, names=3)]
    rows = [
        [path, name.replace("_", " "), when, *(number(name, it[key]) for key in ("difference", "low", "high"))]
        for path, found in result["differences"].items()
        for when in ("final", "best")
        for name, it in found[when].items()
    ]
    if rows:
        how = {True: "in pairs", False: "not paired"}
        other = {True: "", False: ", with a test set from other data"}
        first = next(iter(result["runs"]))
        found = result["differences"].items()
        pairing = "; ".join(f"{path} {how[it['paired']]}{other[it['same_data']]}" for path, it in found)
        parts.append(f"difference of the mean from that of {first}, with its 95 % bootstrap interval ({pairing}):")
        parts.append(as_table(["run", "quantity", "when", "difference", "from", "to"], rows, names=3))
    if "recall" in result:
        parts.append("accuracy on each class of the test set, at the best epoch; a dash is a class never predicted:")
        parts.append(_recall_table(result["recall"]))
    if "output" in result:
        parts.append(f"saved to {result['output']}")
    return "\n".join(parts)


def _recall_table(found: dict[str, list[dict[str, Any]]]) -> str:
    def cells(it: dict[str, Any]) -> Sequence[str]:
        return ["-" if k in it["never"] else f"{fraction:.1%}" for k, fraction in enumerate(it["recall"])]

    classes = len(next(iter(found.values()))[0]["recall"])
    rows = [[path, str(i), *cells(it)] for path, members in found.items() for i, it in enumerate(members)]
    return as_table(["run", "member", *map(str, range(classes))], rows)
