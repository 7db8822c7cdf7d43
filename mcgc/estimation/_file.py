"""HDF5 files of estimates."""

import io
import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import hdf5
from mcgc._version import __version__
from mcgc.errors import DatasetError
from mcgc.estimation._bands import LEVEL, Bands
from mcgc.estimation._saved import banded, inputs_of, model_of, requested, simulated

FORMAT, VERSION, READ = "mcgc-estimate", 2, (1, 2)
ARRAYS = ("times", "values", "fitted", "curve_times", "curve")  # of an experiment
MODEL = ("y0", "knots", "inputs")  # of an experiment, from version 2 on
POINTS = 201  # of a curve


def summary(found: Any) -> dict[str, Any]:
    """Return what an estimate says, as JSON has it: null for what is not finite.

    Parameters
    ----------
    found : Estimate
        The result of `mcgc.estimate`.

    Returns
    -------
    dict
        The method, the message, the counts, the noise, and each parameter with its start, standard error and bounds.
    """
    problem = found.problem
    parts = {}
    for i, (name, one) in enumerate(problem.parameters.items()):
        parts[name] = {
            "value": _number(found.x[i]), "standard_error": _number(found.standard_errors[i]),
            "start": _number(one.value), "min": _number(one.min), "max": _number(one.max),
            "log": bool(one.log), "fixed": bool(one.fixed),
        }  # fmt: skip
    return {
        "success": bool(found.success), "message": str(found.message), "method": found.method,
        "winner": found.winner, "cost": _number(found.cost), "data_points": int(found.fun.size),
        "free_parameters": int(found.free.sum()), "evaluations": int(found.nfev),
        "failures": {key: int(value) for key, value in found.failures.items()},
        "parameters": parts, "names": list(found.names),
        "correlations": [[_number(value) for value in row] for row in found.correlations.tolist()],
        "sigma": {key: _number(value) for key, value in found.sigma.items()}, "sigma_known": found.sigma_known,
        "states": list(problem.model.states), "columns": list(problem.model.columns),
        "experiments": list(found.experiments),
    }  # fmt: skip


def _number(value: Any) -> float | None:
    value = float(value)
    return value if np.isfinite(value) else None


def estimate_bytes(found: Any) -> bytes:
    """Return the bytes of a file of an estimate. Equal estimates give equal bytes.

    The attribute `format` names the format. The datasets `summary`, the JSON of `summary`, and `report` are texts in
    UTF-8. `x`, `standard_errors` and `covariance` are in the order of the names. `experiments/0` and so on have
    `times`, `values` and `fitted`, and a smooth curve: `curve_times` and `curve`; and the start `y0` (states,) at the
    time of their attribute `t0`, and `inputs` (1, inputs), or (knots, inputs) at the times `knots`. `model` (JSON) has
    the field as a formula, which is a list of operations (`mcgc._jit.Formula`), and no code.
    """
    curves = found.problem.curves(found.parameters, POINTS)
    image = io.BytesIO()  # HDF5's own images have a wrong checksum before its version 2
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, version=VERSION, created_by=f"mcgc {__version__}")
        texts = {"summary": json.dumps(summary(found)), "report": found.report(), "model": json.dumps(model_of(found))}
        for name, text in texts.items():
            file.create_dataset(name, data=np.frombuffer(text.encode(), np.uint8))
        for name in ("x", "standard_errors", "covariance"):
            file.create_dataset(name, data=found[name])
        for i, (one, fitted, curve) in enumerate(zip(found.problem.series, found.fitted, curves, strict=True)):
            group = file.create_group(f"experiments/{i}")
            group.attrs.update(name=one.name, t0=one.t0)
            start, inputs = found.problem.starts(found.parameters, i, 1)[0], inputs_of(one, found.problem)
            for name, array in zip(MODEL, (start, *inputs), strict=True):
                group.create_dataset(name, data=array)
            for name, array in zip(ARRAYS, (one.times, one.values, fitted, *curve), strict=True):
                group.create_dataset(name, data=array)
    return image.getvalue()


