"""MNIST from its mirrors, taken only if it is, byte for byte, what was published."""

import hashlib
import io
import time
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from mcgc import hdf5
from mcgc.errors import DatasetError
from mcgc_datasets import idx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
DIGESTS = {  # SHA-256 of the unpacked files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SILENCE = 5.0  # seconds without an answer, or without the next bytes of it, after which a mirror is given up
PATIENCE = 300.0  # seconds that one file may take


def fetch(
    mirrors: Sequence[str] = MIRRORS, digests: Mapping[str, str] = DIGESTS, silence: float = SILENCE
) -> idx.MnistArrays:
    """Return the arrays of MNIST: images and labels to train on, and to test on.

    The mirrors are asked in turn for the files named in `digests` and not yet had, each with .gz appended.

    Raises `DatasetError`, with what was wrong with each mirror and the ways to do without, if a file is missing then.
    """
    from http.client import HTTPException

    contents: dict[str, bytes] = {}
    reasons = []
    for mirror in mirrors:
        try:
            for name, digest in digests.items():
                if name not in contents:
                    contents[name] = _get(f"{mirror}{name}.gz", f"{name}.gz", digest, silence)
            return idx.arrays_of(contents[name] for name in idx.RANKS)
        except (OSError, HTTPException, DatasetError) as error:
            reasons.append(f"{urlsplit(mirror).hostname}: {_reason(error)}")
    raise DatasetError(
        f"MNIST is not in the cache and cannot be downloaded ({'; '.join(reasons)}): get its four files elsewhere and "
        "run 'mcgc data import mnist --from DIRECTORY', or give an HDF5 file with --dataset"
    )


def _get(url: str, name: str, digest: str, silence: float) -> bytes:
    from urllib.request import urlopen

    content, deadline = bytearray(), time.monotonic() + PATIENCE
    with urlopen(url, timeout=silence) as response:
        while part := response.read1(2**16):
            content += part
            if len(content) > idx.MAX_BYTES:
                raise DatasetError(f"{name} is larger than {idx.MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} took more than {PATIENCE:.0f} s")
    unpacked = idx.unpack(io.BytesIO(content), name)
    if hashlib.sha256(unpacked).hexdigest() != digest:
        raise DatasetError(f"{name} is not the published file")
    return unpacked


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", error)  # of urllib's errors, which wrap another
    return hdf5.line(reason) if isinstance(reason, Exception) else str(reason)
