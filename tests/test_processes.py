"""How many processes the tests run in."""

from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("args", "options", "count"),
    [
        ([str(HERE)], {}, joblib.cpu_count()),
        ([str(HERE / "mcgc"), __file__], {}, joblib.cpu_count()),
        ([__file__, f"{__file__}::test_any"], {}, 0),
        ([str(HERE)], {"markexpr": "gpu"}, 0),
        ([str(HERE)], {"capture": "no"}, 0),
    ],
)
def test_each_processor_has_one_but_single_files_gpus_and_shown_output_stay_in_the_first(
    pytestconfig, args, options, count
):
    option = SimpleNamespace(**{"markexpr": "not long and not gpu", "capture": "fd"} | options)
    hook = pytestconfig.hook.pytest_xdist_auto_num_workers
    assert hook(config=SimpleNamespace(args=args, option=option)) == count
