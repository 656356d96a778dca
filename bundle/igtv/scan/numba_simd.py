"""A vector of 16 floats for Numba: arithmetic and memory access that are SIMD instructions by construction.

LLVM maps one vector to one AVX-512 register, two AVX2 registers or four SSE/NEON registers. Explicit vectors keep
the backward kernels fast, whose arrays the auto-vectoriser cannot prove to be distinct.
"""

import operator

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16
LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
ZERO = np.float32(0)

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INT_VECTOR = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)
# Everything of `fast` except reassociation, which would delete the rounding by a magic number in exp2, and except
# nnan and ninf, so that a NaN or an overflow in the input is seen in the output.
_FLAGS = ("contract", "nsz", "arcp")


class VectorType(types.Type):
    """Numba type of 16 floats."""

    def __init__(self):
        super().__init__(name="float32x16")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, data_model_manager, front_end_type):
        super().__init__(data_model_manager, front_end_type, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [float(np.float32(value))] * LANES)


def _int_constant(value: int) -> ir.Constant:
    return ir.Constant(_INT_VECTOR, [value] * LANES)


def _splat(builder, scalar):
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INT_VECTOR, [0] * LANES))


def _element_pointer(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, value=array).data
    return builder.gep(data, [index])


def _load(context, builder, array_type, array, index):
    pointer = _element_pointer(context, builder, array_type, array, index)
    loaded = builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()))
    loaded.align = 4
    return loaded


def _store(context, builder, array_type, array, index, value):
    pointer = _element_pointer(context, builder, array_type, array, index)
    stored = builder.store(value, builder.bitcast(pointer, _VECTOR.as_pointer()))
    stored.align = 4


def _fma(builder, x, y, z):
    # fmuladd: fused where the processor can, a product and a sum elsewhere.
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, "llvm.fmuladd.v16f32"), [x, y, z])


def _polynomial(builder, x, coefficients):
    """Horner's rule, highest power first."""
    value = _constant(coefficients[0])
    for coefficient in coefficients[1:]:
        value = _fma(builder, value, x, _constant(coefficient))
    return value


def _exp2_parts(builder, x):
    """(scale, change) with 2^x = scale * (1 + change): scale a power of two, change within [-0.3, 0.42].

    The change is accurate to 3e-7 of itself, however close 2^x is to 1. Below x = -126 (and for NaN, which the callers
    carry by other ways) 2^x is 1e-38, in effect 0. The magic number 1.5 * 2^23 rounds x to an integer that then stands
    in the low bits; with the exponent's bias of 127 added to it, shifting these bits to the exponent field makes the
    power of two.
    """
    magic, lowest = _constant(12582912.0 + 127.0), _constant(-126.0)
    clamped = builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest)
    shifted = builder.fadd(clamped, magic)
    fraction = builder.fsub(clamped, builder.fsub(shifted, magic))
    minimax = (1.3400432e-3, 9.6702348e-3, 5.5503272e-2, 2.4022304e-1, 6.9314718e-1)
    change = builder.fmul(fraction, _polynomial(builder, fraction, minimax))
    scale = builder.bitcast(builder.shl(builder.bitcast(shifted, _INT_VECTOR), _int_constant(23)), _VECTOR)
    return scale, change


def _exp2(builder, x):
    """2^x to 3e-7 relative, see `_exp2_parts`."""
    scale, change = _exp2_parts(builder, x)
    return _fma(builder, scale, change, scale)


def _exp_of_minus_magnitude(builder, x):
    """(whether x > 0 or NaN, exp(-|x|))."""
    positive = builder.fcmp_unordered(">", x, _constant(0.0))
    magnitude = builder.select(positive, x, builder.fneg(x))
    return positive, _exp2(builder, builder.fmul(magnitude, _constant(-LOG2_E)))


def _softplus(builder, x):
    """max(x, 0) + log1p(z), z = exp(-|x|), with log1p(z) = 2 artanh(z / (z + 2)) as an odd series, exact for tiny z."""
    positive, z = _exp_of_minus_magnitude(builder, x)
    ratio = builder.fdiv(z, builder.fadd(z, _constant(2.0)))
    series = _polynomial(builder, builder.fmul(ratio, ratio), [2 / power for power in range(15, 0, -2)])
    return _fma(builder, series, ratio, builder.select(positive, x, _constant(0.0)))


def _sigmoid(builder, x):
    positive, z = _exp_of_minus_magnitude(builder, x)
    inverse = builder.fdiv(_constant(1.0), builder.fadd(_constant(1.0), z))
    return builder.select(positive, inverse, builder.fmul(z, inverse))


def _shuffle(builder, x, y, lanes):
    return builder.shuffle_vector(x, y, ir.Constant(_INT_VECTOR, lanes))


