"""Run the sweep of a TOML file: load its data, show its progress, and stop on signals and errors."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mcgc.errors import InputError, McgcError
from mcgc.kernels import when_compiling
from mcgc.sweeps import Results, SweepHook, Trial, sweep
from mcgc_cli.errors import FAILURE, INTERRUPTED, Stopped, tell
from mcgc_cli.progress import describe
from mcgc_cli.signals import Interrupted, interruptible
from mcgc_cli.specs import Spec
from mcgc_cli.summary import number

SEARCH = ("method", "trials", "members", "metric", "seed", "prune", "storage")


def run_spec(
    spec: Spec, device: str | None, how: Mapping[str, Any], quiet: bool
) -> tuple[Results, dict[str, int] | None]:
    """Return the results of a sweep, and what went to a cluster and back.

    Raises `Stopped` for signals and failures, and says what was saved.
    """
    keys, path = spec.keys, how["output"]
    shown = _Shown(quiet)
    when_compiling(lambda: None if quiet else tell("compiling the kernels, once"))
    data, task, columns = _data(spec)
    search = {name: keys[name] for name in SEARCH if name in keys}
    kept = f"the trials so far are saved in {path}: give the same command to go on"
    try:
        with interruptible() as check, _progress(quiet) as show:
            shown.check, shown.show = check, show
            results = sweep(
                data,
                task,
                spec.space,
                **{"recipe": keys.get("recipe"), **search, **columns, **spec.settings, **how},
                device=device or ("cpu" if how["workers"] > 1 or how["client"] else "auto"),
                hooks=[shown],
            )
    except (Interrupted, KeyboardInterrupt) as failure:
        status = getattr(failure, "status", INTERRUPTED)
        raise Stopped(f"interrupted, {kept if shown.saved else 'no trial was done'}", status) from failure
    except McgcError as failure:
        if shown.saved:  # the output cannot be written any more
            raise Stopped(f"{failure}; {kept}", FAILURE) from failure
        sentence = spec.sentence(str(failure).replace("another output, or begin anew with overwrite", "another output "
                                                      "with -o, or begin anew with --force"))  # fmt: skip
        raise type(failure)(sentence) if isinstance(failure, InputError) else Stopped(sentence, FAILURE) from None
    failed = [trial for trial in results.trials if trial.status == "failed"]
    if len(failed) == len(results.trials):
        raise Stopped(f"all {len(failed)} trials failed; trial {failed[0].number}: {failed[0].sentence}", FAILURE)
    if failed:
        tell(f"mcgc: {len(failed)} of {len(results.trials)} trials failed: mcgc sweep show {path} tells why")
    return results, shown.traffic


def _data(spec: Spec) -> tuple[Any, Any, dict[str, Any]]:
    """Return the data, the task or problem, and the columns of a table."""
    from mcgc_datasets import load, read_table

    from mcgc.train import problems
    from mcgc_cli.equations import function_of, parameters_of
    from mcgc_cli.tables import COLUMNS

    keys = spec.keys
    if "table" in keys:
        columns = {name: keys[name] for name in COLUMNS if name in keys}
        for name, read in (("field", function_of), ("parameters", parameters_of)):
            if name in columns:
                columns[name] = read(columns[name])
        return read_table(keys["table"]), columns.pop("task"), columns
    try:
        problem = problems.get(keys["problem"])
    except InputError as error:
        raise InputError(spec.sentence(str(error))) from None
    return load(problem, keys.get("dataset")), keys["problem"], {}


class _Shown(SweepHook):
    """Shows trials and messages, and stops the sweep after a signal."""

    def __init__(self, quiet: bool) -> None:
        self.check: Callable[[], None] = lambda: None
        self.traffic: dict[str, int] | None = None
        self.show: Callable[..., None] = lambda *args: None
        self.saved, self._quiet = False, quiet
        self._keys: set[str] = set()  # of the trials that are done
        self._count = self._trained = 0
        self._metric, self._best, self._began = "", "", time.monotonic()
        self._lowest = math.inf

    def begin(self, results: Results, count: int) -> None:
        self.saved, self._count, self._metric = bool(results.trials), count, results.metric
        for trial in results.trials:
            self._take(trial)
        if self._keys:
            self.message(f"{len(self._keys)} trials are done already")

    def before_step(self) -> None:
        self.check()

    def after_epoch(self, record: Any) -> None:
        done = len(self._keys)
        self.show(done, self._count, f"trial {done + 1}, epoch {record.epoch}: {describe(record)}")

    def after_trial(self, trial: Trial) -> None:
        self.saved, self._trained = True, self._trained + 1
        self._take(trial)
        done = len(self._keys)
        left = (time.monotonic() - self._began) / self._trained * (self._count - done)
        self.show(done, self._count, self._told(trial), f", {left:.0f} s left" if left >= 1 else "")
        self.check()

    def after_cluster(self, traffic: Mapping[str, int]) -> None:
        self.traffic = dict(traffic)

    def message(self, sentence: str) -> None:
        if not self._quiet:
            tell(sentence)

    def _take(self, trial: Trial) -> None:
        """Note a trial that is done, and whether it is the best so far."""
        self._keys.add(trial.key)
        value = trial.value(self._metric)
        if trial.status == "finished" and value < self._lowest:
            self._lowest, self._best = value, f", best {number(self._metric, value)} of trial {trial.number}"

    def _told(self, trial: Trial) -> str:
        """Return what a trial came to, and the best so far."""
        if trial.status == "failed":
            return f"trial {trial.number} failed: {trial.sentence}"
        what = "pruned at" if trial.status == "pruned" else f"{self._metric} loss"
        return f"trial {trial.number}: {what} {number(self._metric, trial.value(self._metric))}{self._best}"


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[..., None]]:
    """Yield a function that shows what is done on stderr: as a bar on a terminal, or else as lines, of trials alone."""
    if quiet:
        yield lambda *args: None
    elif sys.stderr is not None and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        with Progress(
            MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), console=Console(stderr=True)
        ) as bar:
            shown = bar.add_task("", total=None)
            yield lambda done, count, text, left="": bar.update(
                shown, completed=done, total=count, description=f"{text}{left}"
            )
    else:

        def line(done: int, count: int, text: str, left: str | None = None) -> None:
            if left is not None:
                tell(f"{done} of {count}: {text}{left}")

        yield line
