"""A study of two ensembles: train or resume both arms, and report their results."""

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
from mcgc_cli.finish import finish
from mcgc_cli.options import device_of, settings_of
from mcgc_cli.progress import Show, progress
from mcgc_cli.summary import SPREAD, as_table, number, spread_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def settings_of_arms(study: Ensembles, given: Mapping[str, Any]) -> dict[str, Settings]:
    """Return the settings of each arm, changed by the given options. Raises `InputError` for one out of range."""
    problem = problems.get(study.problem)
    return {arm: settings_of(problem, given, recipe=recipe) for arm, recipe in study.settings().items()}


def reproduce(
    study: Ensembles,
    arms: Mapping[str, Settings],
    directory: str,
    dataset: str | None,
    *,
    device_name: str | None,
    workers: int,
    quiet: bool,
    message: Callable[[str], None],
    command: str,
) -> tuple[dict[str, Any], "Figure"]:
    """Train both arms in `directory` to their last epoch, and return the results and the figure.

    `command` continues the study if it stops.
    """
    epochs = arms["with"].epochs
    device, sentence = device_of(device_name, workers, problems.get(study.problem), arms["with"].members)
    data = cache(lambda: load(study.problem, dataset))
    with ExitStack() as stack:
        # both are opened before one is trained, so that an arm that cannot be resumed is reported first
        runs = {
            arm: stack.enter_context(_run(_path(directory, arm), partial(_bind, settings, data, device), message))
            for arm, settings in arms.items()
        }
        message(sentence)
        show = stack.enter_context(progress(len(arms) * epochs, quiet))
        for before, (arm, run) in enumerate(runs.items()):
            if run.finished:
                message(f"{run.path} is finished and not trained again")
                continue
            nothing = f"nothing was saved of this arm: start it again with {command}"
            finish(run, workers, _shown(show, arm, before * epochs), message, lambda path: command, nothing)
        return _results(study, arms["with"], runs, device), _figure(study, runs)


def _bind(settings: Settings, data: Callable[[], Any], device: Device) -> train.Task:
    return train.bind(settings, data(), device)


def _path(directory: str, arm: str) -> str:
    return os.path.join(directory, f"{arm}.h5")


def _run(path: str, task: Callable[[], train.Task], message: Callable[[str], None]) -> train.Run:
    """Return the run of an arm: resumed if there is a file at `path`, or else new."""
    if not os.path.lexists(path):
        return train.Run.create(path, task, message=message)
    try:
        return train.Run.resume(path, lambda old: task(), message=message)
    except train.ChangedRunError as error:
        remedy = "undo the changes, or choose another directory with --out"
        raise train.ChangedRunError(error.path, error.changes, remedy) from None


def _shown(show: Show, arm: str, before: int) -> Callable[[Any], None]:
    return lambda record: show(record, before + record.epoch, f"{arm} continuation, ")


def _columns(runs: Mapping[str, train.Run]) -> dict[str, Any]:
    return {arm: run_file.columns(run.records) for arm, run in runs.items()}


def _results(study: Ensembles, settings: Settings, runs: Mapping[str, train.Run], device: Device) -> dict[str, Any]:
    arms = {
        arm: {"file": f"{arm}.h5", "versions": runs[arm].header.versions, **summary(epochs)}
        for arm, epochs in _columns(runs).items()
    }
    return {
        "study": study.name,
        "problem": study.problem,
        "seconds": sum(arm["seconds"] for arm in arms.values()),
        "device": device.name,
        "dataset": runs["with"].header.dataset,
        "changed": {
            field: {"study": old, "here": new} for field, (old, new) in study.changes("with", settings).items()
        },
        "paper": study.stated,
        "arms": arms,
    }


def _figure(study: Ensembles, runs: Mapping[str, train.Run]) -> "Figure":
    labelled = {f"{arm} continuation": epochs for arm, epochs in _columns(runs).items()}
    classifier = problems.get(study.problem).accuracy is not None
    return pictures.ensembles(labelled, study.shown, "cross-entropy" if classifier else "MSE", log=not classifier)


def as_text(results: dict[str, Any]) -> str:
    """Return the results of a study as a table, with the numbers of the paper beside the final means."""
    rows = []
    for arm, found in results["arms"].items():
        for row in spread_rows(found):
            quantity = row[0].replace(" ", "_")
            stated = results["paper"].get(quantity, {}).get(arm) if row[1] == "final" else None
            stated = stated if isinstance(stated, tuple) else (stated,)
            rows.append([arm, *row, "" if None in stated else " to ".join(number(quantity, x) for x in stated)])
    changed = [f"{field} {change['here']} instead of {change['study']}" for field, change in results["changed"].items()]
    head = f"{results['study']}: {results['problem']}, {results['seconds']:.1f} s" + "".join(
        f", {it}" for it in changed
    )
    return f"{head}\n{as_table(['arm', 'quantity', 'when', *SPREAD, 'paper, mean'], rows, names=3)}"
