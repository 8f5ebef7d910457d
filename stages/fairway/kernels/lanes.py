"""Eight numbers at once: arithmetic on `WIDTH` float32 lanes, in compiled code only.

    trust = one / (one + exponential(-logit))        # of eight levels in one go

The processor does eight of these for the price of one, but numba leaves the choice to LLVM, which
does not dare when it cannot prove that arrays do not overlap. So here a value is eight lanes from
the start, LLVM's <8 x float>, with + − * / between such values and the few functions below.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

WIDTH = 8
FLOATS = ir.VectorType(ir.FloatType(), WIDTH)
INTEGERS = ir.VectorType(ir.IntType(32), WIDTH)
_MANTISSA_BITS, _EXPONENT_BIAS = 23, 127  # of a float32
_ROOT_GUESS = 0x5F375A86  # 1/√1 less half of the bits of 1 (Lomont, 2003)
_LOG2_E = 1.4426950408889634
# 2^x for 0 ≤ x < 1, eight terms, lowest power first; fitted, within 5e-11 but for rounding
_POWERS = (
    *(1.0, 0.693147184, 0.240226405, 0.055505023),
    *(0.00961428317, 0.00134190158, 0.000143772063, 2.14306193e-05),
)


class Lanes(types.Type):
    """numba's type of such a value."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes_type = Lanes()


@register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, numba_type) -> None:
        super().__init__(manager, numba_type, FLOATS)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(FLOATS, [float(np.float32(value))] * WIDTH)


def _call(builder: ir.IRBuilder, name: str, *values: ir.Value) -> ir.Value:
    """LLVM's own function `name` of floats, lane by lane."""
    kind = ir.FunctionType(FLOATS, [FLOATS] * len(values))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v8f32")
    return builder.call(function, values)


def _define_operator(function, instruction: str) -> None:
    @intrinsic
    def apply(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments)

        return lanes_type(lanes_type, lanes_type), generate

    @overload(function)
    def choose_apply(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: apply(a, b)
        return None


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_function, _instruction)


def splat(builder, number: ir.Value) -> ir.Value:
    """A vector of eight times this number."""
    kind = ir.VectorType(number.type, WIDTH)
    undefined, zeros = ir.Constant(kind, ir.Undefined), ir.Constant(INTEGERS, [0] * WIDTH)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def same(typing_context, number):
    """same(number): all lanes hold this float."""

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], signature.args[0], types.float32)
        return splat(builder, number)

    return lanes_type(number), generate


@intrinsic
def whole_log2(typing_context, value):
    """The whole part of log2 of every lane ≥ 1; below 1 it is negative."""

    def generate(context, builder, signature, arguments):
        shift = ir.Constant(INTEGERS, [_MANTISSA_BITS] * WIDTH)
        bias = ir.Constant(INTEGERS, [_EXPONENT_BIAS] * WIDTH)
        exponent = builder.lshr(builder.bitcast(arguments[0], INTEGERS), shift)
        return builder.sitofp(builder.sub(exponent, bias), FLOATS)

    return lanes_type(value), generate


def _define_over_lanes(name: str, start: tuple[ir.Constant, ...]):
    """A function of all lanes together: LLVM's reduction `name`."""

    @intrinsic
    def reduce_lanes(typing_context, value):
        def generate(context, builder, signature, arguments):
            kinds = [constant.type for constant in start] + [FLOATS]
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(ir.FloatType(), kinds),
                f"llvm.vector.reduce.{name}.v8f32",
            )
            return builder.call(function, [*start, *arguments])

        return types.float32(lanes_type), generate

    return reduce_lanes


sum_of_lanes = _define_over_lanes("fadd", (ir.Constant(ir.FloatType(), 0.0),))
largest_lane = _define_over_lanes("fmax", ())


@intrinsic
def larger(typing_context, a, b):
    """The larger of two, lane by lane."""

    def generate(context, builder, signature, arguments):
        return _call(builder, "maxnum", *arguments)

    return lanes_type(a, b), generate


@intrinsic
def multiply_add(typing_context, a, b, c):
    """a·b + c, rounded once, lane by lane."""

    def generate(context, builder, signature, arguments):
        return _call(builder, "fma", *arguments)

    return lanes_type(*[lanes_type] * 3), generate


@intrinsic
def within(typing_context, value, lowest, highest):
    """Every lane, but at least `lowest` and at most `highest`."""

    def generate(context, builder, signature, arguments):
        value, lowest, highest = arguments
        return _call(builder, "minnum", _call(builder, "maxnum", value, lowest), highest)

    return lanes_type(*[lanes_type] * 3), generate


@intrinsic
def inverse_root(typing_context, value):
    """1/√ of every lane, within 5e-6 relatively.

    Halving the exponent gives a first guess, and two of Newton's steps make it good: a fraction
    of the time of a square root and a division.
    """

    def generate(context, builder, signature, arguments):
        one = ir.Constant(INTEGERS, [1] * WIDTH)
        magic = ir.Constant(INTEGERS, [_ROOT_GUESS] * WIDTH)
        halved = builder.lshr(builder.bitcast(arguments[0], INTEGERS), one)
        root = builder.bitcast(builder.sub(magic, halved), FLOATS)
        half = builder.fmul(arguments[0], _constant(-0.5))
        for _ in range(2):
            square = builder.fmul(root, root)
            root = builder.fmul(root, _call(builder, "fma", half, square, _constant(1.5)))
        return root

    return lanes_type(value), generate


@intrinsic
def where_positive(typing_context, value, yes, no):
    """Lanes of `yes` where those of `value` are above 0, else of `no`."""

    def generate(context, builder, signature, arguments):
        value, yes, no = arguments
        return builder.select(builder.fcmp_ordered(">", value, _constant(0.0)), yes, no)

    return lanes_type(*[lanes_type] * 3), generate


@intrinsic
def exponential(typing_context, value):
    """e to the power of every lane (−80 to 80), within 3e-7 relatively: 2^whole · 2^fraction."""

    def generate(context, builder, signature, arguments):
        power = builder.fmul(arguments[0], _constant(_LOG2_E))
        whole = _call(builder, "floor", power)
        fraction = builder.fsub(power, whole)
        terms = [_constant(power) for power in _POWERS]
        step = fraction
        while len(terms) > 1:  # neighbours at once (Estrin, 1960): fewer waits than one by one
            terms = [
                _call(builder, "fma", high, step, low)
                for low, high in zip(terms[::2], terms[1::2], strict=True)
            ]
            step = builder.fmul(step, step)
        exponent = builder.fptosi(builder.fadd(whole, _constant(_EXPONENT_BIAS)), INTEGERS)
        shift = ir.Constant(INTEGERS, [_MANTISSA_BITS] * WIDTH)
        return builder.fmul(terms[0], builder.bitcast(builder.shl(exponent, shift), FLOATS))

    return lanes_type(value), generate
