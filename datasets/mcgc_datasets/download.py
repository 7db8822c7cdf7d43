"""Download MNIST from its mirrors, and compare each file with its published SHA-256."""

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
DIGESTS = {  # SHA-256 of the files, compressed by gzip
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
TIMEOUT = 5.0  # seconds to wait for the next bytes of a mirror
MAX_SECONDS = 300.0  # for one file


def fetch(
    mirrors: Sequence[str] = MIRRORS, digests: Mapping[str, str] = DIGESTS, timeout: float = TIMEOUT
) -> idx.MnistArrays:
    """Download the files of MNIST and return their arrays.

    Parameters
    ----------
    mirrors
        Addresses of directories. Each mirror is asked for the files that are still missing.
    digests
        SHA-256 of each file, by its name without .gz.
    timeout
        Seconds to wait for the next bytes of a mirror.

    Returns
    -------
    tuple of four arrays
        Training images and labels, test images and labels.

    Raises
    ------
    DatasetError
        If a file is missing after all mirrors. The sentence has the error of each mirror and the remedies.
    """
    contents: dict[str, bytes] = {}
    reasons = []
    for mirror in mirrors:
        try:
            for name, digest in digests.items():
                if name not in contents:
                    contents[name] = _get(f"{mirror}{name}.gz", f"{name}.gz", digest, timeout)
            return idx.arrays_of(contents[name] for name in idx.RANKS)
        except (OSError, DatasetError) as error:
            reasons.append(f"{urlsplit(mirror).hostname}: {_reason(error)}")
    raise DatasetError(
        f"MNIST is not in the cache and cannot be downloaded ({'; '.join(reasons)}): get its four files elsewhere and "
        "run 'mcgc data import mnist --from DIRECTORY', or give an HDF5 file with --dataset"
    )


def _get(url: str, name: str, digest: str, timeout: float) -> bytes:
    from pooch import HTTPDownloader

    content = io.BytesIO()
    # else the compression by the server would be undone together with that of the file
    plain = {"Accept-Encoding": "identity"}
    HTTPDownloader(progressbar=_Limits(name), chunk_size=2**16, timeout=timeout, headers=plain)(url, content, None)
    if hashlib.sha256(content.getbuffer()).hexdigest() != digest:
        raise DatasetError(f"{name} is not the published file")
    content.seek(0)
    return idx.unpack(content, name)


class _Limits:
    """A progress bar for pooch that shows nothing, and stops a download that is too large or too slow."""

    def __init__(self, name: str):
        self.name, self.received, self.total, self.deadline = name, 0, 0, time.monotonic() + MAX_SECONDS

    def update(self, count: int) -> None:
        self.received += count
        if self.received > idx.MAX_BYTES:
            raise DatasetError(f"{self.name} is larger than {idx.MAX_BYTES} bytes")
        if time.monotonic() > self.deadline:
            raise TimeoutError(f"{self.name} took more than {MAX_SECONDS:.0f} s")

    def reset(self) -> None:
        self.received = 0

    def close(self) -> None:
        pass


def _reason(error: BaseException) -> str:
    """Return what the first of the errors said of which `error` is the last."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return hdf5.line(error)
