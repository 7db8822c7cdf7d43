"""Training: settings, problems, and runs of several members."""

from importlib import import_module
from typing import TYPE_CHECKING

from mcgc.train import problems, settings
from mcgc.train._fit import OutOfMemoryError, epochs, fit
from mcgc.train._hooks import Hook
from mcgc.train._members import Advanced, Member, MemberRecord, Record
from mcgc.train._strategies import Processes, Serial, Stacked, Strategy, WorkerError, strategy_for
from mcgc.train._task import Task, bind, draw
from mcgc.train._windows import parse_horizons
from mcgc.train.problems import Problem
from mcgc.train.settings import CheckedSettings, Settings, parse_hidden, validate

if TYPE_CHECKING:
    from mcgc.train import run_file
    from mcgc.train._cluster import Cluster
    from mcgc.train._diagnose import Diagnosis, Finding, diagnose
    from mcgc.train._fitted import Fitted, load
    from mcgc.train._from_table import fit_table
    from mcgc.train._own import prepare, taken_up
    from mcgc.train._predict import predict
    from mcgc.train._run import ChangedRunError, Run, SaveError, free_path
    from mcgc.train._tensorboard import TensorBoard
else:
    _LATER = dict.fromkeys(("ChangedRunError", "Run", "SaveError", "free_path"), "_run")
    _LATER |= {"predict": "_predict", "run_file": "run_file", "Cluster": "_cluster"}
    _LATER |= {
        "Diagnosis": "_diagnose",
        "Finding": "_diagnose",
        "diagnose": "_diagnose",
        "Fitted": "_fitted",
        "load": "_fitted",
        "fit_table": "_from_table",
        "prepare": "_own",
        "taken_up": "_own",
        "TensorBoard": "_tensorboard",
    }

    def __getattr__(name):
        """Return what reads or writes files, imported now: the names of problems are wanted without HDF5."""
        if name not in _LATER:
            raise AttributeError(f"mcgc.train has no {name!r}")
        module = import_module(f"mcgc.train.{_LATER[name]}")
        return module if name == _LATER[name] else getattr(module, name)


__all__ = [
    "Advanced",
    "ChangedRunError",
    "CheckedSettings",
    "Cluster",
    "Diagnosis",
    "Finding",
    "Fitted",
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
    "TensorBoard",
    "WorkerError",
    "bind",
    "diagnose",
    "draw",
    "epochs",
    "fit",
    "fit_table",
    "free_path",
    "load",
    "parse_hidden",
    "parse_horizons",
    "predict",
    "prepare",
    "problems",
    "run_file",
    "settings",
    "strategy_for",
    "taken_up",
    "validate",
]
