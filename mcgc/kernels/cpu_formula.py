"""Formulas on the CPU: a list of operations on numbers, computed and differentiated by one compiled interpreter.

An interpreter is compiled once for all formulas. It takes a few nanoseconds for each operation, so equations of a user
take about as long as a small net. Truth values are 1 and 0, and whole numbers are floats.
"""

import math

import numpy as np

from mcgc.kernels.compiled import compiled, inner

CODES = (
    "constant", "input", "add", "subtract", "multiply", "divide", "negative", "power", "sqrt", "exp", "log", "sin",
    "cos", "tanh", "where", "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "abs", "cast_float",
    "cast_int64", "cast_bool", "equal", "not_equal", "and", "or", "not", "remainder", "floor_divide", "atan2", "hypot",
    "sign", "cbrt", "expm1", "log1p", "log2", "log10", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh",
    "atanh", "erf", "floor", "ceil", "trunc", "round",
)  # fmt: skip
_CODE = {name: code for code, name in enumerate(CODES)}
(
    _CONSTANT, _INPUT, _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _NEGATIVE, _POWER, _SQRT, _EXP, _LOG, _SIN, _COS,
    _TANH, _WHERE, _LESS, _LESS_EQUAL, _GREATER, _GREATER_EQUAL, _MAXIMUM, _MINIMUM, _ABS, _FLOAT,
    _INT, _BOOL, _EQUAL, _NOT_EQUAL, _AND, _OR, _NOT, _REMAINDER, _FLOOR_DIVIDE, _ATAN2, _HYPOT,
    _SIGN, _CBRT, _EXPM1, _LOG1P, _LOG2, _LOG10, _TAN, _ASIN, _ACOS, _ATAN, _SINH, _COSH, _ASINH, _ACOSH,
    _ATANH, _ERF, _FLOOR, _CEIL, _TRUNC, _ROUND,
) = range(len(CODES))  # fmt: skip


