"""Eight lanes from arrays and back into them: in compiled code only.

Indices count the elements of a C array; no lane may lie beyond its end.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fairway.kernels.lanes import FLOATS, INTEGERS, WIDTH, lanes_type


def address(context, builder, array_type, array, index) -> ir.Value:
    """Of element `index` of a C array, in generated code."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def write_eight(builder, value: ir.Value, place: ir.Value) -> None:
    """Store a vector from the element at `place` on."""
    written = builder.store(value, builder.bitcast(place, value.type.as_pointer()))
    written.align = 4


def read_eight(context, builder, array_type, array, index) -> ir.Value:
    """A vector of elements index … index+7, of the array's own type."""
    vector = ir.VectorType(context.get_data_type(array_type.dtype), WIDTH)
    place = address(context, builder, array_type, array, index)
    value = builder.load(builder.bitcast(place, vector.as_pointer()))
    value.align = 4
    return value


@intrinsic
def load(typing_context, array, index):
    """load(array, index): elements index … index+7 of a C array of float32, float64 or uint32."""

    def generate(context, builder, signature, arguments):
        value = read_eight(context, builder, signature.args[0], *arguments)
        if value.type == FLOATS:
            return value
        if value.type.element == ir.DoubleType():
            return builder.fptrunc(value, FLOATS)
        return builder.uitofp(value, FLOATS)

    return lanes_type(array, index), generate


@intrinsic
def store(typing_context, array, index, value):
    """store(array, index, value): into elements index … index+7 of a C array of float32."""

    def generate(context, builder, signature, arguments):
        array, index, value = arguments
        write_eight(builder, value, address(context, builder, signature.args[0], array, index))
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def store_whole(typing_context, array, index, value):
    """store_whole(array, index, value): the whole part of lanes ≥ 0, into a C array of int32."""

    def generate(context, builder, signature, arguments):
        array, index, value = arguments
        whole = builder.fptosi(value, INTEGERS)
        write_eight(builder, whole, address(context, builder, signature.args[0], array, index))
        return context.get_dummy_value()

    return types.void(array, index, value), generate


def _cells(context, builder, signature, table, columns, at) -> list[ir.Value]:
    """Addresses of table[columns[at + k], at + k] for lanes k."""
    table_type, columns_type = signature.args[:2]
    stride = builder.extract_value(
        context.make_array(table_type)(context, builder, table).shape, 1
    )
    cells = []
    for lane in range(WIDTH):
        offset = ir.Constant(ir.IntType(64), lane)
        place = builder.add(at, offset)
        column = builder.load(address(context, builder, columns_type, columns, place))
        row = builder.mul(builder.zext(column, ir.IntType(64)), stride)
        index = builder.add(row, place)
        cells.append(address(context, builder, table_type, table, index))
    return cells


@intrinsic
def gather(typing_context, table, columns, at):
    """Lanes k of table[columns[at + k], at + k]; C arrays of float32 and int32."""

    def generate(context, builder, signature, arguments):
        result = ir.Constant(FLOATS, ir.Undefined)
        for lane, cell in enumerate(_cells(context, builder, signature, *arguments)):
            place = ir.Constant(ir.IntType(32), lane)
            result = builder.insert_element(result, builder.load(cell), place)
        return result

    return lanes_type(table, columns, at), generate


@intrinsic
def scatter(typing_context, table, columns, at, value):
    """Store lanes where `gather` finds them."""

    def generate(context, builder, signature, arguments):
        cells = _cells(context, builder, signature, *arguments[:3])
        for lane, cell in enumerate(cells):
            place = ir.Constant(ir.IntType(32), lane)
            builder.store(builder.extract_element(arguments[3], place), cell)
        return context.get_dummy_value()

    return types.void(table, columns, at, value), generate
