"""HDF5 files of estimates."""

import io
import json
import os
from typing import Any, NamedTuple

import h5py
import numpy as np

from mcgc import hdf5
from mcgc._version import __version__
from mcgc.errors import DatasetError

FORMAT, VERSION = "mcgc-estimate", 1
ARRAYS = ("times", "values", "fitted", "curve_times", "curve")  # of an experiment
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
    `times`, `values` and `fitted`, and a smooth curve: `curve_times` and `curve`.
    """
    curves = found.problem.curves(found.parameters, POINTS)
    image = io.BytesIO()  # HDF5's own images have a wrong checksum before its version 2
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        file.attrs.update(format=FORMAT, version=VERSION, created_by=f"mcgc {__version__}")
        for name, text in (("summary", json.dumps(summary(found))), ("report", found.report())):
            file.create_dataset(name, data=np.frombuffer(text.encode(), np.uint8))
        for name in ("x", "standard_errors", "covariance"):
            file.create_dataset(name, data=found[name])
        for i, (one, fitted, curve) in enumerate(zip(found.problem.series, found.fitted, curves, strict=True)):
            group = file.create_group(f"experiments/{i}")
            group.attrs["name"] = one.name
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
        The arrays `times`, `values`, `fitted`, `curve_times` and `curve` of each experiment.
    """

    summary: dict[str, Any]
    report: str
    x: np.ndarray
    standard_errors: np.ndarray
    covariance: np.ndarray
    experiments: tuple[dict[str, np.ndarray], ...]


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
    hdf5.check_attributes(file, name, {"format": FORMAT, "version": VERSION})
    remedy = "give a file of mcgc estimate"
    texts = hdf5.datasets(file, name, ["summary", "report"], "uint8", remedy)
    said, report = (hdf5.array(one, "uint8").tobytes().decode() for one in texts.values())
    found = json.loads(said)
    keys = [f"experiments/{i}/{key}" for i in range(len(found["experiments"])) for key in ARRAYS]
    held = hdf5.datasets(file, name, ["x", "standard_errors", "covariance", *keys], "float64", remedy)
    arrays = {key: hdf5.array(one, "float64") for key, one in held.items()}
    experiments = [{key: arrays[f"experiments/{i}/{key}"] for key in ARRAYS} for i in range(len(found["experiments"]))]
    return SavedEstimate(
        found, report, arrays["x"], arrays["standard_errors"], arrays["covariance"], tuple(experiments)
    )
