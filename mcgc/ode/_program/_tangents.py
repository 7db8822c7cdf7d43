"""The derivatives of the states by y0 and p, carried forward along the log of each trajectory.

Those of a state or of a stage are a row-major matrix (n, n + m): dz has that of the state, of a point and of the new
state, dk those of the stages.
"""

from mcgc._jit import Target
from mcgc.ode._program import _pull_back
from mcgc.ode._program._text import Text, inset


def functions(text: Text) -> list[str]:
    """Return the source of `tangents` and of what it calls."""
    jacobians = text.programs.field.jacobians.source("jacobians", ["=t", "y", "p"], ["of_y", "of_p"])
    return [jacobians, _rates(text)]


def _rates(text: Text) -> str:
    """Return `rates`: the derivative ∂f/∂y dz + ∂f/∂p of a stage."""
    n, m, q = text.n, text.m, text.n + text.m
    return f"""def rates(t, y, at_y, p, at_p, of_y, of_p, dz, at_dz, dk, at_dk):
    jacobians(t, y, at_y, p, at_p, of_y, 0, of_p, 0)
    for d in range({n}):
        for c in range({q}):
            total = of_p[d * {m} + c - {n}] if c >= {n} else kind(0)
            for e in range({n}):
                total += of_y[d * {n} + e] * dz[at_dz + e * {q} + c]
            dk[at_dk + d * {q} + c] = total
"""


def _stage(text: Text, s: int) -> str:
    block = text.n * (text.n + text.m)
    weights = text.combined(text.tableau.a[s], "dk", "c", block)
    return f"""for c in range({block}):
    dz[{block} + c] = dz[c] + h * ({weights})
rates({text.time(s)}, z, {s * text.n}, p, at_p, of_y, of_p, dz, {block}, dk, {s * block})
"""


def _tangents(text: Text) -> str:
    """Return the lines that go along trajectory `r`."""
    n, last, q = text.n, text.last, text.n + text.m
    block, extra = n * q, [_stage(text, s) for s in range(last + 1, text.stages)]
    rest = f"if inside:\n    {inset(_pull_back.replayed_for_dense_output(text), 1)}\n" if text.tableau.extra else ""
    return f"""first, base, at_p, t0, sign, j = r * times, r * room, r * step_p, starts[r], signs[r], 1
turn = kind(sign)
for c in range({block}):
    dz[c] = kind(0)
for d in range({n}):
    z[d], dz[d * {q + 1}] = y0[r * {n} + d], kind(1)
for c in range({block}):
    out[first * {block} + c] = dz[c]
rates(kind(t0), z, 0, p, at_p, of_y, of_p, dz, 0, dk, 0)
for i in range(base, base + counts[r * 4]):
    now, h = log_t[i], log_h[i]
    t, until = t0 + sign * now, log_t[i + 1] if i + 1 < base + counts[r * 4] else math.inf
    for d in range({n}):
        z[d], k[d] = log_y[i * {n} + d], log_k[i * {n} + d]
    inside = j < times and elapsed[first + j] <= until
    {inset(_pull_back.replayed(text) + rest, 1)}
    {inset([_stage(text, s) for s in range(1, last + 1)], 1)}
    for c in range({block}):
        dz[{2 * block} + c] = dz[{block} + c]
    if inside:
        {inset(extra, 2)}
    while j < times and elapsed[first + j] <= until:
        part = kind((elapsed[first + j] - now) / (turn * h))
        for c in range({block}):
            {inset(text.dense_output("dk", "c", block), 3)}
            out[(first + j) * {block} + c] = dz[c] + change
        j += 1
    for c in range({block}):
        dz[c], dk[c] = dz[{2 * block} + c], dk[{last * block} + c]
"""


def loop(text: Text, target: Target) -> str:
    """Return `sensitivities`, the tangents of the trajectories from `begin` to `end` that succeeded."""
    n, m, size = text.n, text.m, text.stages * text.n
    q = n + m
    made = text.scratch(target, k=size, z=size, dk=size * q, dz=3 * n * q, of_y=n * n, of_p=n * m)
    return f"""def sensitivities(
    begin, end, times, starts, signs, elapsed, y0, p, step_p, room, counts, log_t, log_h, log_y, log_k, out,
):
    {inset(made, 1)}
    for r in {target.rows}:
        if counts[r * 4 + 2] == SUCCESS:
            {inset(_tangents(text), 3)}
"""
