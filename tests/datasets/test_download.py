"""Downloads of MNIST, from servers on this machine: good, dead, slow and false ones."""

import gzip
import hashlib
import http.server
import socket
import threading
import time

import numpy as np
import pytest
from mcgc_datasets import idx
from mcgc_datasets.download import fetch

from mcgc.errors import DatasetError

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (4, 28, 28), np.uint8), RNG.integers(0, 10, 4, np.uint8)
ARRAYS = dict(zip(idx.RANKS, (IMAGES, LABELS, IMAGES[:2], LABELS[:2]), strict=True))
FILES = {
    name: bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()
    for name, array in ARRAYS.items()
}
PACKED = {name: gzip.compress(content, mtime=0) for name, content in FILES.items()}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in PACKED.items()}
FIRST = "train-images-idx3-ubyte"


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves what its server has: bytes, or bytes of which it announces more than it sends."""

    def do_GET(self):
        name = self.path.removeprefix("/mnist/").removesuffix(".gz")
        self.server.asked.append(name)
        body, missing = self.server.files.get(name, (None, 0))
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Give a function that starts a mirror of all files, or others in their place, and returns it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(**others):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
        server.files = {name: (content, 0) for name, content in PACKED.items()} | others
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_port}/mnist/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def dead():
    """Give the address of a mirror that refuses connections."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}/mnist/"


def assert_whole(arrays):
    for array, expected in zip(arrays, ARRAYS.values(), strict=True):
        np.testing.assert_array_equal(array, expected)


def refusal(mirrors, **options):
    with pytest.raises(DatasetError) as caught:
        fetch(mirrors, DIGESTS, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert "mcgc data import mnist --from" in sentence
    assert "--dataset" in sentence
    return sentence


def test_a_good_mirror_gives_the_arrays(serve):
    mirror, other = serve(), serve()
    assert_whole(fetch([mirror.url, other.url], DIGESTS))
    assert mirror.asked == list(FILES)
    assert other.asked == []


SPOILT = {
    "absent": ((None, 0), "Not Found"),
    "another file": ((gzip.compress(FILES[FIRST][:-1] + b"\0"), 0), "is not the published file"),
    "not packed": ((b"<html>moved</html>", 0), "is not the published file"),
    "cut short": ((PACKED[FIRST][:-20], 20), "bytes read, 20 more expected"),
    "cut short at the server": ((PACKED[FIRST][:-20], 0), "is not the published file"),
    "gzip bomb": ((gzip.compress(bytes(2 * idx.MAX_BYTES)), 0), "is not the published file"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_what_is_not_the_published_file_is_refused(serve, kind):
    spoilt, reason = SPOILT[kind]
    assert reason in refusal([serve(**{FIRST: spoilt}).url])


def test_more_bytes_than_a_file_can_have_are_not_taken(serve, monkeypatch):
    monkeypatch.setattr(idx, "MAX_BYTES", 10**5)
    mirror = serve(**{FIRST: (bytes(10**6), 0)})
    assert "is larger than 100000 bytes" in refusal([mirror.url])


def test_the_second_mirror_gives_what_the_first_has_not(serve):
    last = list(FILES)[-1]
    first, second = serve(**{last: (b"", 0)}), serve()
    assert_whole(fetch([first.url, second.url], DIGESTS))
    assert second.asked == [last]


def test_a_dead_first_mirror_is_passed_over(serve, dead):
    assert_whole(fetch([dead, serve().url], DIGESTS))


def test_two_dead_mirrors_are_one_sentence_with_both_reasons(dead):
    assert refusal([dead, "http://no-such-host.invalid/"]).count("; ") == 1
    assert "127.0.0.1: Connection refused" in refusal([dead])


def test_a_mirror_that_does_not_answer_is_given_up_soon():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert "timed out" in refusal([f"http://127.0.0.1:{silent.getsockname()[1]}/"], timeout=0.2)
    assert time.monotonic() - began < 5


def test_a_mirror_that_takes_too_long_is_given_up(serve, monkeypatch):
    monkeypatch.setattr("mcgc_datasets.download.MAX_SECONDS", -1.0)
    assert "took more than" in refusal([serve().url])
