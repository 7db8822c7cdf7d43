"""Members of a run as plain arrays, one a leaf, and what must be equal for a run that goes on to be the same run."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcgc.arrays import Device, is_array, to_device, to_host
from mcgc.autodiff.pytree import flatten, leaf_names, unflatten
from mcgc.errors import InputError
from mcgc.nets import num_parameters
from mcgc.random import Key
from mcgc.train._members import Member, MemberRecord, Record
from mcgc.train._task import Task
from mcgc.train.run_file import RunFile, columns
from mcgc.train.settings import Settings

DETERMINING = ("mcgc", "numpy", "numba", "llvmlite", "cupy-cuda12x", "cupy-cuda13x", "numba-cuda")
_KINDS = {bool: "u1", int: "u8", float: "f8"}


def pack(members: Sequence[Member]) -> dict[str, np.ndarray]:
    """Return the leaves of all `members` by name, such as "state/theta": host arrays, members along the first axis."""
    columns = zip(*(flatten(member)[0] for member in members), strict=True)
    return {name: _column(values) for name, values in zip(leaf_names(members[0]), columns, strict=True)}


def _column(values: Sequence[Any]) -> np.ndarray:
    if is_array(values[0]):
        return np.stack([to_host(value) for value in values])
    return np.asarray(values, dtype=_KINDS[type(values[0])])


def unpack(leaves: Mapping[str, np.ndarray], task: Task, count: int | None = None) -> list[Member]:
    """Return the members of `task`, or `count` of them, that `pack` made `leaves` of.

    Raises `InputError` if a leaf is missing, or of another shape or dtype than the task has, or θ is not finite.
    """
    settings, theta = task.settings, leaves.get("state/theta", np.zeros(1))
    count = settings.members if count is None else count
    sizes, beside = task.problem.sizes, task.problem.beside_net
    m = beside + num_parameters(sizes) if sizes else beside or theta.shape[-1]
    begun = task.method().init(to_device(np.zeros(m, settings.dtype), task.device))
    like = Member(begun, Key(0), Key(0), begun)  # of which the structure counts, and no number
    wanted = {name: leaf[0] for name, leaf in pack([like]).items()}
    _require(leaves.keys() == wanted.keys(), f"holds {_listed(leaves)}, not {_listed(wanted)}")
    for name, leaf in sorted(wanted.items(), key=lambda item: item[0] != "state/theta"):
        found, shape = leaves[name], (count, *leaf.shape)
        _require(
            (found.shape, found.dtype) == (shape, leaf.dtype),
            f"holds {name!r} as {found.dtype} of shape {found.shape}, not {leaf.dtype} of shape {shape}",
        )
        _require(not name.endswith("theta") or bool(np.isfinite(found).all()), f"holds {name!r} that is not finite")
    return [_member(leaves, like, index, task.device) for index in range(count)]


def _member(leaves: Mapping[str, np.ndarray], like: Member, index: int, device: Device) -> Member:
    old, structure = flatten(like)
    new = [
        to_device(leaves[name][index], device) if is_array(leaf) else type(leaf)(leaves[name][index])
        for name, leaf in zip(leaf_names(like), old, strict=True)
    ]
    return unflatten(structure, new)


def records(run: RunFile) -> list[Record]:
    """Return the records of all epochs of `run`. Raises `InputError` if they are not complete."""
    found, members, count = run.epochs, run.settings.get("members"), run.epoch
    _require(found.keys() == {*Record._fields}, f"holds the epochs' {_listed(found)}, not {_listed(Record._fields)}")
    for name, column in found.items():
        shape = (count,) if Record.__annotations__[name] in (int, float) else (count, members)
        _require(column.shape == shape, f"holds the epochs' {name!r} in the shape {column.shape}, not {shape}")
    _require(found["epoch"].tolist() == list(range(1, count + 1)), "holds epochs that are not counted from 1")
    return [Record(*row) for row in zip(*([_entry(x) for x in found[name]] for name in Record._fields), strict=True)]


def no_epochs(members: int) -> dict[str, np.ndarray]:
    """Return the columns of a run in which no epoch is done by all members."""
    numbers = [name for name in Record._fields if Record.__annotations__[name] in (int, float)]
    kinds = {"epoch": np.int64, "horizon": np.int64, "steps": np.int64, "skipped": np.int64, "restored": np.uint8}
    return {
        name: np.empty((0,) if name in numbers else (0, members), kinds.get(name, np.float64))
        for name in Record._fields
    }


def pack_ahead(ahead: Mapping[int, Sequence[MemberRecord]], epoch: int, members: int) -> dict[str, np.ndarray]:
    """Return the records of members beyond `epoch` as arrays, member after member, and `done`, the epochs of each."""
    rows = [row for index in range(members) for row in ahead.get(index, ())]
    done = [epoch + len(ahead.get(index, ())) for index in range(members)]
    return {"done": np.asarray(done, np.int64), **(columns(rows) if rows else {})}


def unpack_ahead(run: RunFile) -> dict[int, list[MemberRecord]]:
    """Return the records of members that are further than others, by their numbers."""
    if not run.ahead:
        return {}
    found, fields = dict(run.ahead), {"done", *MemberRecord._fields}
    _require(found.keys() == fields, f"holds of members ahead {_listed(found)}, not {_listed(fields)}")
    more = found.pop("done") - run.epoch
    _require(
        more.shape == (run.settings.get("members"),) and bool((more >= 0).all()),
        "does not say for each member how many epochs it has done",
    )
    for name, column in found.items():
        _require(column.shape == (more.sum(),), f"holds {name!r} of members ahead in the shape {column.shape}")
    rows = [MemberRecord(*row) for row in zip(*(_entry(found[name]) for name in MemberRecord._fields), strict=True)]
    ends = np.cumsum(more).tolist()
    return {i: rows[end - count : end] for i, (end, count) in enumerate(zip(ends, more.tolist(), strict=True)) if count}


def _entry(found: np.ndarray) -> Any:
    """Return a tuple or a number, with None for NaN and a bool for a byte."""
    values = found.astype(bool).tolist() if found.dtype == np.uint8 else found.tolist()
    return tuple(None if x != x else x for x in values) if isinstance(values, list) else values


def differences(run: RunFile, now: RunFile) -> list[str]:
    """Return what differs between `run` and a run that begins `now`: settings, versions, dataset, device, model.

    Only what determines the numbers counts: not the patience, nor the number of epochs, unless horizons or the learning
    rate follow it, nor versions of packages that compute nothing, nor where the dataset lies, nor which of several like
    devices is used. Versions do not count for a run that is finished.
    """
    settings, old = now.settings, {**Settings._field_defaults, **run.settings}  # a file may be older than a setting
    follows = settings.get("horizons") is not None or settings.get("rate_schedule", "constant") != "constant"
    free = {"patience"} if follows else {"patience", "epochs"}
    fields = [name for name in settings if name not in free]
    names = {"epochs": "number of epochs, which the horizons and the learning rate follow,"}
    pairs = [(names.get(name, name), old.get(name), settings[name]) for name in fields]
    if run.epoch < settings["epochs"]:
        pairs += [(f"version of {name}", run.versions.get(name), now.versions.get(name)) for name in DETERMINING]
    pairs += [("sha256 of the dataset", run.dataset.get("sha256"), now.dataset["sha256"])]
    pairs += [("kind of device", run.device.partition(":")[0], now.device.partition(":")[0])]
    if run.model:
        model = json.loads(json.dumps(now.model, default=dict))
        pairs += [(f"{name} of the model", run.model.get(name), model.get(name)) for name in {**run.model, **model}]
    return [f"{name} was {before} and is {after}" for name, before, after in pairs if before != after]


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"the run file {what}: it is damaged, or of another run")
