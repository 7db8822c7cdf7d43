"""`mcgc estimate --dask`: the numbers of one machine, and what went over the wire."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

MODEL = "def decay(t, y, p):\n    return [-p['rate'] * y[0]]\n"
COMMAND = [sys.executable, "-m", "mcgc_cli", "estimate", "own.py:decay", "own.csv", "--parameters", "rate=3:0.01:10"]


@pytest.fixture
def estimate(tmp_path):
    (tmp_path / "own.py").write_text(MODEL)
    rng = np.random.default_rng(0)
    rows = [f"{t},{2 * np.exp(-0.5 * t) + 0.01 * rng.normal()}" for t in np.linspace(0, 4, 15)]
    (tmp_path / "own.csv").write_text("\n".join(["time,y", *rows]) + "\n")
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return lambda *args: subprocess.run(
        [*COMMAND, *args], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )


def test_the_result_is_that_of_one_machine(estimate):
    how = ["--method", "continuation", "--json"]
    here, there = estimate(*how), estimate(*how, "--dask", "local:1", "--timeout", "60", "--repeat", "50")
    assert (here.stderr, there.stderr) == ("", "")
    found = json.loads(there.stdout)
    traffic = found.pop("cluster")
    assert found == json.loads(here.stdout)
    assert (traffic["workers"], traffic["lost"], traffic["repeated"]) == (1, 0, 0)
    assert traffic["calls"] > 10


def test_limits_without_a_cluster_and_other_addresses_are_refused(estimate):
    done = estimate("--timeout", "5")
    assert (done.returncode, done.stderr) == (2, "mcgc: --timeout and --repeat are for a cluster: give --dask\n")
    done = estimate("--dask", "here")
    assert done.returncode == 2
    assert done.stderr.startswith("mcgc: the address of a Dask cluster is ")
