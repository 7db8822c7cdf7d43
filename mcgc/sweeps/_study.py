"""Trials that Optuna chooses by those before, on its own storage, and ends early."""

import hashlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from mcgc.errors import InputError
from mcgc.hdf5 import line
from mcgc.sweeps._designs import Point
from mcgc.sweeps._plans import Trials
from mcgc.sweeps._setup import Setup
from mcgc.sweeps._space import Dimension
from mcgc.sweeps._trial import FINISHED, PRUNED, Job, Trial

REPORTS = 30  # of a trial, at most: each is a transaction of the storage
WAIT = 60.0  # seconds for another process that writes a file of SQLite
EQUAL = "equal"  # marks a trial that has the settings of one before


class Where(NamedTuple):
    """A study: the URL of its storage, and its name."""

    storage: str
    name: str

    @property
    def shown(self) -> str:
        """The URL without a password."""
        return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", self.storage)


class Guided:
    """Trials of a study of Optuna. Of trials that are equal the first counts; the others are told its loss.

    The sampler has a seed for each trial, so that a sweep that goes on chooses what it would have chosen. A trial that
    the storage says is running is one that was stopped. It comes first.

    Parameters
    ----------
    setup : Setup
        The sweep.
    trials : Trials
        Makes trials of points.
    done : mapping of str to Trial
        The trials that are done, by key. It grows while the sweep goes.
    where : Where
        The study.
    anew : bool
        Whether a study of that name is removed.

    Raises
    ------
    InputError
        If Optuna is not there, or the storage cannot be used or does not fit the trials that are done.
    """

    def __init__(self, setup: Setup, trials: Trials, done: Mapping[str, Trial], where: Where, anew: bool) -> None:
        self._setup, self._trials, self._done, self._where = setup, trials, done, where
        self.count, self.equal = setup.most, 0
        self._going: dict[str, list[int]] = {}  # by key of a trial that is trained, the numbers of those equal to it
        self._stopped: list[tuple[int, Point]] = []
        self._asked = 0
        self._storage, self._study = _study(where, anew)
        self._distributions = {one.name: _distribution(one) for one in setup.space}
        try:
            self._take_up()
        except BaseException:
            self.close()
            raise

    def _take_up(self) -> None:
        """Count the trials of the study, and bring it to where the file of the sweep is."""
        known = {trial.number: trial for trial in self._done.values()}
        for frozen in self._study.get_trials(deepcopy=False):
            finished = frozen.state.is_finished()
            if frozen.params.keys() != self._distributions.keys():  # the process was killed while it asked
                if not finished:
                    self._tell(frozen.number, None)
                continue
            self._asked += 1
            if finished and frozen.number not in known and EQUAL not in frozen.user_attrs:
                raise InputError(
                    f"the storage {self._where.shown} has trials that the file of the sweep lacks: bring the file "
                    "back, or begin anew with overwrite"
                )
            if not finished and frozen.number in known:
                self.tell(known[frozen.number])
            elif not finished:
                self._stopped.append((frozen.number, self._point(frozen.params)))

    def next(self) -> Job | Trial | None:
        """Return a trial that was stopped, or a new one."""
        while self._stopped or self._asked < self.count:
            number, point = self._stopped.pop(0) if self._stopped else self._ask()
            found = self._trials.of(number, point)
            if found.key in self._done or found.key in self._going:
                self.equal += 1
                self._trial(number).set_user_attr(EQUAL, True)
                self._going.get(found.key, []).append(number)
                if found.key in self._done:
                    self._tell(number, self._done[found.key])
                continue
            self._going[found.key] = []
            if self._setup.prune is None or isinstance(found, Trial):
                return found
            return found._replace(pruning=MedianPruning(self._where, number, self._setup.prune))
        return None

    def tell(self, trial: Trial) -> None:
        """Tell the study what a trial, and those that are equal to it, came to."""
        for number in [trial.number, *self._going.pop(trial.key, [])]:
            self._tell(number, trial)

    def close(self) -> None:
        """Close the storage."""
        _close(self._storage)

    def _ask(self) -> tuple[int, Point]:
        self._study.sampler = sampler(self._setup.seed, self._asked)
        asked = self._study.ask(self._distributions)
        self._asked += 1
        return asked.number, self._point(asked.params)

    def _point(self, params: Mapping[str, Any]) -> Point:
        return {one.name: one.decoded(params[one.name]) for one in self._setup.space}

    def _tell(self, number: int, trial: Trial | None) -> None:
        """Tell the study of the end of a trial. None is one that was not asked to its end."""
        from optuna.trial import TrialState

        value = math.nan if trial is None else trial.value(self._setup.metric)
        if trial is not None and trial.status == FINISHED and not math.isnan(value):
            self._study.tell(number, value)
        elif trial is not None and trial.status == PRUNED:
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _trial(self, number: int) -> Any:
        return _trial_of(self._storage, self._study, self._where, number)


