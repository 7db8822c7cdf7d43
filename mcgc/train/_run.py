"""A run and its file: created or resumed, saved as it goes, and locked for one process."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import Any

from mcgc import files, hdf5
from mcgc._lock import locked
from mcgc.arrays import is_array, to_device, to_host
from mcgc.autodiff import flatten
from mcgc.errors import InputError, McgcError, OutputError
from mcgc.train import run_file
from mcgc.train._fit import epochs, out_of_patience
from mcgc.train._hooks import Hook, Hooks
from mcgc.train._members import Advanced, Member, MemberRecord, Record
from mcgc.train._resume import differences, no_epochs, pack, pack_ahead, records, unpack, unpack_ahead
from mcgc.train._strategies import Strategy
from mcgc.train._task import Task, draw
from mcgc.train.run_file import RunFile, columns

SECONDS = 2.0  # between two saves, at least
SHARE = 10.0  # of the time that a save takes, between two saves while an epoch goes on


class SaveError(McgcError):
    """A run in progress could not be saved."""


class ChangedRunError(InputError):
    """A run would not go on as the run that its file holds; `changes` says what differs."""

    def __init__(self, path: str, changes: Sequence[str], remedy: str) -> None:
        self.path, self.changes = path, changes
        super().__init__(f"{path} would not go on as the run that it is, for the {', the '.join(changes)}: {remedy}")


class Run:
    """A training run and its file.

    Use it as a context: on leaving it, epochs that are not yet saved are saved, and the lock of the file is freed.

    Attributes
    ----------
    path : str
        The run file. If a file of this name is made by someone else before the first save, the run takes the next
        free name.
    task : Task
        What is trained.
    records : list of Record
        The records of the epochs so far.
    header : RunFile
        What the file says beside epochs and states: settings, versions, dataset, device, changes, scaling and model.

    Examples
    --------
    >>> from mcgc_datasets import load
    >>> from mcgc import train
    >>> recipe = train.problems.get("lotka-volterra").recipe._replace(epochs=2)
    >>> task = train.bind(recipe, load("lotka-volterra"))
    >>> with train.Run.create("mine.h5", task) as run:
    ...     for record in run.epochs():
    ...         print(record.epoch, record.test_loss[0] > 0)
    1 True
    2 True
    >>> longer = train.bind(recipe._replace(epochs=3), load("lotka-volterra"))
    >>> with train.Run.resume("mine.h5", longer) as run:
    ...     print([record.epoch for record in run.epochs()])
    [3]
    """

    def __init__(self, path: str, task: Task, overwrite: bool, checkpoint_every: int, stack: ExitStack) -> None:
        self.path, self.task, self.records = path, task, list[Record]()
        self._overwrite, self._every, self._stack = overwrite, checkpoint_every, stack
        self.header = header_of(task)
        self._states: list[Any] = []  # after the last epoch, members; after the one before, members or leaves by name
        self._ahead: dict[int, list[MemberRecord]] = {}  # of members that are further than `epoch`
        self._before: dict[int, Member] = {}  # those that are finished, after the last epoch but one
        self._saved, self._changed = 0, False
        self._when, self._took = -SECONDS, 0.0

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        task: Task | Callable[[], Task],
        *,
        overwrite: bool = False,
        checkpoint_every: int = 1,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> "Run":
        """Begin a run. Its file is there after the first epoch.

        Parameters
        ----------
        path : str or path
            The run file, HDF5.
        task : Task or function
            What `bind` returned, or a function that returns it. The function is called when it is known that the file
            can be written and nobody else writes it.
        overwrite : bool
            Whether to replace a file that is there.
        checkpoint_every : int
            Save after so many epochs, but not more often than every 2 seconds.
        message : function
            Is called with a sentence for the user.

        Raises
        ------
        OutputError
            If the file cannot be written, or another process writes it.
        """
        name = os.fspath(path)
        files.check_writable(name, overwrite)
        with ExitStack() as stack:
            stack.enter_context(locked(name, message))
            return cls(name, task() if callable(task) else task, overwrite, checkpoint_every, stack.pop_all())

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike,
        task: Task | Callable[[RunFile], Task],
        *,
        allow_changed: bool = False,
        checkpoint_every: int = 1,
        message: Callable[[str], None] = lambda sentence: None,
    ) -> "Run":
        """Go on with the run of a file, to the same bits as if it had never stopped.

        Parameters
        ----------
        path : str or path
            The run file.
        task : Task or function
            The task of the run, perhaps with more epochs; or a function of what the file holds that returns it. The
            function is called when the file is locked and read.
        allow_changed : bool
            Whether to go on though something differs that changes the numbers. The file then says so.
        checkpoint_every, message
            As for `create`.

        Raises
        ------
        ChangedRunError
            If it would not be the same run: other settings, data, versions, or kind of device.
        InputError
            If the file cannot be read, or has more epochs than the task.
        OutputError
            If the file cannot be written, or another process writes it.
        """
        name = os.fspath(path)
        hdf5.check_file(name, f"run file {name!r}")
        files.check_writable(name, overwrite=True)
        with ExitStack() as stack:
            stack.enter_context(locked(name, message))  # before it is read: another process may be about to save
            old = run_file.load(name, begun=True)
            run = cls(name, task(old) if callable(task) else task, True, checkpoint_every, stack)
            run._take_up(old, allow_changed)
            run._stack = stack.pop_all()
        return run

    @property
    def epoch(self) -> int:
        """The number of epochs done."""
        return len(self.records)

    @property
    def ahead(self) -> dict[int, int]:
        """The numbers of epochs done by members that are further than `epoch`, on a cluster."""
        return {number: self.epoch + len(rows) for number, rows in self._ahead.items()}

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the run has ended by its `patience`."""
        return self.epoch == self.task.settings.epochs or self._ended

    @property
    def _ended(self) -> bool:
        known = bool(self._states) and not isinstance(self._states[0], dict) and not self._ahead
        return known and out_of_patience(self.task, self._states[0])

    def epochs(self, strategy: Strategy | None = None, hooks: Sequence[Hook] = ()) -> Iterator[Record]:
        """Train to the last epoch: yield the record of each, after it was saved if that was due.

        Parameters
        ----------
        strategy : Strategy, optional
            How members are advanced: `Serial`, `Stacked`, `Processes` or `Cluster`. By default what suits the device.
        hooks : sequence of Hook
            What is called before steps and after epochs.

        Raises
        ------
        SaveError
            If the run cannot be saved. The last file that could be is still there.
        SolveError, OutOfMemoryError, WorkerError
            If training fails. The epochs so far are saved first, as they are for any other exception.
        """
        members, ahead = self._states[0] if self._states else None, dict(self._ahead)
        before = None if ahead else members
        try:
            for record, after in epochs(self.task, members, self.epoch, strategy, [_Elsewhere(self), *hooks], ahead):
                self.records.append(record)
                self._ahead = {index: rows[1:] for index, rows in self._ahead.items() if len(rows) > 1}
                self._states = [after, *([before] if before is not None and not self._ahead else [])]
                before = self._exact(after, record)
                self._changed = True
                due = self.epoch % self._every == 0 and time.monotonic() - self._when >= SECONDS
                if self.finished or due:
                    self.save()
                yield record
            if self.finished:
                Hooks(hooks).after_run(self.header.results)
        except BaseException:
            self.save()
            raise

    def save(self) -> None:
        """Write what is not yet on the disk. Raises `SaveError` if it cannot be written, the first time."""
        if not self._changed:
            return
        began = time.monotonic()
        if not self._overwrite:
            self.path = free_path(self.path)  # a file made meanwhile must not cost a long run
        before, self._saved, self._changed = self._saved, self.epoch, False  # what cannot be written is not tried again
        found = self._states
        if self._ahead and self._before:
            found = [found[0], [self._before.get(i, member) for i, member in enumerate(found[0])]]
        states = [state if isinstance(state, dict) else pack(state) for state in found]
        members = self.task.settings.members
        done = columns(self.records) if self.records else no_epochs(members)
        ahead = pack_ahead(self._ahead, self.epoch, members) if self._ahead else {}
        contents = self.header._replace(finished=self.finished, epochs=done, states=states, ahead=ahead)
        if self.finished:
            contents = contents._replace(results=results_of(self.task, contents))
        self.header = self.header._replace(results=contents.results)
        try:
            run_file.save(self.path, contents, self._overwrite)
        except OutputError as error:
            kept = f"; the epochs up to {before} are still there" if before else ""
            raise SaveError(f"{error}{kept}") from error
        self._overwrite, self._when = True, time.monotonic()
        self._took = self._when - began

    def close(self) -> None:
        """Save what is not yet saved, and free the lock."""
        with self._stack:
            self.save()

    def __enter__(self) -> "Run":
        """Return the run."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the run."""
        self.close()

    def _exact(self, members: Sequence[Member], record: Record) -> Sequence[Member] | None:
        """Return the members as they were after the epoch of a record, or None if that is not known of all."""
        pairs = enumerate(zip(members, record.steps, strict=True))
        then = tuple(member if member.state.steps == n else self._before.get(i, member) for i, (member, n) in pairs)
        return then if all(m.state.steps == n for m, n in zip(then, record.steps, strict=True)) else None

    def _take(self, found: Advanced) -> None:
        """Take what came of a member that was elsewhere, perhaps before the others, and save it if that is due."""
        members = [*(self._states[0] if self._states else draw(self.task))]
        members[found.number] = found.member
        self._states = [members]
        self._before.update({} if found.before is None else {found.number: found.before})
        self._ahead.setdefault(found.number, []).extend(found.records)
        self._changed = True
        if time.monotonic() - self._when >= max(SECONDS, SHARE * self._took):
            self.save()

    def _take_up(self, old: RunFile, allow_changed: bool) -> None:
        """Go on from what `old` holds, if that is the same run."""
        if old.epoch > self.task.settings.epochs:
            raise InputError(f"{self.path} has {old.epoch} epochs already: give --epochs that many or more")
        changes = differences(old, self.header)
        if changes and not allow_changed:
            raise ChangedRunError(self.path, changes, "undo that, or add --allow-changed")
        notes = [f"after epoch {old.epoch}, the {change}" for change in changes]
        self.header = self.header._replace(changes=[*old.changes, *notes])
        self.records, self._saved = records(old), old.epoch
        self._states = [unpack(old.states[0], self.task), *old.states[1:]]
        self._ahead = unpack_ahead(old)
        if any(self._states[0][i].state.steps != rows[-1].steps for i, rows in self._ahead.items()):
            raise InputError(f"{self.path} holds states that are not those of its epochs: it is damaged")
        if self._ahead and old.states[1:]:
            pairs = enumerate(zip(self._states[0], unpack(self._states.pop(), self.task), strict=True))
            self._before = {i: before for i, (last, before) in pairs if before.state.steps < last.state.steps}
        if self.finished:  # nothing is computed: the versions are those that computed it
            self.header = self.header._replace(versions=old.versions)


