"""What a run on a table writes for other programs: its nets as arrays of NumPy, or as an ONNX graph."""

import io
import json
import os
from typing import Any

import numpy as np

from mcgc import files
from mcgc.train._exported import FORMAT, VERSION, exported
from mcgc.train.run_file import RunFile


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
        InputError
            If the field has equations.
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
            If the package onnx is not installed, or the field has equations.
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
