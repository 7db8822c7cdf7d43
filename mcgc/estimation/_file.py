"""HDF5 files of estimates."""

import json
from typing import Any

import h5py
import numpy as np

from mcgc._version import __version__

FORMAT, VERSION = "mcgc-estimate", 1


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

    The attribute `format` names the format. The dataset `summary` is the JSON of `summary`, `x`, `standard_errors` and
    `covariance` are arrays in the order of its names, and `experiments/0` and so on have `times`, `values` and
    `fitted`.
    """
    with h5py.File("image", "w", driver="core", backing_store=False, libver="latest") as file:
        file.attrs.update(format=FORMAT, version=VERSION, created_by=f"mcgc {__version__}")
        text = json.dumps(summary(found)).encode()
        file.create_dataset("summary", data=np.frombuffer(text, np.uint8))
        file.create_dataset("x", data=found.x)
        file.create_dataset("standard_errors", data=found.standard_errors)
        file.create_dataset("covariance", data=found.covariance)
        for i, (one, fitted) in enumerate(zip(found.problem.series, found.fitted, strict=True)):
            group = file.create_group(f"experiments/{i}")
            group.attrs["name"] = one.name
            for name, array in (("times", one.times), ("values", one.values), ("fitted", fitted)):
                group.create_dataset(name, data=array)
        file.flush()
        return file.id.get_file_image()
