"""Vectors of a processor's registers in compiled code: their width, masks, and loads and stores under a mask."""

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core.cgutils import get_or_insert_function
from numba.extending import intrinsic

REGISTER = 64 if llvm.get_host_cpu_features().get("avx512f") else 32  # bytes of a vector

_i1, _i32, _i64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)


def in_every_lane(builder: Any, number: Any, vector: Any) -> Any:
    """Return a vector with `number` in each lane."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, _i32(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(_i32, vector.count), [0] * vector.count))


def mask_of(builder: Any, count: Any, lanes: int) -> Any:
    """Return the mask of the first `count` lanes."""
    numbers = ir.VectorType(_i64, lanes)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), in_every_lane(builder, count, numbers))


def masked_load(builder: Any, vector: Any, where: Any, mask: Any) -> Any:
    """Load the lanes of the mask from the pointer to an element `where`; the others are zero."""
    mask_type = ir.VectorType(_i1, vector.count)
    signature = ir.FunctionType(vector, [vector.as_pointer(), _i32, mask_type, vector])
    load = get_or_insert_function(builder.module, signature, f"llvm.masked.load.{_name(vector)}.p0")
    zero = ir.Constant(vector, [0.0] * vector.count)
    return builder.call(load, [builder.bitcast(where, vector.as_pointer()), _i32(REGISTER // vector.count), mask, zero])


def masked_store(builder: Any, value: Any, where: Any, mask: Any) -> None:
    """Store the lanes of the mask at the pointer to an element `where`."""
    vector, mask_type = value.type, ir.VectorType(_i1, value.type.count)
    signature = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), _i32, mask_type])
    store = get_or_insert_function(builder.module, signature, f"llvm.masked.store.{_name(vector)}.p0")
    builder.call(store, [value, builder.bitcast(where, vector.as_pointer()), _i32(REGISTER // vector.count), mask])


def _name(vector: Any) -> str:
    return f"v{vector.count}f{8 * REGISTER // vector.count}"


def shuffle(builder: Any, one: Any, other: Any, lanes: list[int]) -> Any:
    """Return the vector of these lanes of `one`, and, counted on from its last, of `other`."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_i32, len(lanes)), lanes))


@intrinsic
def _wide(typing):
    """Let the loops of the function that calls this use the widest vectors: LLVM may prefer half of them.

    It is for long loops of arithmetic, where the lower frequency that some processors have for wide vectors pays.
    """

    def generate(context, builder, signature, args):
        set.add(builder.function.attributes, f'"prefer-vector-width"="{8 * REGISTER}"')  # llvmlite knows but a few
        return context.get_dummy_value()

    return types.void(), generate


wide = (lambda: None) if config.DISABLE_JIT else _wide
