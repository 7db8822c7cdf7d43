"""Without scikit-learn, one sentence says what to install."""

import subprocess
import sys

CODE = """
import sys
sys.modules["sklearn"] = None
import mcgc
try:
    mcgc.sklearn
except ImportError as error:
    print(error)
"""


def test_without_scikit_learn_the_sentence_names_the_extra():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("mcgc.sklearn needs scikit-learn: install mcgc[sklearn]", "")