class _Elsewhere(Hook):
    """Gives a run what came of members that are elsewhere."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def after_member(self, advanced: Advanced, epoch: int) -> None:
        if advanced.where:
            self.run._take(advanced)


def free_path(path: str) -> str:
    """Return a path at which there is no file yet.

    Parameters
    ----------
    path : str
        The path that is wanted, such as "mine.h5".

    Returns
    -------
    str
        `path` itself, or the first of mine-2.h5, mine-3.h5, … at which there is nothing.

    Examples
    --------
    >>> from mcgc import files
    >>> from mcgc.train import free_path
    >>> files.write("mine.h5", b"")
    >>> free_path("mine.h5"), free_path("yours.h5")
    ('mine-2.h5', 'yours.h5')
    """
    whole = Path(path)
    numbered = (str(whole.with_name(f"{whole.stem}-{number}{whole.suffix}")) for number in count(2))
    return next(name for name in chain([path], numbered) if not os.path.lexists(name))


def results_of(task: Task, run: RunFile) -> Mapping[str, Any]:
    """Return what the problem of a run that is done says of its best epochs."""
    if task.problem.assess is None:
        return {}
    return task.problem.assess(task, to_device(run.theta, task.device))


def header_of(task: Task) -> RunFile:
    """Return what the file of a run says before the first epoch."""
    scaling = {} if task.scaling is None else {name: to_host(x).tolist() for name, x in task.scaling._asdict().items()}
    replaced = {name: _name_of(value) for name, value in task.replaced.items()}
    model = {**task.problem.model, **({"replaced": replaced} if replaced else {})}
    settings, versions = task.settings._asdict(), run_file.versions()
    return RunFile(
        settings, versions, dataset_of(task.data), task.device.name, False, {}, (), (), scaling, model, {}, {}
    )


def _name_of(value: Any) -> str:
    """Return a name for an optimiser or an estimator that was given as an object."""
    made = next((part for part in value if callable(part)), value)
    return f"{made.__module__}.{made.__qualname__}" if hasattr(made, "__qualname__") else repr(value)


def dataset_of(data: Any) -> dict[str, str]:
    """Return where `data` came from, and its SHA-256, computed from its arrays if it does not say."""
    source, sha256 = getattr(data, "source", files.IN_MEMORY), getattr(data, "sha256", None)
    if sha256 is None:
        found = hashlib.sha256()
        for leaf in flatten(data)[0]:
            found.update(f"{leaf.dtype} {leaf.shape}".encode() + to_host(leaf).tobytes() if is_array(leaf) else b"")
        sha256 = found.hexdigest()
    return {"source": source if source == files.IN_MEMORY else os.path.abspath(source), "sha256": sha256}
