"""Spoils HDF5 files at random and reads them: python tests/mutations.py run|series|mnist FILE COUNT SEED.

Prints, as JSON, how many spoiled files were refused in one sentence, how many were read and gave the same contents as
before (`unchanged`), or other ones: because HDF5 itself was used to change them (`other`), or in spite of damage
(`unnoticed`). It ends with an error if anything else happens: another exception, more than 10 seconds
for a file, more memory than 512 MiB above the start, or a crash.
"""

import json
import os
import random
import resource
import signal
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from mcgc_datasets import read_mnist, read_series

from mcgc.autodiff.pytree import flatten
from mcgc.errors import InputError
from mcgc.train import run_file

READERS = {
    "run": run_file.load,
    "series": lambda path: read_series(path, "lorenz", 3, 2)[:3],
    "mnist": lambda path: read_mnist(path)[:4],
}


def cut(image, rng):
    """Keep the beginning."""
    return image[: rng.randrange(len(image))]


def flip(image, rng):
    """Flip one to eight bits, half of the time all in the first 4 KiB, where there is more structure."""
    out, end = bytearray(image), rng.choice([len(image), 4096])
    for _ in range(rng.randint(1, 8)):
        out[rng.randrange(min(end, len(out)))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(image, rng):
    """Replace a stretch by zeros, ones or noise."""
    start, length = rng.randrange(len(image)), rng.choice([1, 4, 8, 64, 512])
    filling = rng.choice([bytes(length), b"\xff" * length, rng.randbytes(length)])
    return (image[:start] + filling + image[start + length :])[: len(image)]


def splice(image, rng):
    """Move a stretch to another place."""
    a, b, length = (rng.randrange(len(image)) for _ in range(3))
    return image[:a] + image[b : b + length] + image[a:]


def relay(image, rng):
    """Change what the file holds by HDF5 itself, checksums and all."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "file.h5")
        path.write_bytes(image)
        with h5py.File(path, "a") as file:
            names = []
            file.visit(names.append)
            rng.choice(CHANGES)(file, rng.choice(names), rng)
        return path.read_bytes()


def _replace(file, name, **how):
    del file[name]
    return file.create_dataset(name, **how)


def _link(file, name, link):
    del file[name]
    file[name] = link


def _attribute(file, name, rng):
    if file.attrs:
        key = rng.choice(sorted(file.attrs))
        del file.attrs[key]
        file.attrs[key] = rng.choice([[1] * 1000, "x" * 50000, "{}", "[[", "null", float("nan"), -1, 2**63, "é"])


def _virtual(file, name, rng):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/dev/zero", "x", (4,))
    del file[name]
    file.create_virtual_dataset(name, layout)


CHANGES = (
    lambda file, name, rng: file.__delitem__(name),
    lambda file, name, rng: file.create_dataset(f"{name.partition('/')[0]}-more", data=1.0),
    lambda file, name, rng: file.create_group(f"epochs/{rng.random()}/x/y/z"),
    lambda file, name, rng: _replace(file, name, shape=(2**20, 2**20), dtype="f8", chunks=(1, 2**10)),
    lambda file, name, rng: _replace(file, name, shape=(2**62,), dtype="u1", chunks=(2**20,)),
    lambda file, name, rng: _replace(file, name, shape=(2**28,), dtype="f8", chunks=(2**20,), compression="gzip"),
    lambda file, name, rng: _replace(file, name, data=b"text"),
    lambda file, name, rng: _replace(file, name, data=["text"] * 3, dtype=h5py.string_dtype()),
    lambda file, name, rng: _replace(file, name, data=np.zeros((2, 3), "c16")),
    lambda file, name, rng: _replace(file, name, data=np.zeros(2, [("a", "f4"), ("b", "i8")])),
    lambda file, name, rng: _replace(file, name, data=np.full((2, 4), np.nan)),
    lambda file, name, rng: _replace(file, name, data=h5py.Empty("f8")),
    lambda file, name, rng: _replace(
        file, name, shape=(8,), dtype="f8", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
    ),
    lambda file, name, rng: _link(file, name, h5py.ExternalLink("/dev/zero", "/x")),
    lambda file, name, rng: _link(file, name, h5py.SoftLink("/")),
    lambda file, name, rng: _link(file, name, h5py.SoftLink(f"/{name}")),
    lambda file, name, rng: _link(file, name, np.dtype("f8")),
    lambda file, name, rng: _link(file, name, file),
    _virtual,
    _attribute,
    _attribute,
)
MUTATIONS = (cut, flip, flip, overwrite, splice, relay, relay)


def same(a, b):
    """Tell whether two results hold the same numbers and words."""
    ours, theirs = flatten(_plain(a))[0], flatten(_plain(b))[0]
    return len(ours) == len(theirs) and all(
        np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in zip(ours, theirs, strict=True)
    )


def _plain(value):
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {str(key): _plain(entry) for key, entry in items}
    return np.asarray(value)


def main(kind, source, count, seed):
    """Spoil and read `count` files."""
    read, image, rng = READERS[kind], Path(source).read_bytes(), random.Random(seed)
    whole = read(source)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, used + 2**29))
    counts = dict.fromkeys(("refused", "unchanged", "other", "unnoticed"), 0)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "file.h5")
        for _ in range(count):
            mutation = rng.choice(MUTATIONS)
            path.write_bytes(mutation(image, rng))
            signal.alarm(10)
            try:
                found = read(path)
            except InputError as error:
                if "\n" in str(error) or str(path) not in str(error):
                    raise ValueError("this is not a sentence that names the file") from error
                counts["refused"] += 1
            else:
                kept = "unchanged" if same(found, whole) else "other" if mutation is relay else "unnoticed"
                counts[kept] += 1
            signal.alarm(0)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
