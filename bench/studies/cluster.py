"""What members on a cluster cost beside their training: time, messages, and the memory of the caller.

    python -m bench.studies.cluster OUTPUT.json [WORKERS]

Two ensembles are trained on a local cluster of processes. The members of the first sleep for a second each, so that
what is added shows even on a busy machine. Those of the second have eight parameters and one epoch, so that all but
messages is trivial. Bytes are those of the loopback device, if nothing else uses it, beside those that the run counts.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from mcgc import ops, train
from mcgc._cluster import client_of
from mcgc.arrays import to_device

SECOND = train.Settings("second", 0.1, -2.0, 0.05, 0.1, epochs=5, batch_size=10, members=32)
TRIVIAL = SECOND._replace(problem="trivial", epochs=1, members=10_000)
DATA = np.linspace(0.0, 1.0, 22)


def problem(settings, sleep):
    """Return a problem whose loss takes `sleep` seconds."""

    def loss(theta, rows):
        time.sleep(sleep)
        return ops.mean(ops.square(ops.sum(theta) - rows)), None

    return train.Problem(
        settings.problem,
        "the mean of numbers, slowly",
        settings,
        examples=lambda data, dtype, device: to_device(data, device, dtype),
        init=lambda key, dtype, device: to_device(np.full(8, key.bits % 7), device, dtype),
        objective=lambda settings: loss,
    )


def measure(client, settings, sleep, workers):
    """Train an ensemble, and return what it took."""
    with tempfile.TemporaryDirectory() as directory:
        strategy, before = train.Cluster(client), psutil.net_io_counters(pernic=True)["lo"].bytes_sent
        began, busy = time.perf_counter(), time.process_time()
        task = train.bind(settings, DATA, problem=problem(settings, sleep))
        with train.Run.create(Path(directory) / "run.h5", task) as run:
            for _ in run.epochs(strategy):
                pass
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        spent = sum(sum(record.member_seconds) for record in run.records)
        wire = psutil.net_io_counters(pernic=True)["lo"].bytes_sent - before
        size = (Path(directory) / "run.h5").stat().st_size
    return {
        "members": settings.members,
        "epochs": settings.epochs,
        "workers": workers,
        "seconds": round(seconds, 2),
        "member_seconds": round(spent / settings.members, 4),
        "ratio_to_ideal": round(seconds * workers / spent, 3),
        "members_a_second": round(settings.members / seconds, 1),
        "caller_cpu_seconds": round(busy, 2),
        "bytes_on_the_wire": wire,
        "run_file_bytes": size,
        "caller_peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "traffic": strategy.traffic._asdict(),
    }


if __name__ == "__main__":
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    found = {}
    with client_of(f"local:{workers}") as client:
        client.wait_for_workers(workers)
        for name, settings, sleep in (
            ("a second each, on new workers", SECOND, 0.05),  # 20 times: two steps and two scores in each epoch
            ("a second each", SECOND, 0.0501),
            ("trivial", TRIVIAL, 0.0),
        ):
            found[name] = measure(client, settings, sleep, workers)
            print(name, json.dumps(found[name], indent=1), flush=True)
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n")
