"""The lines and the bar that show the progress."""

import io
import sys
import time

import pytest
from mcgc_cli.progress import describe, progress

from mcgc.train import Record


def record(epoch, log_lam=(-1.0, -3.0)):
    pair = (1.0, 2.0)
    one, kept, none = (1, 1), (False, False), (0, 0)
    accuracy, phi = (None, None), (log_lam, log_lam, log_lam)
    return Record(
        epoch, 0, pair, pair, (None, None), (3.0, 5.0), accuracy, *phi, one, one, one, one, none, kept, pair, 0.1
    )


def test_a_description_has_the_accuracy_where_there_is_one():
    known = record(1)._replace(test_accuracy=(0.5, 0.75))
    assert describe(known) == "train 1.5, test 4, accuracy 62.50%, lambda 1.35e-01"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_a_description_is_the_mean_over_members():
    assert describe(record(1)) == "train 1.5, test 4, lambda 1.35e-01"


def test_a_description_has_the_length_of_the_windows():
    assert describe(record(1)._replace(horizon=4)).startswith("windows of 4, train 1.5, ")


def test_a_description_without_continuation_has_no_lambda():
    assert describe(record(1, log_lam=(None, None))) == "train 1.5, test 4"


@pytest.mark.parametrize("epochs", [1, 2, 30, 31, 200, 10_000])
def test_lines_are_at_most_32_with_the_first_and_the_last_epoch(capsys, epochs):
    with progress(epochs, quiet=False) as show:
        for epoch in range(1, epochs + 1):
            show(record(epoch))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"epoch 1 of {epochs}: ")
    assert lines[-1].startswith(f"epoch {epochs} of {epochs}: ")
    assert lines[-1].endswith(" 0 s left")
    assert min(epochs, 16) <= len(lines) <= 32


def test_a_terminal_gets_a_bar_with_epoch_losses_and_lambda(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress(3, quiet=False) as show:
        show(record(2))
    shown = sys.stderr.getvalue()
    assert "2/3" in shown
    assert "train 1.5, test 4, lambda 1.35e-01" in shown


def test_a_terminal_gets_a_table_of_the_members_that_is_gone_at_the_end(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress(3, quiet=False) as show:
        show(record(2))
        time.sleep(0.6)  # it is drawn four times a second
        during = sys.stderr.getvalue()
    after = sys.stderr.getvalue()[len(during) :]
    assert all(word in during for word in ("member", "train", "lambda", "3.68e-01", "4.98e-02"))
    assert "member" not in after


def test_an_exception_restores_the_cursor_of_the_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt), progress(3, quiet=False):
        raise KeyboardInterrupt
    assert sys.stderr.getvalue().rfind("\x1b[?25h") > sys.stderr.getvalue().rfind("\x1b[?25l")


def test_quiet_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(3, quiet=True) as show:
        show(record(1))
    assert sys.stderr.getvalue() == ""


def test_an_epoch_in_which_members_diverged_is_always_shown(capsys):
    with progress(100, quiet=False) as show:
        show(record(2))
        show(record(3)._replace(restored=(True, False)))
        show(record(4)._replace(skipped=(0, 2)))
    assert capsys.readouterr().err.count("epoch") == 3
    assert describe(record(3)._replace(restored=(True, False))).endswith("1 diverged and went back to the best epoch")
    assert describe(record(3)._replace(skipped=(1, 2))).endswith("3 steps failed and were skipped")
