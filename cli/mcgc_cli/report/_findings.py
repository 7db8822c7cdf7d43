"""What to do next: what the numbers of a run file say, each with one recommendation."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc.train.run_file import RunFile

LEVEL_OFF = 0.05  # that a coverage may differ from its level, beside three standard errors
STILL_FALLING = 0.05  # relative fall of the loss over the last tenth of the epochs
STUCK = 0.01  # relative fall of the training loss over the whole run
CHANCE = 1.5  # times the accuracy of guessing
MOST_COLUMNS = 3  # that a sentence lists
OVERFIT = 3.0  # of the validation loss over the training loss


class Finding(NamedTuple):
    """A fact with its number, and one recommendation.

    Parameters
    ----------
    fact : str
        A sentence.
    advice : str
        A sentence that says what to do.
    """

    fact: str
    advice: str


def findings(run: RunFile) -> list[Finding]:
    """Return what the numbers of a run file ask for, the most important first."""
    return [*_of_progress(run), *_of_scores(run), *_of_chance(run), *_of_losses(run)]


def _of_progress(run: RunFile) -> Iterator[Finding]:
    wanted = run.settings.get("epochs")
    if not run.finished:
        yield Finding(
            f"The run is not finished: it has done {run.epoch} of {wanted} epochs.",
            "Continue it with mcgc fit --resume, and make the report again.",
        )
    failed = int(np.sum(run.epochs.get("skipped", 0)))
    if failed:
        yield Finding(f"{failed} steps failed and were skipped.", "Try a smaller --lr, or --clip 1.")
    restored = int(np.sum(run.epochs.get("restored", 0)))
    if restored:
        yield Finding(f"Members diverged {restored} times, and went back to their best epoch.", "Try a smaller --lr.")


def _of_scores(run: RunFile) -> Iterator[Finding]:
    results = run.results
    if not results:
        return
    part = scored(results)
    if part != "test":
        yield Finding("There is no test set.", "Train with a test part (--test 0.2): other scores are too good.")
    better = dict(_better_baselines(results["scores"][part], results["baselines"]))
    for name, columns in better.items():
        where = _where(columns)
        yield Finding(
            f"The baseline “{name}” is not worse than the run{where} on the {part} set.",
            f"Use “{name}”{where}, or change the model and train again: other features or inputs, another --hidden.",
        )
    covered = results.get("coverage", {}).get(part, {}).get("all")
    if covered is not None:
        yield from _of_coverage(results, part, covered)


def _where(columns: list[str]) -> str:
    """Return the end of a sentence that holds for some columns, "" for all."""
    shown = ", ".join(columns) if len(columns) <= MOST_COLUMNS else f"{len(columns)} columns, such as {columns[0]}"
    return f" for {shown}" if columns else ""


def _better_baselines(scores: Mapping[str, Any], baselines: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the baselines that are as good as the scores, and for which columns, none for all."""
    for name, base in baselines.items():
        if "accuracy" in scores:
            if base["accuracy"] >= scores["accuracy"]:
                yield name, []
            continue
        columns = [each for each in base["rmse"] if each != "all"]
        pairs = {each: (base["rmse"][each], scores["rmse"][each]) for each in columns}
        found = [each for each, pair in pairs.items() if None not in pair and pair[0] <= pair[1]]
        if found:
            yield name, found if len(found) < len(columns) else []


def _of_coverage(results: Mapping[str, Any], part: str, covered: float) -> Iterator[Finding]:
    level, counts = results["calibration"]["level"], results["counts"][part]
    observed = counts.get("observed", counts.get("rows", 1))
    allowed = LEVEL_OFF + 3 * math.sqrt(level * (1 - level) / max(observed, 1))
    if abs(covered - level) <= allowed:
        return
    fact = f"The {level:.0%} bands cover {covered:.1%} of the {part} set."
    if covered > level:
        yield Finding(fact, "The bands are wider than they must be: a larger --validation measures the noise better.")
    else:
        yield Finding(
            fact,
            "The bands are too narrow. Train more members (--members 5): their spread then widens the bands where "
            "the model is unsure.",
        )


def _of_chance(run: RunFile) -> Iterator[Finding]:
    """Yield whether a classifier is hardly better than guessing."""
    sizes, accuracy = run.model.get("sizes"), run.epochs.get("test_accuracy")
    if not sizes or accuracy is None or not np.isfinite(accuracy).any():
        return
    found = float(np.nanmean(accuracy[best_epochs(run) - 1, np.arange(accuracy.shape[1])]))
    if found <= CHANCE / sizes[-1]:
        yield Finding(
            f"The accuracy on the test set is {found:.1%}, and guessing one of {sizes[-1]} classes gives "
            f"{1 / sizes[-1]:.1%}.",
            "The net has not learned: try --loss cross-entropy, a larger --lr, or fewer and wider layers.",
        )


def _of_losses(run: RunFile) -> Iterator[Finding]:
    train, validation = (run.epochs.get(name) for name in ("train_loss", "validation_loss"))
    if train is None or run.epoch < 2:
        return
    by = train if validation is None or not np.isfinite(validation).any() else validation
    at = best_epochs(run)
    with np.errstate(invalid="ignore"):
        fallen = 1 - np.min(train, axis=0) / train[0]
    stuck = int((fallen < STUCK).sum())
    if run.finished and stuck:
        yield Finding(
            f"The training loss of {stuck} of {len(fallen)} members has not fallen by {STUCK:.0%}.",
            "They are stuck at the start: try a larger --lr, --init he-normal, or fewer and wider layers.",
        )
    back = max(run.epoch // 10, 1)
    with np.errstate(invalid="ignore"):
        fall = 1 - np.nanmin(by[-back:], axis=0) / np.nanmin(by[:-back], axis=0)
    falling = [fallen for fallen in fall.tolist() if math.isfinite(fallen) and fallen > STILL_FALLING]
    if run.finished and len(falling) == by.shape[1]:
        yield Finding(
            f"The loss still fell by {min(falling):.0%} or more in the last {back} epochs.",
            f"Train longer: --epochs {2 * run.epoch}.",
        )
    if by is validation:
        members = np.arange(by.shape[1])
        ratio = float(np.median(validation[at - 1, members] / np.maximum(train[at - 1, members], 1e-300)))
        if ratio > OVERFIT:
            yield Finding(
                f"At the best epoch the validation loss is {ratio:.1f} times the training loss.",
                "The model follows its training data too closely: take more data, a smaller --hidden, or a larger "
                "--weight-decay.",
            )


def scored(results: Mapping[str, Any]) -> str:
    """Return the part whose scores stand beside those of the baselines."""
    return next(name for name in ("test", "validation", "train") if name in results["scores"])


def best_epochs(run: RunFile) -> np.ndarray:
    """Return the number of the best epoch of each member."""
    from mcgc.paper.comparison import best_records
    from mcgc.train._resume import records

    return np.asarray([record.epoch for record in best_records(records(run))])
