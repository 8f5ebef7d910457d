"""A hint to the processor: this element of an array will be needed soon.

Tables of tens of megabytes do not fit the near caches, and a look-up that waits for memory takes
tens of nanoseconds. Asked for a little ahead, many such waits overlap. The hint changes no result.
numba has no call for it, so this emits LLVM's `llvm.prefetch`.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_READ, _KEEP_NEAR, _DATA = (ir.IntType(32)(value) for value in (0, 3, 1))


@intrinsic
def prefetch(typing_context, array, index):
    """prefetch(array, index): in compiled code only; index counts elements of a C array."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.gep(data, [arguments[1]])
        address = builder.bitcast(address, ir.IntType(8).as_pointer())  # for arrays of any type
        numbers = [_READ.type] * 3
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [address.type, *numbers]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [address, _READ, _KEEP_NEAR, _DATA])
        return context.get_dummy_value()

    return types.void(array, index), generate
