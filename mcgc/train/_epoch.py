"""An epoch of a member: its minibatches, its steps, its record, and what happens where a step or the epoch fails."""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from mcgc.arrays import Array, Device, is_array, is_dtype, is_host, namespace_of, quietly, to_host
from mcgc.autodiff import flatten, tree_map
from mcgc.continuation import Info, State
from mcgc.continuation._step import at_step
from mcgc.errors import SolveError
from mcgc.random import fold_in, permutation, uniform
from mcgc.train._members import Member, MemberRecord
from mcgc.train._problem import Evaluation
from mcgc.train._task import Task, count, rows_at, steps
from mcgc.train._windows import batch_bounds, per_epoch, ragged_counts

ROWS_AT_ONCE = 1000  # when θ is evaluated on all examples: more would take memory, and save no time
MOST_SKIPS = 5  # steps of a member in a row that are left out; where more fail, so will the next
MOST_RESTORES = 10  # of a member in a run; a recipe that needs more of them does not work

Result = tuple[State, MemberRecord]  # of an epoch that was run


def minibatches(task: Task, member: Member, epoch: int) -> Iterator[Any]:
    """Yield the minibatches of the member's epoch, counted from 1.

    With windows shorter than the series, or as long, an epoch holds as many as cover all intervals of the training set
    once, drawn without replacement from all of them. It has as many steps as an epoch of whole series.
    """
    length, train = task.horizon(epoch), task.train
    if task.settings.bootstrap:
        train = rows_at(train, _drawn(member, count(train), task.device))
    if length:
        return _windows(task, train, member, epoch, length)
    order = None
    if task.problem.shuffled:
        order = permutation(fold_in(member.order, epoch), count(train), task.device)
    return _batches(train, task.settings.batch_size, order)


def _drawn(member: Member, total: int, device: Device) -> Array:
    """Return as many numbers of examples as there are, drawn with replacement: the same ones in every epoch."""
    xp = device.namespace
    drawn = uniform(fold_in(member.order, 0), total, "float64", device)  # an epoch's order has its number, from 1
    return xp.astype(xp.floor(drawn * total), xp.int64)


def _windows(task: Task, train: Any, member: Member, epoch: int, length: int) -> Iterator[Any]:
    problem, series = task.problem, count(train)
    assert problem.windows is not None
    assert problem.intervals is not None
    if problem.lengths is None:
        intervals = problem.intervals(train)
        every, total = series * (intervals + 1 - length), per_epoch(series, intervals, length)
    else:
        every, total = ragged_counts(problem.lengths(train), length)
    ends = batch_bounds(total, steps(train, task.settings))
    order = permutation(fold_in(member.order, epoch), every, task.device)
    for a, b in pairwise(ends):
        yield problem.windows(train, order[..., a:b], length)


def _batches(examples: Any, size: int, order: Array | None = None) -> Iterator[Any]:
    """Yield all examples, `size` at a time, as they come or in the given order."""
    total = count(examples)
    for a, b in ((a, min(a + size, total)) for a in range(0, total, size)):
        if order is None:
            yield tree_map(lambda x, a=a, b=b: x[a:b, ...], examples)
        else:
            yield rows_at(examples, order[..., a:b])


def advance(
    task: Task,
    member: Member,
    index: int,
    epoch: int,
    before_step: Callable[[], None] = lambda: None,
    found: Result | None = None,
) -> tuple[Member, MemberRecord]:
    """Take member number `index` through an epoch, counted from 1; return it and its record.

    `before_step()` is called before each step. `found` is the result of its `run_epoch` where it is known already.
    Raises `SolveError` as `fit` does.
    """
    began, task = time.perf_counter(), task.of_member(index)
    most_skips = MOST_SKIPS if task.settings.on_divergence == "skip-step" else 0
    run = lambda: found or run_epoch(task, member, epoch, before_step, most_skips)
    try:
        member, row = _survived(task, member, epoch, run)
    except SolveError as failure:
        raise SolveError(f"member {index}, epoch {epoch}: {failure}") from failure
    return member, row._replace(seconds=time.perf_counter() - began)


