"""What runs from level to level, for the eight levels of a vector at once: in compiled code only.

A step from level to level looks serial, p ← a + b·p. But two steps in a row are one such step,
with b = b₁·b₂ and a = a₂ + b₂·a₁. So joining neighbours, then pairs, then fours gives the steps
from the first lane to every lane in three rounds (a prefix sum; Hillis and Steele, 1986).
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fairway.kernels.lane_memory import address, read_eight, write_eight
from fairway.kernels.lanes import WIDTH, lanes_type, splat

_FLOATS, _DOUBLES = (ir.VectorType(kind, WIDTH) for kind in (ir.FloatType(), ir.DoubleType()))
_ROUNDS = (1, 2, 4)  # how far apart the stretches are that are joined
_FIRST, _LAST = (ir.Constant(ir.IntType(32), lane) for lane in (0, WIDTH - 1))


def _moved(builder: ir.IRBuilder, value: ir.Value, by: int, fill: float) -> ir.Value:
    """Every lane from `by` lanes below (above if negative), `fill` where there is none."""
    filler = ir.Constant(value.type, [fill] * WIDTH)
    lanes = [k - by if 0 <= k - by < WIDTH else WIDTH for k in range(WIDTH)]
    return builder.shuffle_vector(
        value, filler, ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), lanes)
    )


def _doubles(context, builder, array_type, array, index) -> ir.Value:
    """Eight elements of a C array as float64."""
    value = read_eight(context, builder, array_type, array, index)
    return value if value.type == _DOUBLES else builder.uitofp(value, _DOUBLES)


@intrinsic
def store_shares(typing_context, share, hits, total, at):
    """share ← hits/total, or hits where total is 0; C arrays of float64 and uint32."""

    def generate(context, builder, signature, arguments):
        share, hits, total, at = arguments
        hits = _doubles(context, builder, signature.args[1], hits, at)
        total = _doubles(context, builder, signature.args[2], total, at)
        one = ir.Constant(_DOUBLES, [1.0] * WIDTH)
        total = builder.select(builder.fcmp_ordered(">", total, one), total, one)
        place = address(context, builder, signature.args[0], share, at)
        write_eight(builder, builder.fdiv(hits, total), place)
        return context.get_dummy_value()

    return types.void(share, hits, total, at), generate


@intrinsic
def mix_lanes(typing_context, trust, share, share_at, probability):
    """p ← trust·share + (1 − trust)·p, lane after lane, in float64.

    share: a C array of float64, its elements share_at … share_at+7 are taken. Returns (lanes of p
    before each step, p after the last).
    """

    def generate(context, builder, signature, arguments):
        trust, share, share_at, start = arguments
        share = _doubles(context, builder, signature.args[1], share, share_at)
        trust = builder.fpext(trust, _DOUBLES)
        kept = builder.fsub(ir.Constant(_DOUBLES, [1.0] * WIDTH), trust)
        added = builder.fmul(trust, share)
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_DOUBLES, [_DOUBLES] * 3), "llvm.fma.v8f64"
        )
        for by in _ROUNDS:
            added = builder.call(multiply_add, [kept, _moved(builder, added, by, 0.0), added])
            kept = builder.fmul(kept, _moved(builder, kept, by, 1.0))
        first = splat(builder, start)
        after = builder.call(multiply_add, [kept, first, added])
        before = builder.insert_element(_moved(builder, after, 1, 0.0), start, _FIRST)
        results = builder.fptrunc(before, _FLOATS), builder.extract_element(after, _LAST)
        return context.make_tuple(builder, signature.return_type, results)

    result = types.Tuple((lanes_type, types.float64))
    return result(trust, share, share_at, types.float64), generate


@intrinsic
def multiply_back(typing_context, factors, start):
    """x ← x·factor from the last lane to the first, float32.

    Returns (lanes of x before each step, x after the first lane's).
    """

    def generate(context, builder, signature, arguments):
        factors, start = arguments
        for by in _ROUNDS:
            factors = builder.fmul(factors, _moved(builder, factors, -by, 1.0))
        after = builder.fmul(factors, splat(builder, start))
        before = builder.insert_element(_moved(builder, after, -1, 0.0), start, _LAST)
        results = before, builder.extract_element(after, _FIRST)
        return context.make_tuple(builder, signature.return_type, results)

    result = types.Tuple((lanes_type, types.float32))
    return result(factors, types.float32), generate
