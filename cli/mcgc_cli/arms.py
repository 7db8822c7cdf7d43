"""A study of two ensembles: both arms trained, or gone on with, and what they came to."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mcgc_datasets import load

from mcgc import problems, runs, training
from mcgc._lock import locked
from mcgc.arrays import Device
from mcgc.comparison import summary
from mcgc.ensembles import Ensembles
from mcgc.resume import unpack
from mcgc.settings import Settings
from mcgc_cli import pictures
from mcgc_cli.options import device_of, settings_of
from mcgc_cli.progress import Show, progress
from mcgc_cli.saving import Saver, begun, same_run
from mcgc_cli.signals import noted
from mcgc_cli.summary import SPREAD, as_table, number, spread_rows
from mcgc_cli.train import train

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def planned(study: Ensembles, given: Mapping[str, Any]) -> dict[str, Settings]:
    """Return the settings of each arm, with the options that were given. Raises `InputError` for one out of range."""
    problem = problems.get(study.problem)
    return {arm: settings_of(problem, given, recipe=recipe) for arm, recipe in study.settings().items()}


def reproduce(
    study: Ensembles,
    arms: Mapping[str, Settings],
    place: str,
    dataset: str | None,
    *,
    device_name: str | None,
    workers: int,
    quiet: bool,
    say: Callable[[str], None],
    again: str,
) -> tuple[dict[str, Any], "Figure"]:
    """Train what is not yet trained of both arms in the directory `place`; return the results and the figure."""
    epochs = arms["with"].epochs
    device, taken = device_of(device_name, workers, problems.get(study.problem), arms["with"].members)
    with ExitStack() as stack:
        for arm in arms:
            stack.enter_context(locked(_path(place, arm), say))
        data = load(study.problem, dataset)
        # both are looked at before one is trained, so that what cannot be gone on with is told first
        savers = {arm: _saver(_path(place, arm), settings, data, device) for arm, settings in arms.items()}
        say(taken)
        heed = stack.enter_context(noted())
        show = stack.enter_context(progress(len(arms) * epochs, quiet))
        for before, arm in enumerate(arms):
            if savers[arm].epoch == epochs:
                say(f"{savers[arm].path} is finished, and taken as it is")
                continue
            train(
                savers[arm],
                arms[arm],
                data,
                device,
                workers=workers,
                heed=heed,
                show=_shown(show, arm, before * epochs),
                say=say,
                again=lambda path: again,
                nothing=f"nothing was saved of this arm: {again} begins it anew",
            )
    return _results(study, arms["with"], savers, device), _figure(study, savers)


def _path(place: str, arm: str) -> str:
    return os.path.join(place, f"{arm}.h5")


def _saver(path: str, settings: Settings, data: Any, device: Device) -> Saver:
    saver = begun(path, True, 1, settings, data, device)
    if not os.path.lexists(path):
        return saver
    old = runs.load(path)
    if old.epoch == settings.epochs:  # it is only drawn again, which other versions may do
        saver.run = saver.run._replace(versions=old.versions)
    saver = same_run(saver, old, False, "undo that, or choose another directory with --out")
    if saver.epoch < settings.epochs:
        unpack(saver.states[0], training.draw(training.bind(settings, data, device)), device)
    return saver


def _shown(show: Show, arm: str, before: int) -> Callable[[Any], None]:
    return lambda record: show(record, before + record.epoch, f"{arm} continuation, ")


def _columns(savers: Mapping[str, Saver]) -> dict[str, Any]:
    return {arm: runs.columns(saver.records) for arm, saver in savers.items()}


def _results(study: Ensembles, settings: Settings, savers: Mapping[str, Saver], device: Device) -> dict[str, Any]:
    arms = {
        arm: {"file": f"{arm}.h5", "versions": savers[arm].run.versions, **summary(epochs)}
        for arm, epochs in _columns(savers).items()
    }
    return {
        "study": study.name,
        "problem": study.problem,
        "seconds": sum(arm["seconds"] for arm in arms.values()),
        "device": device.name,
        "dataset": savers["with"].run.dataset,
        "changed": {
            field: {"study": old, "here": new} for field, (old, new) in study.changes("with", settings).items()
        },
        "paper": study.stated,
        "arms": arms,
    }


def _figure(study: Ensembles, savers: Mapping[str, Saver]) -> "Figure":
    labelled = {f"{arm} continuation": epochs for arm, epochs in _columns(savers).items()}
    classifier = problems.get(study.problem).accuracy is not None
    return pictures.ensembles(labelled, study.shown, "cross-entropy" if classifier else "MSE", log=not classifier)


def as_text(results: dict[str, Any]) -> str:
    """Return the results of a study as a table, with what the paper states beside the final means."""
    rows = []
    for arm, found in results["arms"].items():
        for row in spread_rows(found):
            quantity = row[0].replace(" ", "_")
            stated = results["paper"].get(quantity, {}).get(arm) if row[1] == "final" else None
            stated = stated if isinstance(stated, tuple) else (stated,)
            rows.append([arm, *row, "" if None in stated else " to ".join(number(quantity, x) for x in stated)])
    changed = [
        f"{field} {change['here']} in place of {change['study']}" for field, change in results["changed"].items()
    ]
    head = f"{results['study']}: {results['problem']}, {results['seconds']:.1f} s" + "".join(
        f", {it}" for it in changed
    )
    return f"{head}\n{as_table(['arm', 'quantity', 'when', *SPREAD, 'paper, mean'], rows, names=3)}"
