"""The course of a sweep: trials are given to a pool, saved as they are done, and told to the plan."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from mcgc import files
from mcgc._lock import held, locked
from mcgc.errors import InputError, OutputError
from mcgc.sweeps import _file
from mcgc.sweeps._plans import Plan
from mcgc.sweeps._pools import Pool
from mcgc.sweeps._results import Results
from mcgc.sweeps._setup import determining
from mcgc.sweeps._trial import Job, Trial

REST = 20.0  # times the seconds that writing the file took: so long it is not written again
PATIENCE = 10.0  # seconds in which the workers of a process that was killed end


def go(plan: Plan, pool: Pool, record: Callable[[Trial], None]) -> None:
    """Do all trials of a plan. `record` is called with each that is done, before the plan is told."""
    busy = 0
    while True:
        while busy < pool.size and (found := plan.next()) is not None:
            if isinstance(found, Job):
                pool.submit(found)
                busy += 1
            else:
                record(found)
                plan.tell(found)
        if not busy:
            return
        for trial in pool.done():
            busy -= 1
            record(trial)
            plan.tell(trial)


class Output:
    """The file of a sweep, if there is one, and the directory of its run files. Use it as a context.

    Parameters
    ----------
    path : str, optional
        The file.
    overwrite : bool
        Whether to begin anew where it is there.
    runs : str, optional
        A directory that keeps the run files. By default it is a hidden one beside the file, and they are removed.
    header : mapping
        What is swept.
    message : function
        Is called with a sentence for the user.

    Raises
    ------
    InputError
        If the file is that of another sweep.
    OutputError
        If a file cannot be written, or another process writes it.
    """

    def __init__(
        self,
        path: str | None,
        overwrite: bool,
        runs: str | None,
        header: Mapping[str, Any],
        message: Callable[[str], None],
    ) -> None:
        self.path, self.header, self.anew = path, dict(header), overwrite
        self.trials: dict[str, Trial] = {}  # by key
        self._keep = runs is not None
        self._eager = header["method"] == "optuna"  # whose study must not know more than the file
        self._unsaved: list[int] = []
        self._due = 0.0  # when the file is to be written again
        self._stack = ExitStack()
        with self._stack:
            if path is not None:
                files.check_writable(path, overwrite=True)
                self._stack.enter_context(locked(path, message))
                if os.path.lexists(path) and not overwrite:
                    self._take_up()
            self.runs = self._directory(runs)
            self._stack = self._stack.pop_all()

    def record(self, trial: Trial) -> None:
        """Take up a trial that is done, and save it if that is due: until then its run file is kept."""
        self.trials[trial.key] = trial
        self._unsaved.append(trial.number)
        if self._eager or time.monotonic() >= self._due:
            self.save(False)

    def save(self, finished: bool) -> None:
        """Write the file, and remove the run files of what it has."""
        self.header["finished"], began = finished, time.monotonic()
        if self.path is not None and self.trials:
            _file.save(self.path, self.header, self.results().trials)
        if not self._keep:
            for number in self._unsaved:
                with suppress(FileNotFoundError):
                    os.unlink(self.run_file(number))
        self._unsaved.clear()
        self._due = time.monotonic() + REST * (time.monotonic() - began)

    def results(self) -> Results:
        """Return the trials that are done, by their numbers."""
        return Results(dict(self.header), tuple(sorted(self.trials.values(), key=lambda trial: trial.number)))

    def run_file(self, number: int) -> str:
        """Return the path of the run file of a trial."""
        return os.path.join(self.runs, f"trial-{number}.h5")

    def __enter__(self) -> "Output":
        """Return the output."""
        return self

    def __exit__(self, *error: object) -> None:
        """Save what is not saved yet, free the lock, and remove the hidden directory.

        Killed processes leave files there, which go when the sweep is done.
        """
        with self._stack:
            if self._unsaved:
                self.save(False)
            if not self._keep and self.header["finished"]:
                shutil.rmtree(self.runs, ignore_errors=True)
            elif not self._keep:
                with suppress(OSError):  # it is not empty
                    os.rmdir(self.runs)

    def _take_up(self) -> None:
        """Read the trials that are done."""
        assert self.path is not None
        header, trials = _file.load(self.path)
        before, now = determining(header), determining(self.header)
        differing = [name for name in now if before.get(name) != now[name]]
        if differing:
            listed = " and the ".join(differing)
            raise InputError(
                f"{self.path} would not go on as the sweep that it is, for the {listed} changed: undo that, choose "
                "another output, or begin anew with overwrite"
            )
        self.trials = {trial.key: trial for trial in trials}

    def _directory(self, runs: str | None) -> str:
        """Return the directory of the run files, when no process of a sweep that was killed writes there any more."""
        if runs is None and self.path is None:
            return self._stack.enter_context(tempfile.TemporaryDirectory())
        found = runs if runs is not None else files.beside(self.path or "", ".trials")
        try:
            os.makedirs(found, exist_ok=True)
        except OSError as error:
            raise OutputError(f"directory {found!r} cannot be made ({error.strerror}): choose another") from error
        end = time.monotonic() + PATIENCE
        while any(held(os.fspath(path)) for path in Path(found).glob("trial-*.h5")) and time.monotonic() < end:
            time.sleep(0.05)
        return found


@contextmanager
def closing(plan: Plan) -> Iterator[Plan]:
    """Give a plan, and close it at the end."""
    try:
        yield plan
    finally:
        plan.close()
