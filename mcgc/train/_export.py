"""The nets of a run on a table, for other programs: as arrays of NumPy, or as an ONNX graph."""

import io
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mcgc import files, nets
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
    """Return the nets of a run on a table with its scaling, which is None where nothing was scaled."""
    model, theta = file.model, file.theta
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


class Exports:
    """What a `Fitted` writes for other programs."""

    file: RunFile
    _scaling: Any

    def to_npz(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the nets as arrays, which NumPy reads alone.

        The file has `W0`, `b0`, `W1`, … with the members in front, (members, n_in, n_out) and (members, n_out); `mean`
        and `sd` of the inputs, `scale` and `shift` of the outputs; and `about`, JSON that says what they are. A member
        computes h₀ = (x − mean) / sd, hₗ₊₁ = a(hₗ Wₗ + bₗ), without a in the last layer, and then h · scale + shift.
        With `skip`, hidden layers that keep the width add their input. A classification is the mean over the members of
        the softmax of that, and a regression its mean. For dynamics it is the rate of the states, and a prediction is
        the mean of the courses of the members.

        Parameters
        ----------
        path : str or path
            The file.
        overwrite : bool
            Whether to replace it.

        Raises
        ------
        OutputError
            If it cannot be written.

        Examples
        --------
        >>> import numpy as np
        >>> import mcgc
        >>> table = {"x": list(range(40)), "y": list(range(40))}
        >>> mcgc.fit(table, "regression", target="y", epochs=2, hidden="8").to_npz("nets.npz")
        >>> [*np.load("nets.npz")][:5]
        ['about', 'mean', 'sd', 'scale', 'shift']
        """
        found = exported(self.file, self._scaling)
        about = json.dumps({"format": FORMAT, "version": VERSION, **found.model})
        arrays = {
            "about": np.asarray(about),
            **{name: getattr(found, name) for name in ("mean", "sd", "scale", "shift")},
        }
        for i, (weights, biases) in enumerate(found.layers):
            arrays |= {f"W{i}": weights, f"b{i}": biases}
        image = io.BytesIO()
        np.savez(image, **arrays)
        files.write(path, image.getvalue(), overwrite)

    def to_onnx(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the nets as an ONNX graph of the dtype of the run, with their scaling. The extra `export` is needed.

        The input `x`, (rows, columns), has the columns that are numbers, in the order of the run. Each column of text
        is an input of its own, (rows, 1), such as `x(colour)`. The output `members` has what each member gives:
        (members, rows, outputs). For a regression `y`, (rows, targets), is its mean. For a classification `members` has
        probabilities, `probabilities` their mean, and `class` the number of the largest. For dynamics `x` has the
        states and then the inputs, and `members` the rates d state/dt of each member at these states; a prediction is
        the mean of the courses of the members, so there is no mean of rates. The metadata `about` is JSON with all
        names. onnxruntime runs all activations in float32, and all but gelu in float64.

        Parameters
        ----------
        path : str or path
            The file.
        overwrite : bool
            Whether to replace it.

        Raises
        ------
        InputError
            If the package onnx is not installed.
        OutputError
            If the file cannot be written.

        Examples
        --------
        >>> import mcgc
        >>> table = {"x": list(range(40)), "y": list(range(40))}
        >>> mcgc.fit(table, "regression", target="y", epochs=2, hidden="8").to_onnx("nets.onnx")
        """
        from mcgc.train._onnx import graph

        files.write(path, graph(exported(self.file, self._scaling)), overwrite)
