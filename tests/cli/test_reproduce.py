"""`mcgc reproduce`: the studies of two ensembles on small data, and the exact ones at full size."""

import json
import os
import signal
import statistics
import subprocess
import sys

import numpy as np
import pytest
from mcgc_cli import exact
from mcgc_datasets import write_series

from mcgc import runs

COMMAND = (sys.executable, "-m", "mcgc_cli", "reproduce", "figure-6")


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """Give the options of a small figure-6, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    times, states = np.linspace(0.0, 0.5, 4), np.random.default_rng(0).normal(size=(6, 4, 2))
    write_series("data.h5", "lotka-volterra", times, np.ones((6, 2)), states)
    return ["--data", "data.h5", "--rtol", "1e-2", "--atol", "1e-2", "--members", "2", "--out", "there"]


def spread(values):
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values), "min": min(values), "max": max(values)}


def test_the_results_are_the_numbers_of_the_run_files(mcgc, arguments):
    done = mcgc("reproduce", "figure-6", *arguments, "--epochs", 3, "--json")
    assert done.exit_code == 0, done.stderr
    assert sorted(os.listdir("there")) == ["figure-6.png", "figure-6.svg", "results.json", "with.h5", "without.h5"]
    with open("there/results.json", encoding="utf-8") as file:
        results = json.load(file)
    assert results == json.loads(done.stdout)
    changed = {"members": (5, 2), "epochs": (400, 3), "rtol": (1e-7, 1e-2), "atol": (1e-9, 1e-2)}
    assert results["changed"] == {name: {"study": old, "here": new} for name, (old, new) in changed.items()}
    assert results["paper"] == {"train_loss": {"with": [0.005, 0.01], "without": 0.02}}
    for arm, found in results["arms"].items():
        run = runs.load(f"there/{arm}.h5")
        assert run.settings["continuation"] == (arm == "with")
        assert (found["epochs"], found["members"]) == (3, 2)
        for name in ("train_loss", "test_loss"):
            for when, values in (("final", run.epochs[name][-1]), ("best", run.epochs[name].min(axis=0))):
                assert found[when][name].pop("members") == values.tolist()
                assert found[when][name] == pytest.approx(spread(values.tolist()), rel=1e-12)
    assert results["seconds"] == sum(runs.load(f"there/{arm}.h5").epochs["seconds"].sum() for arm in results["arms"])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_study_goes_on_to_the_same_bits_and_pictures(arguments, workers, contents):
    options = [*arguments, "--epochs", "40", "--workers", str(workers)]
    with subprocess.Popen([*COMMAND, *options], stderr=subprocess.PIPE, text=True) as process:
        while "without continuation" not in (line := process.stderr.readline()):
            assert line, "the study ended early"
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert runs.load("there/with.h5").finished
    assert not runs.load("there/without.h5").finished
    again = err.splitlines()[-1].partition("are saved in there/without.h5: mcgc ")[2].removesuffix(" goes on")
    assert again.endswith("--resume")
    before = os.stat("there/with.h5").st_mtime_ns
    done = subprocess.run([*COMMAND[:3], *again.split()], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "there/with.h5 is finished, and taken as it is" in done.stderr
    assert os.stat("there/with.h5").st_mtime_ns == before
    whole = [*COMMAND, *arguments[:-1], "whole", "--epochs", "40", "--quiet"]
    assert subprocess.run(whole, stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    for arm in ("with", "without"):
        assert contents(f"there/{arm}.h5") == contents(f"whole/{arm}.h5")
    for name in ("figure-6.png", "figure-6.svg"):
        with open(f"there/{name}", "rb") as one, open(f"whole/{name}", "rb") as other:
            assert one.read() == other.read()


def test_what_differs_from_the_study_in_the_directory_is_told_before_anything_is_trained(mcgc, arguments):
    assert mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet").exit_code == 0
    refused = mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet")
    assert refused.exit_code == 2
    assert "directory 'there' is not empty: choose another with --out, or go on there with --resume" in refused.stderr
    other = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--seed", 1, "--quiet", "--resume")
    assert other.exit_code == 2
    assert "the seed was 0 and is 1: undo that, or choose another directory with --out" in other.stderr
    assert refused.stderr.count("\n") == other.stderr.count("\n") == 1
    assert runs.load("there/with.h5").epoch == 1
    longer = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--quiet", "--resume")
    assert longer.exit_code == 0
    assert runs.load("there/without.h5").epoch == 2


@pytest.mark.parametrize("name", ["figure-1", "figure-2", "figure-3", "figure-4"])
def test_the_exact_studies_write_their_numbers_and_the_same_picture_each_time(mcgc, name):
    first = mcgc("reproduce", name)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.endswith(f"saved to {name}\n")
    assert sorted(os.listdir(name)) == [f"{name}.png", f"{name}.svg", "results.json"]
    second = mcgc("reproduce", name, "--out", "again", "--json")
    with open(f"{name}/results.json", encoding="utf-8") as file:
        results = json.load(file)
    assert results["results"] == json.loads(second.stdout)["results"]
    assert results["versions"] == runs.versions()
    for ending in ("png", "svg"):
        with open(f"{name}/{name}.{ending}", "rb") as one, open(f"again/{name}.{ending}", "rb") as other:
            assert one.read() == other.read()


def test_the_test_functions_tell_how_often_continuation_reaches_a_minimum(mcgc):
    done = mcgc("reproduce", "test-functions", "--members", 1, "--json")
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert list(results) == ["rastrigin", "styblinski-tang", "levy", "ackley"]
    for found in results.values():
        (end,) = found["paths"]["with"]
        assert found["reached"] == {"with": int(end["distance"] < 1e-3), "without": 0}
        assert end["f"] >= found["minimum"] - 1e-9
    table = exact.as_text({"study": "test-functions", "results": results})
    assert len(table.splitlines()) == 2 + 2 * len(results)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("figure-1 --epochs 3", "--epochs does not apply to figure-1: leave it out"),
        ("figure-4 --data file", "--data does not apply to figure-4: leave it out"),
        ("test-functions --members 0", "--members must be a whole number of at least 1, got 0"),
        ("figure-9", "unknown study 'figure-9': choose one of figure-"),
        ("figure-7 --members 0", "--members must be a whole number of at least 1, got 0"),
        ("figure-7 --data none.h5", "none.h5"),
        ("figure-7 --out file", "directory 'file' cannot be used (File exists)"),
    ],
)
def test_mistakes_are_one_sentence(mcgc, tmp_path, args, sentence):
    (tmp_path / "file").write_text("text")
    done = mcgc("reproduce", *args.split())
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("mcgc: ")
    assert done.stderr.count("\n") == 1