class SavedEstimate(NamedTuple):
    """What a file of an estimate holds.

    Parameters
    ----------
    summary : dict
        What `summary` says.
    report : str
        The report.
    x, standard_errors : array of shape (m,)
        The parameters and their standard errors, in the order of the names in the summary.
    covariance : array of shape (m, m)
        Their covariance.
    experiments : tuple of dict
        The arrays `times`, `values`, `fitted`, `curve_times` and `curve` of each experiment, and from version 2 of the
        format on `t0`, `y0`, `knots` and `inputs`.
    model : dict
        The field as a formula, the names of its `parameters` and `inputs`, and the `interpolation`. Empty for
        version 1.
    """

    summary: dict[str, Any]
    report: str
    x: np.ndarray
    standard_errors: np.ndarray
    covariance: np.ndarray
    experiments: tuple[dict[str, Any], ...]
    model: Mapping[str, Any] = MappingProxyType({})

    def simulate(
        self,
        times: Any,
        experiment: int | str = 0,
        start: Mapping[str, float] | None = None,
        inputs: Mapping[str, float] | None = None,
    ) -> np.ndarray:
        """Return the states at other times, with the estimated parameters.

        Parameters
        ----------
        times : array of shape (times,)
            The times, from the start of the experiment on.
        experiment : int or str
            Whose start and inputs are taken, by number or by name.
        start : dict of float, optional
            The state at the first of `times`, in place of that of the experiment.
        inputs : dict of float, optional
            Constant inputs, in place of those of the experiment.

        Returns
        -------
        array of shape (times, states)
            The states.

        Raises
        ------
        InputError
            If there is no such experiment, state or input, or a time is before the start.
        SolveError
            If the solution fails.
        """
        return simulated(self, requested(self, times, experiment, start, inputs))

    def bands(
        self,
        times: Any,
        experiment: int | str = 0,
        start: Mapping[str, float] | None = None,
        inputs: Mapping[str, float] | None = None,
        level: float = LEVEL,
    ) -> Bands:
        """Return the states at other times, with their standard errors and bands, as `Estimate.bands` does.

        A `start` that is given counts as known.

        Parameters
        ----------
        times, experiment, start, inputs
            As for `simulate`.
        level : float
            The probability of the bands.

        Returns
        -------
        Bands
            The states, their standard errors, their bands, and those of new measurements.

        Raises
        ------
        InputError, SolveError
            As for `simulate`, and if the level is no probability.
        """
        return banded(self, requested(self, times, experiment, start, inputs), level)


def is_estimate(path: str | os.PathLike) -> bool:
    """Tell whether a path is that of a file of an estimate.

    Parameters
    ----------
    path : str or path
        The path, of anything.

    Returns
    -------
    bool
        Whether it is.
    """
    try:
        return hdf5.read(path, "file", "give one", lambda file, name: hdf5.attribute(file, name, "format"))[0] == FORMAT
    except DatasetError:
        return False


def read_estimate(path: str | os.PathLike) -> SavedEstimate:
    """Read the file of an estimate.

    Parameters
    ----------
    path : str or path
        The file, of `Estimate.save` or `mcgc estimate`.

    Returns
    -------
    SavedEstimate
        What it holds.

    Raises
    ------
    DatasetError
        If it cannot be read, or is no such file.
    """
    return hdf5.read(path, "estimate", "give a file of mcgc estimate", _contents)[0]


def _contents(file: h5py.File, name: str) -> SavedEstimate:
    version = hdf5.attribute(file, name, "version")
    hdf5.check_attributes(file, name, {"format": FORMAT, "version": version if version in READ else VERSION})
    remedy, newer = "give a file of mcgc estimate", version > 1
    texts = hdf5.datasets(file, name, ["summary", "report", *(["model"] if newer else [])], "uint8", remedy)
    said, report, *model = (hdf5.array(one, "uint8").tobytes().decode() for one in texts.values())
    found = json.loads(said)
    named = (*ARRAYS, *MODEL) if newer else ARRAYS
    keys = [f"experiments/{i}/{key}" for i in range(len(found["experiments"])) for key in named]
    held = hdf5.datasets(file, name, ["x", "standard_errors", "covariance", *keys], "float64", remedy)
    arrays = {key: hdf5.array(one, "float64") for key, one in held.items()}
    experiments: list[dict[str, Any]] = [
        {key: arrays[f"experiments/{i}/{key}"] for key in named} for i in range(len(found["experiments"]))
    ]
    for i, one in enumerate(experiments if newer else []):
        one["t0"] = float(hdf5.attribute(file[f"experiments/{i}"], name, "t0"))
    x, errors, covariance = (arrays[key] for key in ("x", "standard_errors", "covariance"))
    held_model = json.loads(model[0]) if model else {}
    return SavedEstimate(found, report, x, errors, covariance, tuple(experiments), held_model)
