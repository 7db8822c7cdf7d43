"""`mcgc reproduce`: the studies of two ensembles on small data, and the studies without training at full size."""

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from mcgc_cli import figures
from mcgc_cli.options import device_of
from mcgc_datasets import mnist_bytes, write_series
from running import running

from mcgc import arrays, devices
from mcgc.paper.ensembles import GROUPS
from mcgc.train import problems, run_file

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
    for group, found in results["arms"].items():
        run = run_file.load(f"there/{group}.h5")
        assert run.settings["continuation"] == (group == "with")
        assert (found["epochs"], found["members"]) == (3, 2)
        for name in ("train_loss", "test_loss"):
            for when, values in (("final", run.epochs[name][-1]), ("best", run.epochs[name].min(axis=0))):
                assert found[when][name].pop("members") == values.tolist()
                assert found[when][name] == pytest.approx(spread(values.tolist()), rel=1e-12)
    assert results["seconds"] == sum(
        run_file.load(f"there/{group}.h5").epochs["seconds"].sum() for group in results["arms"]
    )


def test_a_resumed_study_has_the_same_bits_and_pictures(arguments, contents):
    options = [*arguments, "--epochs", "40", "--workers", "2"]
    with running([*COMMAND, *options], "without continuation") as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert run_file.load("there/with.h5").finished
    assert not run_file.load("there/without.h5").finished
    again = err.splitlines()[-1].partition("are saved in there/without.h5: continue with mcgc ")[2]
    assert again.endswith("--resume")
    before = os.stat("there/with.h5").st_mtime_ns
    done = subprocess.run([*COMMAND[:3], *again.split()], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "there/with.h5 is finished and not trained again" in done.stderr
    assert os.stat("there/with.h5").st_mtime_ns == before
    whole = [*COMMAND, *arguments[:-1], "whole", "--epochs", "40", "--quiet"]
    assert subprocess.run(whole, stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    for group in ("with", "without"):
        assert contents(f"there/{group}.h5") == contents(f"whole/{group}.h5")
    for name in ("figure-6.png", "figure-6.svg"):
        with open(f"there/{name}", "rb") as one, open(f"whole/{name}", "rb") as other:
            assert one.read() == other.read()


def test_an_arm_interrupted_before_its_first_epoch_says_so(mcgc, fake_fit):
    fake_fit.fail = {0: KeyboardInterrupt()}
    done = mcgc("reproduce", "figure-7", "--epochs", 2, "--quiet", "--out", "a b")
    assert done.exit_code == 130
    again = "mcgc reproduce figure-7 --epochs 2 --out 'a b' --quiet --resume"
    assert done.stderr == f"mcgc: interrupted, nothing was saved of this group: start it again with {again}\n"
    fake_fit.fail = {1: KeyboardInterrupt()}
    done = mcgc("reproduce", "figure-7", "--epochs", 2, "--quiet", "--out", "a b", "--resume")
    assert done.stderr == f"mcgc: interrupted, the epochs so far are saved in a b/with.h5: continue with {again}\n"


def test_progress_counts_the_epochs_of_both_arms(mcgc, fake_fit):
    done = mcgc("reproduce", "figure-7", "--epochs", 2)
    assert done.exit_code == 0
    shown = [line.partition(", train")[0] for line in done.stderr.splitlines() if line.startswith("epoch")]
    runs_and_epochs = [("with", 1), ("with", 2), ("without", 3), ("without", 4)]
    assert shown == [f"epoch {epoch} of 4: {group} continuation" for group, epoch in runs_and_epochs]
    assert [settings.members for settings in fake_fit.calls] == [5, 5]


def test_the_table_has_the_accuracy_beside_that_of_the_paper(mcgc, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (100, 28, 28), np.uint8), np.arange(100, dtype=np.uint8) % 10
    (tmp_path / "digits.h5").write_bytes(mnist_bytes(images, labels, images[:0], labels[:0]))
    done = mcgc("reproduce", "figure-5", "--data", "digits.h5", "--epochs", 1, "--members", 1, "--quiet")
    assert done.exit_code == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if "92.00%" in line]
    fraction = run_file.load("figure-5/with.h5").epochs["test_accuracy"][-1, 0]
    assert row.split() == [
        "with",
        "test",
        "accuracy",
        "final",
        f"{fraction:.2%}",
        "-",
        *[f"{fraction:.2%}"] * 2,
        "92.00%",
    ]


def test_a_changed_study_is_refused_before_anything_is_trained(mcgc, arguments):
    assert mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet").exit_code == 0
    refused = mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet")
    assert refused.exit_code == 2
    assert (
        "directory 'there' is not empty: choose another with --out, or continue its study with --resume"
        in refused.stderr
    )
    other = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--seed", 1, "--quiet", "--resume")
    assert other.exit_code == 2
    assert "the seed was 0 and is 1: undo the changes, or choose another directory with --out" in other.stderr
    assert refused.stderr.count("\n") == other.stderr.count("\n") == 1
    assert run_file.load("there/with.h5").epoch == 1
    longer = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--quiet", "--resume")
    assert longer.exit_code == 0
    assert run_file.load("there/without.h5").epoch == 2


def test_an_arm_that_cannot_be_resumed_is_refused_before_the_other_is_trained(mcgc, arguments):
    assert mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet").exit_code == 0
    with h5py.File("there/without.h5", "a") as file:
        del file["states/last/order/bits"]
    refused = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--quiet", "--resume")
    assert refused.exit_code == 2
    assert "it is damaged, or of another run" in refused.stderr
    assert run_file.load("there/with.h5").epoch == 1


def test_finished_arms_are_drawn_with_other_versions_and_their_files_do_not_change(mcgc, arguments, monkeypatch):
    assert mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet").exit_code == 0
    before = run_file.versions()
    monkeypatch.setattr(run_file, "versions", lambda: {**before, "numpy": "9.9"})
    done = mcgc("reproduce", "figure-6", *arguments, "--epochs", 1, "--quiet", "--resume", "--json")
    assert done.exit_code == 0, done.stderr
    assert {group: it["versions"] for group, it in json.loads(done.stdout)["arms"].items()} == dict.fromkeys(
        GROUPS, before
    )
    longer = mcgc("reproduce", "figure-6", *arguments, "--epochs", 2, "--quiet", "--resume")
    assert longer.exit_code == 2
    assert f"the version of numpy was {before['numpy']} and is 9.9" in longer.stderr


def test_a_directory_of_another_study_is_refused_and_not_changed(mcgc, fake_fit):
    mcgc("reproduce", "figure-7", "--epochs", 1, "--out", "seven", "--quiet")
    fake_fit.fail = {1: KeyboardInterrupt()}
    mcgc("reproduce", "figure-7", "--epochs", 2, "--out", "stopped", "--quiet")
    mcgc("reproduce", "figure-1", "--out", "one")
    os.mkdir("foreign")
    with open("foreign/results.json", "w", encoding="utf-8") as file:
        file.write("[1, 2]")
    for name, place, theirs in (
        ("figure-1", "seven", "results.json"),
        ("figure-1", "stopped", "with.h5"),
        ("figure-2", "one", "results.json"),
        ("figure-7", "one", "results.json"),
        ("figure-6", "seven", "results.json"),
        ("figure-1", "foreign", "results.json"),
    ):
        files = {file.name: file.read_bytes() for file in Path(place).iterdir()}
        done = mcgc("reproduce", name, "--out", place, "--resume", "--quiet")
        assert done.exit_code == 2
        assert (
            f"directory '{place}' has {theirs} of another study than {name}: choose another with --out" in done.stderr
        )
        assert {file.name: file.read_bytes() for file in Path(place).iterdir()} == files
    assert mcgc("reproduce", "figure-1", "--out", "one", "--resume").exit_code == 0


@pytest.mark.parametrize(
    "args", ["figure-7 --epochs 0", "figure-6 --rtol -1", "figure-1 --seed 3", "figure-1 --workers 1"]
)
def test_a_mistake_in_the_options_leaves_no_directory(mcgc, args):
    assert mcgc("reproduce", *args.split()).exit_code == 2
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["figure-1", "figure-2", "figure-3", "figure-4"])
def test_studies_without_training_write_their_numbers_and_their_picture(mcgc, name):
    done = mcgc("reproduce", name)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.endswith(f"saved to {name}\n")
    assert sorted(os.listdir(name)) == [f"{name}.png", f"{name}.svg", "results.json"]
    with open(f"{name}/results.json", encoding="utf-8") as file:
        results = json.load(file)
    assert results["versions"] == run_file.versions()
    table = figures.as_text(results)
    assert done.stdout.startswith(table)


