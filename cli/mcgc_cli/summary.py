"""What a run came to: one JSON object, or a short table."""

import json
import math
from collections.abc import Sequence
from typing import Any


def as_json(result: dict[str, Any]) -> str:
    """Return `result` as one line of strict JSON, in which a number that is not finite is null."""
    return json.dumps({key: _strict(value) for key, value in result.items()}, ensure_ascii=False)


def as_text(result: dict[str, Any]) -> str:
    """Return `result` for a reader: what was trained, the last losses and λ of each member, and the file."""
    method = f"continuation ({result['estimator']})" if result["continuation"] else "no continuation"
    effort = f"{result['epochs']} epochs, {result['seconds']:.1f} s"
    lines = [
        f"{result['problem']}: {method}, seed {result['seed']}, {effort}",
        f"{'member':>6}  {'train loss':>12}  {'test loss':>12}  {'lambda':>12}",
    ]
    rows = zip(result["train_loss"], result["test_loss"], result["log_lam"], strict=True)
    for member, (train, test, log_lam) in enumerate(rows):
        lam = "-" if log_lam is None else f"{math.exp(log_lam):.3e}"
        lines.append(f"{member:>6}  {train:>12.6g}  {test:>12.6g}  {lam:>12}")
    return "\n".join([*lines, f"saved to {result['output']}"])


def result_of(settings: Any, records: Sequence[Any], num_series: int, device: str, output: str) -> dict[str, Any]:
    """Return what the command reports of a finished run: lists have one entry a member."""
    from mcgc.training import TEST_FRACTION

    last = records[-1]
    num_train = num_series - max(1, round(TEST_FRACTION * num_series))
    return {
        "problem": settings.problem,
        "members": settings.members,
        "epochs": len(records),
        "steps": len(records) * math.ceil(num_train / settings.batch_size),
        "continuation": settings.continuation,
        "estimator": settings.estimator,
        "seed": settings.seed,
        "dtype": settings.dtype,
        "device": device,
        "train_loss": list(last.train_loss),
        "test_loss": list(last.test_loss),
        "test_accuracy": None if None in last.test_accuracy else list(last.test_accuracy),
        "log_lam": list(last.log_lam),
        "function_evaluations": sum(sum(record.function_evaluations) for record in records),
        "seconds": sum(record.seconds for record in records),
        "output": output,
    }


def _strict(value: Any) -> Any:
    if isinstance(value, list):
        return [_strict(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
