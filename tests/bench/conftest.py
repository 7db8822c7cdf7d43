"""The benchmark is no package that is installed: it is found at the root, behind all that is."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