@pytest.mark.parametrize("name", ["figure-1", "figure-3"])
def test_the_same_study_gives_the_same_numbers_and_pictures(mcgc, name):
    first, second = (mcgc("reproduce", name, "--out", place, "--json") for place in ("one", "other"))
    assert json.loads(first.stdout)["results"] == json.loads(second.stdout)["results"]
    for ending in ("png", "svg"):
        with open(f"one/{name}.{ending}", "rb") as one, open(f"other/{name}.{ending}", "rb") as other:
            assert one.read() == other.read()


def test_the_test_functions_count_how_often_continuation_reaches_a_minimum(mcgc):
    done = mcgc("reproduce", "test-functions", "--members", 1, "--json")
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert list(results) == ["rastrigin", "styblinski-tang", "levy", "ackley"]
    for found in results.values():
        (end,) = found["paths"]["with"]
        assert found["reached"] == {"with": int(end["distance"] < 1e-3), "without": 0}
        assert end["f"] >= found["minimum"] - 1e-9
    table = figures.as_text({"study": "test-functions", "results": results})
    assert len(table.splitlines()) == 2 + 2 * len(results)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ("figure-1 --epochs 3", "--epochs does not apply to figure-1: leave it out"),
        ("figure-1 --workers 3", "--workers does not apply to figure-1: leave it out"),
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


def test_the_device_of_a_study_is_the_one_that_is_given(mcgc, fake_fit, monkeypatch):
    asked = []

    def select(name, *run):
        asked.append((name, run[0].name, run[1]))
        return arrays.HOST, "there"

    monkeypatch.setattr(devices, "select_device", select)
    assert mcgc("reproduce", "figure-7", "--epochs", 1, "--device", "cuda:1", "-o", "a").exit_code == 0
    assert mcgc("reproduce", "figure-7", "--epochs", 1, "--members", 3, "-o", "b").exit_code == 0
    assert device_of("auto", 2, problems.get("mnist"), 10)[0] is arrays.HOST
    assert asked == [("cuda:1", "lorenz", 5), ("auto", "lorenz", 3), ("cpu", "mnist", 10)]


def test_a_study_without_training_has_no_device(mcgc):
    done = mcgc("reproduce", "figure-1", "--device", "cpu")
    assert (done.exit_code, done.stderr) == (2, "mcgc: --device does not apply to figure-1: leave it out\n")


def test_worker_processes_use_the_cpu(mcgc, monkeypatch):
    monkeypatch.setattr(devices, "select_device", lambda name, *run: (arrays.HOST._replace(name=name), "there"))
    done = mcgc("reproduce", "figure-7", "--device", "cuda:0", "--workers", 2)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "--workers 2 needs the CPU, not cuda:0: add --device cpu" in done.stderr
