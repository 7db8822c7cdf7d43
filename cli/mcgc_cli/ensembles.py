"""A study of two ensembles: train or resume both groups, and report their results."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from mcgc_datasets import load

from mcgc import train
from mcgc.arrays import Device
from mcgc.paper.comparison import summary
from mcgc.paper.ensembles import Ensembles
from mcgc.train import Settings, problems, run_file
from mcgc_cli import pictures
from mcgc_cli.finish import by, finish
from mcgc_cli.options import device_of, settings_of
from mcgc_cli.progress import Show, progress
from mcgc_cli.summary import SPREAD, as_table, number, spread_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def settings_of_groups(study: Ensembles, given: Mapping[str, Any]) -> dict[str, Settings]:
    """Return the settings of each group, changed by the given options. Raises `InputError` for one out of range."""
    problem = problems.get(study.problem)
    return {group: settings_of(problem, given, recipe=recipe) for group, recipe in study.settings().items()}


def reproduce(
    study: Ensembles,
    settings: Mapping[str, Settings],
    directory: str,
    dataset: str | None,
    *,
    device_name: str | None,
    workers: int,
    quiet: bool,
    message: Callable[[str], None],
    command: str,
) -> tuple[dict[str, Any], "Figure"]:
    """Train both groups in `directory` to their last epoch, and return the results and the figure.

    `command` continues the study if it stops.
    """
    epochs = settings["with"].epochs
    device, sentence = device_of(device_name, workers, problems.get(study.problem), settings["with"].members)
    data = cache(lambda: load(study.problem, dataset))
    with ExitStack() as stack:
        # both are opened before one is trained, so that a group that cannot be resumed is reported first
        runs = {
            group: stack.enter_context(_run(_path(directory, group), partial(_bind, own, data, device), message))
            for group, own in settings.items()
        }
        message(sentence)
        show = stack.enter_context(progress(len(settings) * epochs, quiet))
        for before, (group, run) in enumerate(runs.items()):
            if run.finished:
                message(f"{run.path} is finished and not trained again")
                continue
            nothing = f"nothing was saved of this group: start it again with {command}"
            finish(run, by(workers), _shown(show, group, before * epochs), message, lambda path: command, nothing)
        return _results(study, settings["with"], runs, device), _figure(study, runs)


def _bind(settings: Settings, data: Callable[[], Any], device: Device) -> train.Task:
    return train.bind(settings, data(), device)


def _path(directory: str, group: str) -> str:
    return os.path.join(directory, f"{group}.h5")


def _run(path: str, task: Callable[[], train.Task], message: Callable[[str], None]) -> train.Run:
    """Return the run of a group: resumed if there is a file at `path`, or else new."""
    if not os.path.lexists(path):
        return train.Run.create(path, task, message=message)
    try:
        return train.Run.resume(path, lambda old: task(), message=message)
    except train.ChangedRunError as error:
        remedy = "undo the changes, or choose another directory with --out"
        raise train.ChangedRunError(error.path, error.changes, remedy) from None


def _shown(show: Show, group: str, before: int) -> Callable[[Any], None]:
    return lambda record: show(record, before + record.epoch, f"{group} continuation, ")


def _columns(runs: Mapping[str, train.Run]) -> dict[str, Any]:
    return {group: run_file.columns(run.records) for group, run in runs.items()}


def _results(study: Ensembles, settings: Settings, runs: Mapping[str, train.Run], device: Device) -> dict[str, Any]:
    groups = {
        group: {"file": f"{group}.h5", "versions": runs[group].header.versions, **summary(epochs)}
        for group, epochs in _columns(runs).items()
    }
    return {
        "study": study.name,
        "problem": study.problem,
        "seconds": sum(group["seconds"] for group in groups.values()),
        "device": device.name,
        "dataset": runs["with"].header.dataset,
        "changed": {
            field: {"study": old, "here": new} for field, (old, new) in study.changes("with", settings).items()
        },
        "paper": study.stated,
        "arms": groups,
    }


def _figure(study: Ensembles, runs: Mapping[str, train.Run]) -> "Figure":
    labelled = {f"{group} continuation": epochs for group, epochs in _columns(runs).items()}
    classifier = problems.get(study.problem).accuracy is not None
    return pictures.ensembles(labelled, study.shown, "cross-entropy" if classifier else "MSE", log=not classifier)


def as_text(results: dict[str, Any]) -> str:
    """Return the results of a study as a table, with the numbers of the paper beside the final means."""
    rows = []
    for group, found in results["arms"].items():
        for row in spread_rows(found):
            quantity = row[0].replace(" ", "_")
            stated = results["paper"].get(quantity, {}).get(group) if row[1] == "final" else None
            stated = stated if isinstance(stated, tuple) else (stated,)
            rows.append([group, *row, "" if None in stated else " to ".join(number(quantity, x) for x in stated)])
    changed = [f"{field} {change['here']} instead of {change['study']}" for field, change in results["changed"].items()]
    head = f"{results['study']}: {results['problem']}, {results['seconds']:.1f} s" + "".join(
        f", {it}" for it in changed
    )
    return f"{head}\n{as_table(['group', 'quantity', 'when', *SPREAD, 'paper, mean'], rows, names=3)}"