def _transposed(builder, rows):
    """Transpose 16 vectors by four stages that exchange blocks of 1, 2, 4 and 8 lanes."""
    for size in (1, 2, 4, 8):
        low = [lane if not lane & size else LANES + (lane ^ size) for lane in range(LANES)]
        high = [lane | size if not lane & size else LANES + lane for lane in range(LANES)]
        exchanged = list(rows)
        for row in range(LANES):
            if not row & size:
                exchanged[row] = _shuffle(builder, rows[row], rows[row + size], low)
                exchanged[row + size] = _shuffle(builder, rows[row], rows[row + size], high)
        rows = exchanged
    return rows


@intrinsic
def load(typing_context, array, index):
    """16 consecutive elements."""

    def generate(context, builder, signature, arguments):
        return _load(context, builder, signature.args[0], *arguments)

    return vector(array, types.int64), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write 16 consecutive elements."""

    def generate(context, builder, signature, arguments):
        _store(context, builder, signature.args[0], *arguments)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector), generate


@intrinsic
def broadcast(typing_context, scalar):
    """The same number in all lanes."""

    def generate(context, builder, signature, arguments):
        return _splat(builder, arguments[0])

    return vector(types.float32), generate


@intrinsic
def broadcast_element(typing_context, array, index):
    """One element of an array in all lanes, without Numba's check for negative indices."""

    def generate(context, builder, signature, arguments):
        return _splat(builder, builder.load(_element_pointer(context, builder, signature.args[0], *arguments)))

    return vector(array, types.int64), generate


@intrinsic
def prefetch(typing_context, array, index):
    """Ask for a cache line that is read soon, in the second-level cache."""

    def generate(context, builder, signature, arguments):
        byte_pointer = ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, _INT32, _INT32, _INT32])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        pointer = builder.bitcast(_element_pointer(context, builder, signature.args[0], *arguments), byte_pointer)
        builder.call(function, [pointer, *(ir.Constant(_INT32, flag) for flag in (0, 2, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def transpose(typing_context, source, source_start, source_stride, target, target_start, target_stride):
    """target[target_start + i * target_stride + j] = source[source_start + j * source_stride + i], i, j < 16."""

    def generate(context, builder, signature, arguments):
        source, source_start, source_stride, target, target_start, target_stride = arguments
        rows = []
        for row in range(LANES):
            index = builder.add(source_start, builder.mul(source_stride, ir.Constant(_INT64, row)))
            rows.append(_load(context, builder, signature.args[0], source, index))
        for row, value in enumerate(_transposed(builder, rows)):
            index = builder.add(target_start, builder.mul(target_stride, ir.Constant(_INT64, row)))
            _store(context, builder, signature.args[3], target, index, value)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(source, integer, integer, target, integer, integer), generate


@intrinsic
def sum_lanes(typing_context, source, source_start, target, target_start):
    """target[target_start + i] = sum of the 16 elements from source[source_start + 16 i], i < 16."""

    def generate(context, builder, signature, arguments):
        source, source_start, target, target_start = arguments
        rows = []
        for row in range(LANES):
            index = builder.add(source_start, ir.Constant(_INT64, LANES * row))
            rows.append(_load(context, builder, signature.args[0], source, index))
        total = None
        for column in _transposed(builder, rows):
            total = column if total is None else builder.fadd(total, column)
        _store(context, builder, signature.args[2], target, target_start, total)
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@intrinsic
def fma(typing_context, x, y, z):
    """x * y + z."""

    def generate(context, builder, signature, arguments):
        return _fma(builder, *arguments)

    return vector(vector, vector, vector), generate


def _unary(formula):
    @intrinsic
    def apply(typing_context, x):
        def generate(context, builder, signature, arguments):
            return formula(builder, arguments[0])

        return vector(vector), generate

    return apply


@intrinsic
def exp2_parts(typing_context, x):
    """2^x as the exact sum of a power of two and a rest, which keeps the digits of a 2^x near 1."""

    def generate(context, builder, signature, arguments):
        scale, change = _exp2_parts(builder, arguments[0])
        return context.make_tuple(builder, signature.return_type, (scale, builder.fmul(scale, change)))

    return types.UniTuple(vector, 2)(vector), generate


softplus = _unary(_softplus)
sigmoid = _unary(_sigmoid)


@intrinsic
def _multiply(typing_context, x, y):
    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments, flags=_FLAGS)

    return vector(vector, vector), generate


@intrinsic
def _add(typing_context, x, y):
    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments, flags=_FLAGS)

    return vector(vector, vector), generate


@overload(operator.mul)
def _overload_mul(x, y):
    if isinstance(x, VectorType) and isinstance(y, VectorType):
        return lambda x, y: _multiply(x, y)


@overload(operator.add)
def _overload_add(x, y):
    if isinstance(x, VectorType) and isinstance(y, VectorType):
        return lambda x, y: _add(x, y)
