"""Training: settings, problems, and runs of several members."""

from importlib import import_module
from typing import TYPE_CHECKING

from mcgc.train import problems, settings
from mcgc.train._fit import OutOfMemoryError, epochs, fit
from mcgc.train._hooks import Hook
from mcgc.train._members import Member, MemberRecord, Record
from mcgc.train._strategies import Processes, Serial, Stacked, Strategy, WorkerError, strategy_for
from mcgc.train._task import Task, bind, draw
from mcgc.train._windows import parse_horizons
from mcgc.train.problems import Problem
from mcgc.train.settings import Settings, validate

if TYPE_CHECKING:
    from mcgc.train import run_file
    from mcgc.train._predict import predict
    from mcgc.train._run import ChangedRunError, Run, SaveError, free_path
else:
    _LATER = dict.fromkeys(("ChangedRunError", "Run", "SaveError", "free_path"), "mcgc.train._run")
    _LATER["predict"] = "mcgc.train._predict"

    def __getattr__(name):
        """Return what reads or writes files, imported now: the names of problems are wanted without HDF5."""
        if name == "run_file":
            return import_module("mcgc.train.run_file")
        if name in _LATER:
            return getattr(import_module(_LATER[name]), name)
        raise AttributeError(f"mcgc.train has no {name!r}")


__all__ = [
    "ChangedRunError",
    "Hook",
    "Member",
    "MemberRecord",
    "OutOfMemoryError",
    "Problem",
    "Processes",
    "Record",
    "Run",
    "SaveError",
    "Serial",
    "Settings",
    "Stacked",
    "Strategy",
    "Task",
    "WorkerError",
    "bind",
    "draw",
    "epochs",
    "fit",
    "free_path",
    "parse_horizons",
    "predict",
    "problems",
    "run_file",
    "settings",
    "strategy_for",
    "validate",
]
