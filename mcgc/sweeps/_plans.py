"""Which trials a sweep does, and in which order."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from mcgc.errors import InputError
from mcgc.sweeps._designs import Point
from mcgc.sweeps._source import Keys, Source
from mcgc.sweeps._trial import FAILED, Job, Trial


class Plan(Protocol):
    """Gives trials one after another, and is told what they came to.

    `count` is how many there will be at most, and `equal` how many points were equal to another so far.
    """

    count: int
    equal: int

    def next(self) -> Job | Trial | None:
        """Return a trial to train, or one that has failed already, or None if there is none for now."""

    def tell(self, trial: Trial) -> None:
        """Take notice of a trial that is done and saved."""

    def close(self) -> None:
        """Let go of what the plan holds."""


class Trials(NamedTuple):
    """Makes trials of points."""

    source: Source
    keys: Keys
    run_file: Callable[[int], str]

    def of(self, number: int, point: Point) -> Job | Trial:
        """Return the trial to train at a point, or one that has failed where its settings do not go together."""
        key = self.keys.key(point)
        try:
            self.source.bound(point)
        except InputError as error:
            return Trial(number, key, point, FAILED, str(error))
        return Job(number, key, point, self.run_file(number))


class Listed:
    """Trials whose points are known beforehand. Points that are equal are one trial, and trials that are done are left.

    Parameters
    ----------
    points : sequence of mappings
        The points, in order.
    trials : Trials
        Makes trials of them.
    done : mapping of str to Trial
        The trials that are done, by key.
    retry_failed : bool
        Whether those that failed are done again.

    Raises
    ------
    InputError
        If no point has settings that go together: with the sentence of the first.
    """

    def __init__(self, points: Sequence[Point], trials: Trials, done: Mapping[str, Trial], retry_failed: bool) -> None:
        every: dict[str, Job | Trial] = {}
        for number, point in enumerate(points):
            found = trials.of(number, point)
            every.setdefault(found.key, found)
        refused = [found for found in every.values() if isinstance(found, Trial)]
        if len(refused) == len(every):
            raise InputError(refused[0].sentence)
        self.count, self.equal = len(every), len(points) - len(every)
        left = {key: done[key].status == FAILED and retry_failed if key in done else True for key in every}
        self._left = iter([found for key, found in every.items() if left[key]])

    def next(self) -> Job | Trial | None:
        """Return the next trial."""
        return next(self._left, None)

    def tell(self, trial: Trial) -> None:
        """Do nothing: the points do not depend on trials."""

    def close(self) -> None:
        """Do nothing."""
