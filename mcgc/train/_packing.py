"""Members of a run as plain arrays, one a leaf, and what must be equal for a run that goes on to be the same run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mcgc.arrays import Device, is_array, to_device, to_host
from mcgc.autodiff.pytree import flatten, leaf_names, unflatten
from mcgc.errors import InputError
from mcgc.train._epoch import Member
from mcgc.train._task import Record
from mcgc.train.run_file import Run
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


def unpack(leaves: Mapping[str, np.ndarray], begun: Sequence[Member], device: Device) -> list[Member]:
    """Return the members that `pack` made `leaves` of; `begun` are those of `training.begin` for the same settings.

    Raises `InputError` if a leaf is missing, or of another shape or dtype than in `begun`, or θ is not finite.
    """
    wanted = pack(begun)
    _require(leaves.keys() == wanted.keys(), f"holds {_listed(leaves)}, not {_listed(wanted)}")
    for name, like in wanted.items():
        found = leaves[name]
        same = (found.shape, found.dtype) == (like.shape, like.dtype)
        _require(
            same, f"holds {name!r} as {found.dtype} of shape {found.shape}, not {like.dtype} of shape {like.shape}"
        )
        _require(not name.endswith("theta") or bool(np.isfinite(found).all()), f"holds {name!r} that is not finite")
    return [_member(leaves, like, index, device) for index, like in enumerate(begun)]


def _member(leaves: Mapping[str, np.ndarray], like: Member, index: int, device: Device) -> Member:
    old, structure = flatten(like)
    new = [
        to_device(leaves[name][index], device) if is_array(leaf) else type(leaf)(leaves[name][index])
        for name, leaf in zip(leaf_names(like), old, strict=True)
    ]
    return unflatten(structure, new)


def records(run: Run) -> list[Record]:
    """Return the records of all epochs of `run`. Raises `InputError` if they are not complete."""
    columns, members, count = run.epochs, run.settings.get("members"), run.epoch
    _require(
        columns.keys() == {*Record._fields}, f"holds the epochs' {_listed(columns)}, not {_listed(Record._fields)}"
    )
    for name, column in columns.items():
        shape = (count,) if Record.__annotations__[name] in (int, float) else (count, members)
        _require(column.shape == shape, f"holds the epochs' {name!r} in the shape {column.shape}, not {shape}")
    _require(columns["epoch"].tolist() == list(range(1, count + 1)), "holds epochs that are not counted from 1")
    return [Record(*row) for row in zip(*([_entry(x) for x in columns[name]] for name in Record._fields), strict=True)]


def _entry(found: np.ndarray) -> Any:
    """Return a tuple or a number, with None for NaN and a bool for a byte."""
    values = found.astype(bool).tolist() if found.dtype == np.uint8 else found.tolist()
    return tuple(None if x != x else x for x in values) if isinstance(values, list) else values


def differences(run: Run, **now: Any) -> list[str]:
    """Return what differs between `run` and its fields `now`: settings, versions, dataset and device.

    Only what determines the numbers counts: not the number of epochs, unless horizons or the learning rate are laid out
    over it, nor versions of packages that compute nothing,
    nor where the dataset lies, nor which of several like devices is used.
    """
    settings, versions = now["settings"], now["versions"]
    run_settings = {**Settings._field_defaults, **run.settings}  # a file may be older than a setting
    laid_out = settings.get("horizons") is not None or settings.get("rate_schedule", "constant") != "constant"
    free = set() if laid_out else {"epochs"}
    told = {"epochs": "number of epochs, which the horizons and the learning rate follow,"}
    pairs = [
        (told.get(name, name), run_settings.get(name), value) for name, value in settings.items() if name not in free
    ]
    pairs += [(f"version of {name}", run.versions.get(name), versions.get(name)) for name in DETERMINING]
    pairs += [("sha256 of the dataset", run.dataset.get("sha256"), now["dataset"]["sha256"])]
    pairs += [("kind of device", run.device.partition(":")[0], now["device"].partition(":")[0])]
    return [f"{name} was {old} and is {new}" for name, old, new in pairs if old != new]


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"the run file {what}: it is damaged, or of another run")
