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
DIGESTS = {  # SHA-256 of the files, packed by gzip
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
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
    contents: dict[str, bytes] = {}
    reasons = []
    for mirror in mirrors:
        try:
            for name, digest in digests.items():
                if name not in contents:
                    contents[name] = _get(f"{mirror}{name}.gz", f"{name}.gz", digest, silence)
            return idx.arrays_of(contents[name] for name in idx.RANKS)
        except (OSError, DatasetError) as error:
            reasons.append(f"{urlsplit(mirror).hostname}: {_reason(error)}")
    raise DatasetError(
        f"MNIST is not in the cache and cannot be downloaded ({'; '.join(reasons)}): get its four files elsewhere and "
        "run 'mcgc data import mnist --from DIRECTORY', or give an HDF5 file with --dataset"
    )


def _get(url: str, name: str, digest: str, silence: float) -> bytes:
    from pooch import HTTPDownloader

    content = io.BytesIO()
    plain = {"Accept-Encoding": "identity"}  # else a server's own gzip would be taken away with that of the file
    HTTPDownloader(progressbar=_Limits(name), chunk_size=2**16, timeout=silence, headers=plain)(url, content, None)
    if hashlib.sha256(content.getbuffer()).hexdigest() != digest:
        raise DatasetError(f"{name} is not the published file")
    content.seek(0)
    return idx.unpack(content, name)


class _Limits:
    """What pooch takes as a progress bar: it shows nothing, and ends a download that is too large or too slow."""

    def __init__(self, name: str):
        self.name, self.taken, self.total, self.deadline = name, 0, 0, time.monotonic() + PATIENCE

    def update(self, count: int) -> None:
        self.taken += count
        if self.taken > idx.MAX_BYTES:
            raise DatasetError(f"{self.name} is larger than {idx.MAX_BYTES} bytes")
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"{self.name} took more than {PATIENCE:.0f} s")

    def reset(self) -> None:
        self.taken = 0

    def close(self) -> None:
        pass


def _reason(error: BaseException) -> str:
    """Return what the first of the errors said of which `error` is the last."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return hdf5.line(error)
