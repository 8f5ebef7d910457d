"""Four bytes of an array at once, wherever they begin: in compiled code only.

numba reads an element at a time, and LLVM does not always see that four bytes are one word.
"""

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_WORD = ir.IntType(32)


@intrinsic
def load_word(typing_context, array, index):
    """load_word(array, index): bytes index … index+3 of a uint8 array, low byte first."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), _WORD.as_pointer())
        word = builder.load(address)
        word.align = 1
        return word if sys.byteorder == "little" else builder.bswap(word)

    return types.uint32(array, index), generate