def tape_of(operations: tuple[tuple, ...], begins: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return a formula as arrays: of each operation its code and three operands, and its constant.

    The operations are those of `mcgc._jit.Formula`. The operand of an input is its place among all inputs, of which
    those of each argument begin at `begins`.
    """
    tape, constants = np.zeros((len(operations), 4), np.int64), np.zeros(len(operations))
    for i, (op, *operands) in enumerate(operations):
        if op == "constant":
            constants[i] = float(operands[0])
            operands = []
        elif op == "input":
            operands = [begins[operands[0]] + operands[1]]
        elif op == "cast":
            op, operands = f"cast_{operands[0]}", operands[1:]
        tape[i, 0], tape[i, 1 : 1 + len(operands)] = _CODE[op], operands
    return tape, constants


@inner(error_model="numpy")
def _flag(holds, like):
    return type(like)(1) if holds else type(like)(0)


@inner(error_model="numpy")
def _simple(code, x, y, z):
    """Return the value of an operation that is often there."""
    if code == _ADD:
        return x + y
    if code == _SUBTRACT:
        return x - y
    if code == _MULTIPLY:
        return x * y
    if code == _DIVIDE:
        return x / y
    if code == _NEGATIVE:
        return -x
    if code == _POWER:
        return type(x)(x**y)
    if code == _SQRT:
        return np.sqrt(x)
    if code == _EXP:
        return np.exp(x)
    if code == _LOG:
        return np.log(x)
    if code == _SIN:
        return np.sin(x)
    if code == _COS:
        return np.cos(x)
    if code == _TANH:
        return np.tanh(x)
    if code == _WHERE:
        return y if x != 0 else z
    if code == _LESS:
        return _flag(x < y, x)
    if code == _LESS_EQUAL:
        return _flag(x <= y, x)
    if code == _GREATER:
        return _flag(x > y, x)
    if code == _GREATER_EQUAL:
        return _flag(x >= y, x)
    if code == _MAXIMUM:
        return x if x > y or x != x else y
    if code == _MINIMUM:
        return x if x < y or x != x else y
    return abs(x)


@inner(error_model="numpy")
def _rare(code, x, y):
    """Return the value of an operation that is seldom there."""
    kind = type(x)
    if code == _INT:
        return np.trunc(x)
    if code == _BOOL:
        return _flag(x != 0, x)
    if code == _EQUAL:
        return _flag(x == y, x)
    if code == _NOT_EQUAL:
        return _flag(x != y, x)
    if code == _AND:
        return _flag(x != 0 and y != 0, x)
    if code == _OR:
        return _flag(x != 0 or y != 0, x)
    if code == _NOT:
        return _flag(x == 0, x)
    if code == _REMAINDER:
        return kind(x % y)
    if code == _FLOOR_DIVIDE:
        return kind(x // y)
    if code == _ATAN2:
        return kind(math.atan2(x, y))
    if code == _HYPOT:
        return kind(math.hypot(x, y))
    if code == _SIGN:
        return np.sign(x)
    if code == _CBRT:
        return kind(np.cbrt(x))
    if code == _EXPM1:
        return np.expm1(x)
    if code == _LOG1P:
        return np.log1p(x)
    if code == _LOG2:
        return kind(np.log2(x))
    if code == _LOG10:
        return np.log10(x)
    if code == _TAN:
        return np.tan(x)
    if code == _ASIN:
        return np.arcsin(x)
    if code == _ACOS:
        return np.arccos(x)
    if code == _ATAN:
        return np.arctan(x)
    if code == _SINH:
        return np.sinh(x)
    if code == _COSH:
        return np.cosh(x)
    if code == _ASINH:
        return np.arcsinh(x)
    if code == _ACOSH:
        return np.arccosh(x)
    if code == _ATANH:
        return np.arctanh(x)
    if code == _ERF:
        return kind(math.erf(x))
    if code == _FLOOR:
        return np.floor(x)
    if code == _CEIL:
        return np.ceil(x)
    if code == _TRUNC:
        return np.trunc(x)
    if code == _ROUND:
        return np.rint(x)
    return x


@compiled(error_model="numpy")
def compute(tape, constants, given, v):
    """Put the number of each operation into `v`; `given` are the inputs."""
    for i in range(tape.shape[0]):
        code = tape[i, 0]
        if code == _CONSTANT:
            v[i] = constants[i]
        elif code == _INPUT:
            v[i] = given[tape[i, 1]]
        elif code <= _ABS:
            v[i] = _simple(code, v[tape[i, 1]], v[tape[i, 2]], v[tape[i, 3]])
        else:
            v[i] = _rare(code, v[tape[i, 1]], v[tape[i, 2]])


@inner(error_model="numpy")
def _share(wins, ties, like):
    """Return 1 for what wins, ½ for what ties, else 0."""
    return type(like)(0.5) if ties else _flag(wins, like)


@inner(error_model="numpy")
def _slope(code, x, out):
    """Return the derivative of an operation of one number."""
    kind = type(x)
    one = kind(1)
    if code == _SQRT:
        return one / (kind(2) * out)
    if code == _EXP:
        return out
    if code == _LOG:
        return one / x
    if code == _SIN:
        return np.cos(x)
    if code == _COS:
        return -np.sin(x)
    if code == _TANH:
        return one - out * out
    if code == _ABS:
        return np.sign(x)
    if code == _FLOAT:
        return one
    if code == _CBRT:
        return one / (kind(3) * out * out)
    if code == _EXPM1:
        return out + one
    if code == _LOG1P:
        return one / (one + x)
    if code == _LOG2:
        return one / (x * kind(math.log(2)))
    if code == _LOG10:
        return one / (x * kind(math.log(10)))
    if code == _TAN:
        return one + out * out
    if code == _ASIN:
        return one / np.sqrt(one - x * x)
    if code == _ACOS:
        return -one / np.sqrt(one - x * x)
    if code == _ATAN:
        return one / kind(math.hypot(x, one)) / kind(math.hypot(x, one))
    if code == _SINH:
        return np.cosh(x)
    if code == _COSH:
        return np.sinh(x)
    if code == _ASINH:
        return one / kind(math.hypot(x, one))
    if code == _ACOSH:
        return one / np.sinh(out)
    if code == _ATANH:
        return one / (one - x * x)
    if code == _ERF:
        return kind(2 / math.sqrt(math.pi)) * np.exp(-x * x)
    return kind(0)  # of what is constant between jumps


@inner(error_model="numpy")
def _of_base(x, y):
    """Return y xʸ⁻¹, and 0 where y is 0."""
    return type(x)(0) if y == 0 else type(x)(y * x ** (y - type(x)(1)))


@compiled(error_model="numpy")
def pull(tape, given_bar, v, bars):
    """Add to `given_bar` the cotangents of the inputs; `bars` has those of the numbers, and is used up.

    A cotangent of 0 stays 0, also at a pole, as of a branch that was not taken.
    """
    for i in range(tape.shape[0] - 1, -1, -1):
        g, code, a, b, c = bars[i], tape[i, 0], tape[i, 1], tape[i, 2], tape[i, 3]
        if g == 0 or code == _CONSTANT:
            continue
        x, y, out = v[a], v[b], v[i]
        if code == _INPUT:
            given_bar[a] += g
        elif code == _ADD:
            bars[a] += g
            bars[b] += g
        elif code == _SUBTRACT:
            bars[a] += g
            bars[b] -= g
        elif code == _MULTIPLY:
            bars[a] += g * y
            bars[b] += g * x
        elif code == _DIVIDE:
            bars[a] += g / y
            bars[b] -= g * x / y / y
        elif code == _NEGATIVE:
            bars[a] -= g
        elif code == _POWER:
            bars[a] += g * _of_base(x, y)
            if x > 0:
                bars[b] += g * out * np.log(x)
        elif code == _WHERE:
            bars[b if x != 0 else c] += g
        elif code == _MAXIMUM:
            bars[a] += g * _share(x > y, x == y, x)
            bars[b] += g * _share(y > x, x == y, x)
        elif code == _MINIMUM:
            bars[a] += g * _share(x < y, x == y, x)
            bars[b] += g * _share(y < x, x == y, x)
        elif code == _REMAINDER:
            bars[a] += g
            bars[b] -= g * type(x)(x // y)
        elif code in (_ATAN2, _HYPOT):
            length = type(x)(math.hypot(x, y))
            if length > 0 and code == _HYPOT:
                bars[a] += g * (x / length)
                bars[b] += g * (y / length)
            elif length > 0:
                bars[a] += g * (y / length) / length
                bars[b] -= g * (x / length) / length
        else:
            bars[a] += g * _slope(code, x, out)
