"""Checks that a wheel has the three packages whole, a `py.typed` in each, the licence, and nothing else.

`python .ci/contents.py WHEEL`; with `--installed` after it, also that this environment imports the packages from its
own and not from a checkout.
"""

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
FOLDERS = {"mcgc": ".", "mcgc_cli": "cli", "mcgc_datasets": "datasets"}
SOURCES = ("*.py", "*.css", "*.js", "py.typed")
METADATA = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def check(wheel):
    """Raise `SystemExit`, naming the files, if `wheel` lacks some or has others."""
    information = "-".join(Path(wheel).name.split("-")[:2]) + ".dist-info"
    sources = {
        path.relative_to(ROOT / folder).as_posix()
        for package, folder in FOLDERS.items()
        for ending in SOURCES
        for path in (ROOT / folder / package).rglob(ending)
    }
    wrong = {*ZipFile(wheel).namelist()} ^ (sources | {f"{information}/{name}" for name in METADATA})
    if wrong:
        raise SystemExit(f"{wheel} lacks or should not have: {', '.join(sorted(wrong))}")


def check_installed():
    """Raise `SystemExit` if a package is imported from elsewhere than this environment."""
    for name in FOLDERS:
        place = __import__(name).__file__
        if not Path(place).is_relative_to(sys.prefix):
            raise SystemExit(f"{name} is imported from {place}, not from the wheel")


if __name__ == "__main__":
    check(sys.argv[1])
    if "--installed" in sys.argv:
        check_installed()
