"""Training: settings, problems, and runs of several members."""

from importlib import import_module
from typing import TYPE_CHECKING

from mcgc.train import problems, settings
from mcgc.train._epoch import Member, MemberRecord, Task
from mcgc.train._task import Record, bind, draw, epochs, fit
from mcgc.train._windows import parse_horizons
from mcgc.train.problems import Problem
from mcgc.train.settings import Settings, validate

if TYPE_CHECKING:
    from mcgc.train import run_file
    from mcgc.train._predict import predict
else:

    def __getattr__(name):
        """Return what reads or writes files, imported now: the names of problems are wanted without HDF5."""
        if name == "run_file":
            return import_module("mcgc.train.run_file")
        if name == "predict":
            return import_module("mcgc.train._predict").predict
        raise AttributeError(f"mcgc.train has no {name!r}")


__all__ = [
    "Member",
    "MemberRecord",
    "Problem",
    "Record",
    "Settings",
    "Task",
    "bind",
    "draw",
    "epochs",
    "fit",
    "parse_horizons",
    "predict",
    "problems",
    "run_file",
    "settings",
    "validate",
]
