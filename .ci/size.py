"""Fails, naming them, if one of the files that are given has more than 500 kB."""

import sys
from pathlib import Path

MOST = 500_000

large = [name for name in sys.argv[1:] if Path(name).is_file() and Path(name).stat().st_size > MOST]
sys.exit(f"more than {MOST // 1000} kB, keep it elsewhere: {', '.join(large)}" if large else 0)
