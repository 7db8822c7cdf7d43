"""A function that uses every operation on numbers that compiled programs have, so that one program tests them all."""

from mcgc import ops


def everything(x, p):
    y = ops.abs(x) + 0.5
    parts = [
        *(ops.sqrt(y), ops.exp(x), ops.expm1(x), ops.log(y), ops.log1p(y), ops.log2(y), ops.log10(y)),
        *(ops.sin(x), ops.cos(x), ops.tan(x), ops.asin(x / 4), ops.acos(x / 4), ops.atan(x), ops.atan2(x, y)),
        *(ops.sinh(x), ops.cosh(x), ops.tanh(x), ops.asinh(x), ops.acosh(y + 1), ops.atanh(x / 4), ops.hypot(x, y)),
        *(y**x, x % y, x // y, ops.floor(x), ops.ceil(x), ops.trunc(x), ops.round(x), ops.sign(x)),
        *(ops.maximum(x, p[0]), ops.minimum(x, p[1]), ops.where((x > 0) & ~(x > 1) | (x == p[0]), x, y)),
        *(ops.logaddexp(x, y), ops.sigmoid(x), ops.softplus(x), ops.erf(x), ops.astype(x > 0, x.dtype)),
    ]
    return ops.sum(ops.stack(parts) * p[2], axis=0)
