"""Parts of a compiled call for other threads, handed over without Python's global lock.

A worker is a thread in a compiled loop (`work`) that looks for an offer: the address of a compiled function, and that
of its arguments in the memory of who offers them. So to hand a part over takes two writes, and to hear of its end one
read. Who offers computes a part too, and then those that no worker has begun.
"""

# mypy: disable-error-code="call-arg,var-annotated"
# (an intrinsic is called without its first parameter, the typing context)

from itertools import pairwise
from typing import Any

from llvmlite import ir
from numba import config, typeof, types
from numba.core import cgutils
from numba.extending import intrinsic

from mcgc.kernels.compiled import compiled, inner

MAILBOX = 16  # numbers of eight bytes that a worker has for itself, two lines of the cache
STATE, FUNCTION, ARGUMENTS, BEGIN, UNTIL, AWAKE = range(6)  # of them
FREE, OFFERED, TAKEN, DONE, FAILED = range(5)  # states; the first mailbox, of who offers, is FREE or TAKEN

_i32, _i64, _order = ir.IntType(32), ir.IntType(64), "seq_cst"
_hint = "llvm.aarch64.hint", [_i32(1)]
_WORDS = {"x86_64": ("llvm.x86.sse2.pause", []), "aarch64": _hint, "arm64": _hint}  # of architectures, for a short wait


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Return the pointer to an element of a vector of 64-bit integers."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


@intrinsic
def _exchange(typing, mailboxes, at, old, new):
    """Write `new` if there is `old`, at once; tell whether there was."""
    signature = types.boolean(mailboxes, types.intp, types.int64, types.int64)

    def generate(context, builder, signature, args):
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        return builder.extract_value(builder.cmpxchg(pointer, *args[2:], _order, _order), 1)

    return signature, generate


@intrinsic
def _load(typing, mailboxes, at):
    """Return a number that others write."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_pointer(context, builder, signature.args[0], *args), _order, 8)

    return types.int64(mailboxes, types.intp), generate


@intrinsic
def _store(typing, mailboxes, at, number):
    """Write a number that others read."""

    def generate(context, builder, signature, args):
        builder.store_atomic(args[2], _pointer(context, builder, signature.args[0], *args[:2]), _order, 8)
        return context.get_dummy_value()

    return types.void(mailboxes, types.intp, types.int64), generate


@intrinsic
def _pause(typing):
    """Tell the processor that it waits, where there is a word for that."""

    def generate(context, builder, signature, args):
        name, numbers = _WORDS.get(builder.module.triple.split("-")[0], ("", []))
        if name:
            kind = ir.FunctionType(ir.VoidType(), [number.type for number in numbers])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), numbers)
        return context.get_dummy_value()

    return types.void(), generate


def _writing_down(part: Any) -> Any:
    """Return the compiled function that writes down what a worker needs for `part(begin, until, *arguments)`."""

    @intrinsic
    def write_down(typing, mailboxes, at, arguments):
        function = typeof(part)
        whole = function.get_call_type(typing, (types.intp, types.intp, *arguments), {})

        def generate(context, builder, signature, args):
            mailbox, values = _pointer(context, builder, signature.args[0], *args[:2]), args[2]
            called = ir.Function(builder.module, _kind(context), builder.module.get_unique_name("mcgc_part"))
            called.linkage = "internal"
            inside = ir.IRBuilder(called.append_basic_block())
            *_, address, begin, until = called.args
            given = inside.load(inside.inttoptr(address, values.type.as_pointer()))
            context.get_function(function, whole)(inside, (begin, until, *cgutils.unpack_tuple(inside, given)))
            inside.ret(_i32(0))
            held = cgutils.alloca_once(builder, values.type)
            builder.store(values, held)
            for number, pointer in ((FUNCTION, called), (ARGUMENTS, held)):
                builder.store(builder.ptrtoint(pointer, _i64), builder.gep(mailbox, [_i64(number)]))
            return context.get_dummy_value()

        return types.void(mailboxes, types.intp, arguments), generate

    return write_down


def _kind(context: Any) -> Any:
    """Return the type of a function that a worker calls, as Numba calls functions."""
    return context.call_conv.get_function_type(types.none, [types.intp] * 3)


@intrinsic
def _call(typing, mailboxes, at):
    """Call the function that was written down, and return its status, which is not 0 after an error."""

    def generate(context, builder, signature, args):
        kind, mailbox = _kind(context), _pointer(context, builder, signature.args[0], *args)
        function, *given = (
            builder.load(builder.gep(mailbox, [_i64(number)])) for number in (FUNCTION, ARGUMENTS, BEGIN, UNTIL)
        )
        unused = [cgutils.alloca_once(builder, pointer.pointee, zfill=True) for pointer in kind.args[:2]]
        return builder.call(builder.inttoptr(function, kind.as_pointer()), [*unused, *given])

    return types.int32(mailboxes, types.intp), generate


def sharing(part: Any) -> Any:
    """Return a compiled function that calls `part(begin, until, *arguments)` for all parts, some by workers.

    `share(mailboxes, ends, arguments)` takes those of `threads.crew`, and the ends of the parts, from the begin of the
    first. Its caller computes the first part, and all of them while another thread shares parts out. The arguments lie
    in its frame, so it returns after the last part is done. It raises `RuntimeError` if a part raised something.
    """
    if config.DISABLE_JIT:
        return lambda mailboxes, ends, arguments: [part(a, b, *arguments) for a, b in pairwise(ends)]
    write_down = _writing_down(part)

    @inner()
    def share(mailboxes, ends, arguments):
        parts = ends.size - 1
        if parts == 1 or not _exchange(mailboxes, STATE, FREE, TAKEN):
            for i in range(parts):
                part(ends[i], ends[i + 1], *arguments)
            return
        for i in range(parts - 1, -1, -1):
            at = i * MAILBOX
            write_down(mailboxes, at, arguments)
            mailboxes[at + BEGIN], mailboxes[at + UNTIL] = ends[i], ends[i + 1]
            if i > 0:
                _store(mailboxes, at + STATE, OFFERED)
        failed = _call(mailboxes, 0) != 0
        for i in range(1, parts):
            at = i * MAILBOX
            if _exchange(mailboxes, at + STATE, OFFERED, FREE):
                failed |= _call(mailboxes, at) != 0
            else:
                while _load(mailboxes, at + STATE) < DONE:
                    _pause()
                failed |= _load(mailboxes, at + STATE) == FAILED
                _store(mailboxes, at + STATE, FREE)
        _store(mailboxes, STATE, FREE)
        if failed:
            raise RuntimeError("a part of a compiled call failed")

    return share


@compiled(nogil=True)
def work(mailboxes, at, patience):
    """Take offers until `patience` looks in a row found none."""
    _store(mailboxes, at + AWAKE, 1)
    looks = 0
    while looks < patience:
        if _load(mailboxes, at + STATE) == OFFERED and _exchange(mailboxes, at + STATE, OFFERED, TAKEN):
            _store(mailboxes, at + STATE, DONE if _call(mailboxes, at) == 0 else FAILED)
            looks = 0
        _pause()
        looks += 1
    _store(mailboxes, at + AWAKE, 0)