def sampler(seed: int, number: int) -> Any:
    """Return the sampler of trial `number`: TPE (Bergstra et al. 2011), which takes trials that go on for bad ones."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import TPESampler

    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # as versions before 5 say of constant_liar
        return TPESampler(seed=own, constant_liar=True)


class MedianPruning(NamedTuple):
    """Ends a trial that is worse than the median of those before at the same epoch. Other processes can have it.

    Source: `optuna.pruners.MedianPruner`, after five trials without pruning.
    """

    where: Where
    number: int
    first: int

    @contextmanager
    def begin(self, epochs: int) -> Iterator[Any]:
        """Give what tells after an epoch, whose mean loss is a value, whether the trial ends: (epoch, value) → bool."""
        from optuna.pruners import MedianPruner

        storage, study = _study(self.where)
        study.pruner = MedianPruner()
        every = math.ceil(epochs / REPORTS)
        try:
            trial = _trial_of(storage, study, self.where, self.number)
            reported = {*study.get_trials(deepcopy=False)[self.number].intermediate_values}

            def stops(epoch: int, value: float) -> bool:
                if epoch < self.first or epoch % every:
                    return False
                if epoch not in reported:  # else the sweep was stopped after it
                    trial.report(value, epoch)
                    reported.add(epoch)
                return bool(epoch == max(reported) and trial.should_prune())

            yield stops
        finally:
            _close(storage)


def _study(where: Where, anew: bool = False) -> tuple[Any, Any]:
    """Return the storage and the study, made if it is not there. Raises `InputError` if that fails."""
    try:
        import optuna
    except ImportError:
        raise InputError(
            "the method optuna needs Optuna, which is not installed: pip install 'mcgc[sweep]', or choose sobol"
        ) from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell that the study is made
    options = {"connect_args": {"timeout": WAIT}} if where.storage.startswith("sqlite:") else {}
    try:
        storage = optuna.storages.RDBStorage(where.storage, engine_kwargs=options)
        if anew:
            with suppress(KeyError):
                optuna.delete_study(study_name=where.name, storage=storage)
        return storage, optuna.create_study(study_name=where.name, storage=storage, load_if_exists=True)
    except Exception as error:  # a database raises errors of its own
        raise InputError(
            f"the storage {where.shown} cannot be used ({line(error)}): give the URL of another"
        ) from error
    finally:
        optuna.logging.set_verbosity(before)


def _trial_of(storage: Any, study: Any, where: Where, number: int) -> Any:
    from optuna.trial import Trial as OptunaTrial

    study_id = storage.get_study_id_from_name(where.name)
    return OptunaTrial(study, storage.get_trial_id_from_study_id_trial_number(study_id, number))


def _close(storage: Any) -> None:
    storage.remove_session()
    storage.engine.dispose()


def _distribution(one: Dimension) -> Any:
    """Return the distribution of a setting: choices are numbered, as the storage holds texts and numbers alone."""
    from optuna import distributions

    if one.choices:
        return distributions.CategoricalDistribution(range(len(one.choices)))
    if one.integer:
        return distributions.IntDistribution(int(one.low), int(one.high), log=one.log)
    return distributions.FloatDistribution(one.low, one.high, log=one.log)
