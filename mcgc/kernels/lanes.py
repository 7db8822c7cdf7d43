"""A vector of eight numbers for Numba: what compiled kernels keep in registers, with the order of every sum fixed.

Left to itself the compiler finds vectors where it may reorder sums. These instructions say which ones are meant.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 8  # numbers in a vector: a 256-bit register of float32, two of float64


class Lanes(types.Type):
    """`LANES` numbers in registers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), LANES))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


@intrinsic
def load(typing, array, offset):
    """Read LANES neighbours from `offset` on."""
    lanes = Lanes(array.dtype)

    def generate(context, builder, signature, args):
        vector = context.get_value_type(lanes)
        pointer = builder.bitcast(_pointer(context, builder, array, *args), vector.as_pointer())
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return lanes(array, types.intp), generate


@intrinsic
def store(typing, array, offset, lanes):
    """Write LANES neighbours from `offset` on."""

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, array, *args[:2])
        pointer = builder.bitcast(pointer, args[2].type.as_pointer())
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


def _in_every_lane(builder: Any, number: Any) -> Any:
    vector = ir.VectorType(number.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


@intrinsic
def spread(typing, array, offset):
    """Read one number into every lane."""

    def generate(context, builder, signature, args):
        return _in_every_lane(builder, builder.load(_pointer(context, builder, array, *args)))

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
def fill(typing, like, number):
    """Put one number into every lane."""
    lanes = Lanes(like.dtype)

    def generate(context, builder, signature, args):
        return _in_every_lane(builder, context.cast(builder, args[1], number, like.dtype))

    return lanes(like, number), generate


@intrinsic
def add_product(typing, total, a, b):
    """Return total + a b, rounded once where the machine can."""

    def generate(context, builder, signature, args):
        total, a, b = args
        return builder.fadd(total, builder.fmul(a, b, flags=("contract",)), flags=("contract",))

    return total(total, a, b), generate


@intrinsic
def fold(typing, a, b, c, d, e, f, g, h):
    """Return the sums of eight vectors, (Σa, …, Σh), in three rounds that fold two vectors into one."""
    rounds = (
        ((0, 8, 1, 9, 4, 12, 5, 13), (2, 10, 3, 11, 6, 14, 7, 15)),
        ((0, 1, 8, 9, 4, 5, 12, 13), (2, 3, 10, 11, 6, 7, 14, 15)),
        ((0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)),
    )

    def generate(context, builder, signature, args):
        indices = ir.VectorType(ir.IntType(32), LANES)
        for halves in rounds:
            low, high = (ir.Constant(indices, list(half)) for half in halves)
            args = [
                builder.fadd(builder.shuffle_vector(p, q, low), builder.shuffle_vector(p, q, high))
                for p, q in zip(args[::2], args[1::2], strict=True)
            ]
        return args[0]

    return a(a, b, c, d, e, f, g, h), generate


@intrinsic
def store_lane(typing, array, offset, lanes, lane):
    """Write lane number `lane` to `offset`."""

    def generate(context, builder, signature, args):
        builder.store(builder.extract_element(args[2], args[3]), _pointer(context, builder, array, *args[:2]))
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, types.intp), generate
