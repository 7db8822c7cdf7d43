"""An ONNX graph of exported nets."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mcgc import __version__
from mcgc.errors import InputError
from mcgc.train._exported import FORMAT, VERSION, Exported

OPSET, OPSET_ML, IR = 17, 3, 8  # of 2022, which runtimes of all kinds know


class _Graph:
    """Nodes and constants of a graph in the making. A method adds a node and returns the name of its result."""

    def __init__(self, onnx: Any) -> None:
        self.onnx, self.nodes, self.constants = onnx, [], []  # type: Any, list[Any], list[Any]

    def constant(self, values: Any) -> str:
        """Add an array."""
        name = f"c{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def __call__(self, operation: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node."""
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [name], **attributes))
        return name


def graph(found: Exported) -> bytes:
    """Return the file of a graph (`Fitted.to_onnx`). Raises `InputError` if onnx is not installed."""
    try:
        import onnx
    except ImportError:
        raise InputError("an ONNX file needs onnx: install mcgc[export], or export to npz") from None
    model, add = found.model, _Graph(onnx)
    helper, dtype = onnx.helper, found.mean.dtype
    kind_of = {"float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}[str(dtype)]
    inputs, x = _inputs(add, model, helper, kind_of, onnx.TensorProto.STRING)
    h = add("Div", add("Sub", x, add.constant(found.mean)), add.constant(found.sd))
    *hidden, last = found.layers
    activation = _activations(add, dtype)[model["activation"]]
    for weights, biases in hidden:
        out = activation(_affine(add, h, weights, biases))
        h = add("Add", h, out) if model["skip"] and weights.shape[1] == weights.shape[2] else out
    y = _affine(add, h, *last)
    rows, count, members = "rows", len(model["outputs"]), len(last[0])
    tensor = helper.make_tensor_value_info
    outputs = [tensor("members", kind_of, [members, rows, count])]
    if model["kind"] == "classification":
        add("Softmax", y, axis=-1, output="members")
        add("ReduceMean", "members", axes=[0], keepdims=0, output="probabilities")
        add("ArgMax", "probabilities", axis=-1, keepdims=0, output="class")
        outputs += [tensor("probabilities", kind_of, [rows, count])]
        outputs += [tensor("class", onnx.TensorProto.INT64, [rows])]
    else:
        add("Add", add("Mul", y, add.constant(found.scale)), add.constant(found.shift), output="members")
        if model["kind"] == "regression":
            add("ReduceMean", "members", axes=[0], keepdims=0, output="y")
            outputs += [tensor("y", kind_of, [rows, count])]
    whole = helper.make_graph(add.nodes, "mcgc", inputs, outputs, add.constants)
    versions = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", OPSET_ML)]
    of_text = bool(model["categories"])
    made = helper.make_model(
        whole, opset_imports=versions[: 1 + of_text], ir_version=IR, producer_name="mcgc", producer_version=__version__
    )
    helper.set_model_props(made, {"about": json.dumps({"format": FORMAT, "version": VERSION, **model})})
    onnx.checker.check_model(made)
    return bytes(made.SerializeToString())


def _inputs(add: _Graph, model: Any, helper: Any, kind_of: int, text: int) -> tuple[list[Any], str]:
    """Return the inputs of the graph, and the name of all numbers that the nets see, in the order of the nets."""
    numbers = [name for name in model["features"] if name not in model["categories"]]
    inputs, parts, order = [], [], []
    encoded = model["inputs"]
    if numbers:
        inputs.append(helper.make_tensor_value_info("x", kind_of, ["rows", len(numbers)]))
        parts.append("x")
        order += [encoded.index(name) for name in numbers]
    for name in model["features"]:
        if name in model["categories"]:
            known = model["categories"][name]
            inputs.append(helper.make_tensor_value_info(f"x({name})", text, ["rows", 1]))
            hot = add("OneHotEncoder", f"x({name})", domain="ai.onnx.ml", cats_strings=known, zeros=0)
            shape = add.constant(np.asarray([-1, len(known)], np.int64))
            parts.append(add("Cast", add("Reshape", hot, shape), to=kind_of))
            order += [encoded.index(f"{name}={each}") for each in known]
    x = parts[0] if len(parts) == 1 else add("Concat", *parts, axis=1)
    if order != sorted(order):
        x = add("Gather", x, add.constant(np.argsort(order)), axis=1)
    return inputs, x


def _affine(add: _Graph, h: str, weights: np.ndarray, biases: np.ndarray) -> str:
    """Add h W + b for all members: (members, rows, n_out)."""
    return add("Add", add("MatMul", h, add.constant(weights)), add.constant(biases[:, None]))


def _activations(add: _Graph, dtype: Any) -> dict[str, Callable[[str], str]]:
    """Return the activations of `mcgc.nets.ACTIVATIONS`."""
    number = lambda value: add.constant(np.asarray(value, dtype))

    def gelu(x: str) -> str:
        risen = add("Add", add("Erf", add("Mul", x, number(math.sqrt(0.5)))), number(1))
        return add("Mul", add("Mul", x, risen), number(0.5))

    def softplus(x: str) -> str:  # as runtimes have the operation of this name in float32 alone
        small = add("Log", add("Add", add("Exp", add("Neg", add("Abs", x))), number(1)))
        return add("Add", add("Relu", x), small)

    def silu(x: str) -> str:  # x sigmoid(x) is what onnxruntime 1.22 fuses to an operation that float64 lacks
        return add("Div", x, add("Add", add("Exp", add("Neg", x)), number(1)))

    plain: Sequence[str] = ("Relu", "Tanh", "Sigmoid")
    found: dict[str, Callable[[str], str]] = {
        name.lower(): lambda x, name=name: add(name, x)  # type: ignore[misc]
        for name in plain
    }
    return found | {"silu": silu, "gelu": gelu, "softplus": softplus}
