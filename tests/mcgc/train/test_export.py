"""Exported nets give what the run predicts: ONNX in onnxruntime, and arrays in NumPy alone."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from reactor import reactor
from scipy.integrate import solve_ivp
from scipy.special import erf

import mcgc
from mcgc.errors import OutputError
from mcgc.nets import ACTIVATIONS

RNG = np.random.default_rng(0)
ROWS = {
    "size": 3 + 2 * RNG.normal(size=60),
    "colour": RNG.choice(["red", "blue", "green"], 60),
    "age": RNG.normal(size=60),
    "shape": RNG.choice(["ball", "cube"], 60),
}
ROWS["price"] = 100 + 30 * ROWS["size"] * ROWS["age"] + 20 * (ROWS["colour"] == "red")
ROWS["kind"] = np.where(ROWS["price"] > 130, "dear", np.where(ROWS["age"] > 0, "fair", "cheap"))
FEATURES = "size,colour,age,shape"
SMALL = {"hidden": "6,6", "epochs": 3, "members": 2}
NUMPY = {  # written by hand, beside mcgc.nets.ACTIVATIONS
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
}


def of_rows(task, **how):
    target = "price" if task == "regression" else "kind"
    return mcgc.fit(ROWS, task, target=target, features=FEATURES, **SMALL | how)


def of_series(**how):
    data = reactor(runs=6, seed=3)
    names = {"group": "run", "states": "A,B", "inputs": "feed"}
    return mcgc.fit(data, "dynamics", **names, **SMALL | {"horizons": "1"} | how)


def run_onnx(fitted, path, **feeds):
    fitted.to_onnx(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert {each.name for each in session.get_inputs()} == {*feeds}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def feeds_of(dtype="float32"):
    columns = {f"x({name})": ROWS[name].astype(object)[:, None] for name in ("colour", "shape")}
    return {"x": np.stack([ROWS["size"], ROWS["age"]], axis=1).astype(dtype), **columns}


def forward(path, x):
    """Return what each member gives, (members, rows, outputs), from the file alone."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(str(file["about"]))
        h, layers = (x - file["mean"]) / file["sd"], sum(name.startswith("W") for name in file)
        for i in range(layers):
            z = h @ file[f"W{i}"] + file[f"b{i}"][:, None]
            if i == layers - 1:
                return about, z * file["scale"] + file["shift"]
            z = NUMPY[about["activation"]](z)
            h = h + z if about["skip"] and z.shape[-1] == h.shape[-1] else z


def encoded():
    """Return the numbers that the rows become."""
    one_hot = lambda name: [(ROWS[name] == each) * 1.0 for each in sorted({*ROWS[name]})]
    return np.stack([ROWS["size"], *one_hot("colour"), ROWS["age"], *one_hot("shape")], axis=1)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_graph_and_the_arrays_of_a_regression_give_its_predictions(activation, skip, tmp_path):
    fitted = of_rows("regression", activation=activation, skip=skip)
    expected = fitted.predict(ROWS)["price"]
    found = run_onnx(fitted, tmp_path / "n.onnx", **feeds_of())
    assert {name: values.dtype for name, values in found.items()} == {"members": np.float32, "y": np.float32}
    np.testing.assert_allclose(found["y"][:, 0], expected, rtol=2e-5)
    assert found["members"].shape == (2, 60, 1)
    assert np.abs(np.diff(found["members"], axis=0)).max() > 0.01
    fitted.to_npz(tmp_path / "n.npz")
    about, members = forward(tmp_path / "n.npz", encoded())
    np.testing.assert_allclose(members.mean(axis=0)[:, 0], expected, rtol=2e-5)
    np.testing.assert_allclose(members, found["members"], rtol=2e-5)
    assert (about["format"], about["version"], about["outputs"]) == ("mcgc-net", 1, ["price"])
    assert about["inputs"][:3] == ["size", "colour=blue", "colour=green"]


