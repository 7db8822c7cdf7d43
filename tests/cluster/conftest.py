"""A cluster of processes on this machine, which tests share, and what they say of faults."""

import numpy as np
import pytest

from mcgc._cluster import client_of
from mcgc.train import Hook, run_file


@pytest.fixture(scope="module")
def client():
    """Give a client of two workers of one thread each."""
    with client_of("local:2") as client:
        yield client


class Said(Hook):
    """Keeps sentences, and calls `seen` with what came of each member."""

    def __init__(self, seen=lambda advanced, epoch: None):
        self.sentences, self.after_member = [], seen

    def message(self, sentence):
        """Keep a sentence."""
        self.sentences.append(sentence)


@pytest.fixture
def said():
    """Give the hook."""
    return Said


def assert_same(one, other):
    """Fail unless two run files hold the same bits, but for times."""
    one, other = run_file.load(one), run_file.load(other)
    assert (one.settings, one.finished, one.ahead) == (other.settings, other.finished, other.ahead)
    for found, wanted in zip(
        (one.epochs, *one.states, one.results), (other.epochs, *other.states, other.results), strict=True
    ):
        assert found.keys() == wanted.keys()
        for name in found:
            if "seconds" not in name:
                np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


@pytest.fixture
def same():
    """Give the comparison of two run files."""
    return assert_same