def _survived(task: Task, member: Member, epoch: int, run: Callable[[], Result]) -> tuple[Member, MemberRecord]:
    """Take one member through an epoch, or back to its best state if the epoch diverges; return its record too.

    An epoch diverges if a solution fails, or the loss or any of the state is not finite, and the step cannot be left
    out (`run_epoch`).
    The θ and φ of the best state (`Member`) are taken up again by optimisers that start anew, with half the learning
    rate of θ and the noise of later steps, so the way on is another. While windows are short, whole series may be out
    of reach of the solver: their loss is infinite then, and that alone is no divergence.

    Raises `SolveError` if that has happened `MOST_RESTORES` times, or the setting `on_divergence` is "stop".
    """
    try:
        state, row = run()
        sound = math.isfinite(row.train_loss) or (row.train_loss == math.inf and _is_short(task, epoch))
        sentence = f"the training loss has become {row.train_loss}: try a smaller learning rate"
        failure = None if sound else SolveError(sentence)
    except SolveError as error:
        failure = error
    if failure is None:
        score = math.inf if math.isnan(row.score) else row.score
        if score < member.lowest or math.isinf(member.lowest):
            member = member._replace(best=state, lowest=score)
        return member._replace(state=state), row
    if task.settings.on_divergence == "stop" or member.restores == MOST_RESTORES:
        raise failure
    best, taken = member.best, epoch * steps(task.train, task.settings)
    begun, known = task.method().init(best.theta), at_step(best, taken)
    clock = {} if task.settings.gamma is None else {"optimizer_lam": known.optimizer_lam}  # a schedule goes on
    state = begun._replace(log_lam=known.log_lam, moments=known.moments, steps=taken, **clock)
    effort = (0, 0, 0) if "solver" in task.problem.options else (None, None, None)
    state = _at_horizon(task, member._replace(state=state), epoch)
    scores = _scores(task, state, [], short=task.horizon(1) > 0)  # it may be of an epoch of short windows
    row = MemberRecord._make([*scores, *effort, taken, 0, True, 0.0])
    return member._replace(state=state, restores=member.restores + 1, restored_at=taken), row


def run_epoch(task: Task, member: Member, epoch: int, before_step: Callable[[], None], most_skips: int) -> Result:
    """Take one member, or several that are stacked, through all minibatches; return its state and its record.

    A step that fails leaves the state as it was, but for the number of steps: at most `most_skips` of them in a row
    within the epoch, and not all of them. Raises `SolveError` otherwise. Where no step may be left out, the states
    within the epoch are donated to the steps after them: nothing goes back to them.
    """
    state, infos, skipped, in_row = _at_horizon(task, member, epoch), [], 0, 0
    own = False  # the state before the first step is that of the member, which others may keep
    failure: SolveError | None = None
    for batch in minibatches(task, member, epoch):
        before_step()
        try:
            with quietly():
                method, key = task.method(*member.past), fold_in(member.noise, state.steps)
                after, info = method.step(state, batch, key, donate=own and most_skips == 0)
            _require_sound(task, after, info)
            state, own = after, True
            infos.append(info)
            in_row = 0
        except SolveError as error:
            skipped, in_row = skipped + 1, in_row + 1
            if in_row > most_skips:
                raise
            failure = error
            state = at_step(state, state.steps + 1)
    if failure is not None and not infos:  # every step failed
        raise failure
    scores = _scores(task, state, infos, _is_short(task, epoch))
    return state, MemberRecord._make([*scores, *_effort(infos), state.steps, skipped, False, 0.0])


def _at_horizon(task: Task, member: Member, epoch: int) -> State:
    """Return the member's state, with φ and its optimiser begun anew if the epoch is the first of a horizon."""
    new = epoch > 1 and task.horizon(epoch) != task.horizon(epoch - 1)
    if not (new and task.settings.restart_lam and task.settings.continuation):
        return member.state
    begun = task.method(*member.past).init(member.state.theta)
    return member.state._replace(log_lam=begun.log_lam, optimizer_lam=begun.optimizer_lam)


def _is_short(task: Task, epoch: int) -> bool:
    """Return whether the epoch's windows are shorter than the series."""
    length, intervals = task.horizon(epoch), task.problem.intervals
    return bool(length) and intervals is not None and length < intervals(task.train)