def test_the_first_hidden_layer_may_skip_too(tmp_path):
    fitted = of_rows("regression", skip=True, hidden="7,7")
    found = run_onnx(fitted, tmp_path / "n.onnx", **feeds_of())
    np.testing.assert_allclose(found["y"][:, 0], fitted.predict(ROWS)["price"], rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("activation", sorted({*ACTIVATIONS} - {"gelu"}))  # of which onnxruntime has no erf
def test_a_run_in_float64_is_a_graph_in_float64(activation, tmp_path):
    fitted = of_rows("regression", dtype="float64", activation=activation)
    found = run_onnx(fitted, tmp_path / "n.onnx", **feeds_of("float64"))
    np.testing.assert_allclose(found["y"][:, 0], fitted.predict(ROWS)["price"], rtol=1e-12)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_graph_and_the_arrays_of_a_classification_give_its_probabilities(standardize, tmp_path):
    fitted = of_rows("classification", standardize=standardize)
    expected = fitted.predict(ROWS)
    chances = np.stack([expected[f"p({name})"] for name in ("cheap", "dear", "fair")], axis=1)
    found = run_onnx(fitted, tmp_path / "n.onnx", **feeds_of())
    np.testing.assert_allclose(found["probabilities"], chances, atol=1e-6)
    classes = np.asarray(fitted.model["classes"])
    assert classes[found["class"]].tolist() == expected["kind"].tolist()
    fitted.to_npz(tmp_path / "n.npz")
    about, members = forward(tmp_path / "n.npz", encoded())
    raised = np.exp(members)
    np.testing.assert_allclose((raised / raised.sum(axis=-1, keepdims=True)).mean(axis=0), chances, atol=1e-6)
    assert about["classes"] == ["cheap", "dear", "fair"]


def test_scipys_solutions_of_an_exported_field_are_the_simulation(tmp_path):
    fitted = of_series()
    fitted.to_onnx(tmp_path / "f.onnx")
    fitted.to_npz(tmp_path / "f.npz")
    session = onnxruntime.InferenceSession(str(tmp_path / "f.onnx"), providers=["CPUExecutionProvider"])
    expected = fitted.simulate({"A": 0.4, "B": 0.7}, {"feed": 1.2}, until=2.0, every=0.5)
    row = lambda y: np.asarray([[*y, 1.2]])
    fields = {
        "onnx": lambda y: session.run(["members"], {"x": row(y).astype("float32")})[0],
        "npz": lambda y: forward(tmp_path / "f.npz", row(y))[1],
    }
    for field in fields.values():
        rate = lambda t, y, member, field=field: field(y)[member, 0]
        how = {"t_eval": expected["time"], "rtol": 1e-5}
        courses = [solve_ivp(rate, (0, 2), [0.4, 0.7], args=(member,), **how).y for member in range(2)]
        mean = np.mean(courses, axis=0)
        np.testing.assert_allclose(mean, [expected["A"], expected["B"]], rtol=2e-3, atol=2e-3)
    about, _ = forward(tmp_path / "f.npz", row([0.4, 0.7]))
    assert (about["inputs"], about["outputs"]) == (["A", "B", "feed"], ["d(A)/d(time)", "d(B)/d(time)"])


def test_a_graph_is_sound_and_says_what_it_is(tmp_path):
    of_rows("classification").to_onnx(tmp_path / "n.onnx")
    model = onnx.load(tmp_path / "n.onnx")
    onnx.checker.check_model(model, full_check=True)
    (about,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "about")
    assert about["features"] == FEATURES.split(",")
    assert about["categories"]["shape"] == ["ball", "cube"]
    assert model.opset_import[0].version == 17


def test_a_loaded_run_exports_the_same_bytes_and_a_file_is_not_replaced_unasked(tmp_path):
    fitted = of_rows("regression")
    fitted.save(tmp_path / "r.h5")
    for name in ("to_onnx", "to_npz"):
        paths = [tmp_path / f"{name}{i}" for i in (0, 1)]
        for one, path in zip((fitted, mcgc.load(tmp_path / "r.h5")), paths, strict=True):
            getattr(one, name)(path)
        assert paths[0].read_bytes() == paths[1].read_bytes()
        with pytest.raises(OutputError, match="exists"):
            getattr(fitted, name)(paths[0])
        getattr(fitted, name)(paths[0], overwrite=True)


def test_without_onnx_the_sentence_names_the_extra_and_the_other_format(tmp_path):
    of_rows("regression").save(tmp_path / "r.h5")
    code = f"""
import sys
sys.modules["onnx"] = None
import mcgc
try:
    mcgc.load({str(tmp_path / "r.h5")!r}).to_onnx("never.onnx")
except mcgc.errors.InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "an ONNX file needs onnx: install mcgc[export], or export to npz", done.stderr
