"""The benchmark is not an installed package, and is found at the root."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