def _require_sound(task: Task, state: State, info: Info) -> None:
    """Raise `SolveError` if a step is seen not to be finite: on a device nobody waits to see it before the record."""
    if not (is_host(state.theta) and state.theta.ndim == 1):
        return
    seen = [("loss of a step", info.smoothed), ("sum of the parameters", namespace_of(state.theta).sum(state.theta))]
    if task.settings.continuation:
        numbers = (state.log_lam, *flatten(state.optimizer_lam)[0])
        seen += [("log lambda, or what its optimiser holds,", number) for number in numbers]
    for what, number in seen:
        if not math.isfinite(number):
            raise SolveError(f"the {what} has become {number}: try a smaller learning rate")


def _flaw(state: State, continued: bool) -> Array:
    """Return 0 where all of the state is finite, for each member, and NaN elsewhere."""
    leaves = flatten(state if continued else state._replace(log_lam=()))[0]
    rest = state.theta.ndim - 1  # the axes of members
    floats = (x for x in leaves if is_array(x) and is_dtype(namespace_of(x), x.dtype, "real floating"))
    parts = [leaf * 0 for leaf in floats]
    flat = [part if part.ndim == rest else namespace_of(part).sum(part, axis=-1) for part in parts]
    return sum(flat[1:], start=flat[0])


def _scores(task: Task, state: State, infos: list[Info], short: bool) -> list:
    """Return the fields of the record from the training loss to the gradients of φ.

    If windows are `short`, a loss of whole series that cannot be solved is infinite. Else, and for members that are
    stacked, of which only one may fail, `SolveError` is raised.
    """
    accuracy = task.problem.accuracy

    def loss(examples: Any) -> Array:
        try:
            with quietly():
                return _mean_over(lambda rows: _reported(*task.objective(state.theta, rows)), examples)
        except SolveError:
            if not short or state.theta.ndim > 1:
                raise
            return namespace_of(state.theta).full_like(state.theta[..., 0], math.inf)

    continued = task.settings.continuation
    with quietly():
        flaw = _flaw(state, continued)
    scores = [
        loss(task.train) + flaw,  # so that a state that can go nowhere is not taken for a good one
        _average([_smoothed(info) for info in infos]) if infos else None,
        None if task.validation is None else loss(task.validation),
        None if task.test is None else loss(task.test),
        None if accuracy is None or task.test is None else _mean_over(partial(accuracy, state.theta), task.test),
        state.log_lam if continued else None,
        _average([info.grad_log_lam for info in infos]) if continued and infos else None,
        _average([info.grad_log_lam_total for info in infos]) if continued and infos else None,
    ]
    return _on_host(scores)


def _reported(loss: Array, aux: Any) -> Array:
    """Return the loss in the units of the data."""
    return aux.loss if isinstance(aux, Evaluation) else loss


def _smoothed(info: Info) -> Array:
    """Return the estimate of the smoothed loss of a step, in the units of the data."""
    losses = [aux.loss for aux in info.aux if isinstance(aux, Evaluation)]
    return _average(losses) if losses else info.smoothed


def _mean_over(function: Callable[[Any], Array], examples: Any) -> Array:
    """Return the mean over all examples of `function`, which is a mean over the rows it is given."""
    total = count(examples)
    parts = [function(rows) * (count(rows) / total) for rows in _batches(examples, ROWS_AT_ONCE)]
    return sum(parts[1:], start=parts[0])


def _on_host(scores: list[Array | None]) -> list:
    """Return the scores as numbers, in one transfer."""
    there = [score for score in scores if score is not None]
    numbers = iter(to_host(namespace_of(*there).stack(there)).tolist())
    return [None if score is None else next(numbers) for score in scores]


def _average(values: list[Array]) -> Array:
    xp = namespace_of(values[0])
    return xp.mean(xp.stack(values, axis=-1), axis=-1)


def _effort(infos: list[Info]) -> list:
    """Return the evaluations of the field, the accepted and the rejected steps, summed over solves and trajectories."""
    solves: list[Any] = [aux.stats if isinstance(aux, Evaluation) else aux for info in infos for aux in info.aux]
    if None in solves:
        return [None, None, None]
    xp = namespace_of(solves[0].accepted)
    accepted, rejected = (
        sum(xp.sum(counts, axis=-1) for counts in column)
        for column in ([s.accepted for s in solves], [s.rejected for s in solves])
    )
    evaluations = sum(s.evaluations for s in solves) + xp.zeros_like(accepted)
    return to_host(xp.stack([evaluations, accepted, rejected])).tolist()  # one transfer
