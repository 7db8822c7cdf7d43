"""The nets of a run on a table with their scaling, as they are written for other programs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc import nets
from mcgc.errors import InputError
from mcgc.tables import RowsColumns
from mcgc.train.run_file import RunFile

FORMAT, VERSION = "mcgc-net", 1


class Exported(NamedTuple):
    """Nets of members that see x as z = (x − mean) / sd, and give net(z) · scale + shift.

    Parameters
    ----------
    model : mapping
        What the nets are, in values that JSON has: the `kind`, the `activation` and `skip`, the names of the `inputs`
        of the net and of its `outputs`, and how text becomes numbers (`categories`).
    layers : list of pairs of arrays
        The weights (members, n_in, n_out) and the biases (members, n_out) of each layer.
    mean, sd : array of shape (inputs,)
        What the inputs are scaled by.
    scale, shift : array of shape (outputs,)
        What makes the outputs those of the data.
    """

    model: Mapping[str, Any]
    layers: list[tuple[np.ndarray, np.ndarray]]
    mean: np.ndarray
    sd: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


def exported(file: RunFile, scaling: Any) -> Exported:
    """Return the nets of a run on a table with its scaling, which is None where nothing was scaled.

    Raises `InputError` if the field is not a net alone.
    """
    model, theta = file.model, file.theta
    if "known" in model:
        raise InputError(
            f"the field of the run has the equations {model['known']['name']!r}, and only nets are exported: predict "
            "with mcgc, or write equations for the other program with the fitted parameters"
        )
    sizes = tuple(model["sizes"])
    layers = [(weights, biases[:, 0]) for weights, biases in nets.unpack(theta, sizes)]
    ones, zeros = (lambda n: np.ones(n, theta.dtype)), (lambda n: np.zeros(n, theta.dtype))
    if model["kind"] == "dynamics":
        states, inputs = model["states"], model["inputs"]
        names = {"inputs": [*states, *inputs], "outputs": [f"d({name})/d({model['time']})" for name in states]}
    else:
        columns = RowsColumns((), tuple(model["features"]), model["categories"])
        classes = [f"p({name})" for name in model["classes"]]
        names = {"inputs": [*columns.encoded], "outputs": classes or list(model["targets"])}
    mean, sd, scale, shift = zeros(sizes[0]), ones(sizes[0]), ones(sizes[-1]), zeros(sizes[-1])
    if scaling is not None and model["kind"] == "dynamics":
        mean, sd = (
            np.concatenate(pair) for pair in ((scaling.mean, scaling.inputs_mean), (scaling.sd, scaling.inputs_sd))
        )
        scale = scaling.sd / scaling.time
    elif scaling is not None:
        mean, sd = scaling.mean, scaling.sd
        if model["kind"] == "regression":
            scale, shift = scaling.targets_sd, scaling.targets_mean
    of_model = {name: model[name] for name in ("kind", "activation", "skip")}
    of_model |= names | {"features": model.get("features", names["inputs"]), "categories": model.get("categories", {})}
    of_model["classes"] = model.get("classes", [])
    return Exported(of_model, layers, mean, sd, scale, shift)
