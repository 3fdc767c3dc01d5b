"""Half types as integers and as float32, and divisors as factors: steps before and after reducing.

NumPy's float16 maximum and ml_dtypes' bfloat16 one work element by element, and so do casts of
float16; integer maxima, shifts and masks have vector instructions. So half types are pooled by
their bits, or by keys: integers in the order of the elements, with NaN above all.
"""

import math

import numpy as np

from backends.numpy_program import Builder, copy

MANY = 8192
"""So many float32 are cast to float16, at 1.7 ns each, in about the time that the calls take which do it by their bits."""


def integer_of(dtype: np.dtype) -> np.dtype:
    """The signed integer type of the same size."""
    return np.dtype(f"i{dtype.itemsize}")


def infinity_bits(dtype: np.dtype) -> int:
    """The bits of +inf; those of NaN are larger."""
    return int(np.array(np.inf, dtype).view(integer_of(dtype)))


def rotation(dtype: np.dtype) -> int:
    """What `encode` subtracts: it takes the key of −inf to the least integer, and NaN with a sign bit, below it, round to the top."""
    return int(np.iinfo(integer_of(dtype)).max) + 1 - infinity_bits(dtype)


def encode(build: Builder, source: str, dtype: np.dtype) -> str:
    """Keys of floats: equal for −0 and 0, ascending, every NaN above +inf; a new integer register.

    The bits of a positive float ascend as an integer; those of a negative one descend, so all but
    the sign is flipped, and one is added, which makes −0 a zero.
    """
    integer = integer_of(dtype)
    bits = build.view(source, integer)
    key, sign = build.buffer(build.shapes[source], integer), build.buffer(build.shapes[source], integer)
    build.emit(np.right_shift, bits, integer.type(8 * dtype.itemsize - 1), out=sign)
    build.emit(np.bitwise_and, sign, integer.type(np.iinfo(integer).max), out=key)
    build.emit(np.bitwise_xor, key, bits, out=key)
    build.emit(np.subtract, key, sign, out=key)
    build.emit(np.subtract, key, integer.type(rotation(dtype)), out=key)
    build.free(sign)
    return key


def decode(build: Builder, key: str, dtype: np.dtype, out: str) -> None:
    """Floats of keys, into a register of that dtype; spoils the keys."""
    integer = integer_of(dtype)
    sign = build.buffer(build.shapes[key], integer)
    build.emit(np.add, key, integer.type(rotation(dtype)), out=key)
    build.emit(np.right_shift, key, integer.type(8 * dtype.itemsize - 1), out=sign)
    build.emit(np.add, key, sign, out=key)
    build.emit(np.bitwise_and, sign, integer.type(np.iinfo(integer).max), out=sign)
    build.emit(np.bitwise_xor, key, sign, out=build.view(out, integer))
    build.free(sign)


def canonical(build: Builder, source: str, dtype: np.dtype) -> str:
    """Keys as of `encode`, with one key for all NaN: equal keys are elements of which the first is the maximum."""
    key = encode(build, source, dtype)
    first_nan = infinity_bits(dtype) - rotation(dtype) + 1
    build.emit(np.minimum, key, integer_of(dtype).type(first_nan), out=key)
    return key


def refuse_above(bits: np.ndarray, most: int) -> None:
    """Raise FloatingPointError if there are bits above `most`: NaN, say, which the bits alone do not order."""
    if bits.size and bits.max() > most:
        raise FloatingPointError("a float that its bits do not order")


def shrinks(dtype: np.dtype) -> float:
    """By how much `widen` makes numbers smaller: 2^112 for float16, whose exponents it leaves as they are in float32."""
    return 2.0**112 if dtype == np.float16 else 1.0


def widen(build: Builder, source: str, dtype: np.dtype, accumulator: np.dtype, *, finite: bool = False) -> str:
    """A register in the accumulator's type: itself, or a converted copy, of which the numbers are smaller as `shrinks` says.

    `finite` float16 are converted by their bits, five times as fast as by a cast: sign, exponent and
    mantissa are moved to where float32 has them. That is x·2^-112, for float32 has the larger exponent, and
    exact, like every sum of it: the factor that follows makes up for it. Infinity and NaN raise FloatingPointError.
    """
    if dtype == accumulator:
        return source
    shape = build.shapes[source]
    wide = build.buffer(shape, accumulator)
    if dtype != np.float16:
        build.emit(copy, source, out=wide)
        return wide
    if not finite:
        build.emit(copy, source, out=wide)
        build.emit(np.multiply, wide, np.float32(1 / shrinks(dtype)), out=wide)
        return wide
    bits = build.view(wide, np.int32)
    build.emit(refuse_above, build.view(source, np.int16), infinity_bits(dtype) - 1, out=None)
    build.emit(refuse_above, build.view(source, np.uint16), (infinity_bits(dtype) | 0x8000) - 1, out=None)
    build.emit(copy, build.view(source, np.int16), out=bits)
    build.emit(np.left_shift, bits, np.int32(13), out=bits)
    build.emit(np.bitwise_and, bits, np.int32(~0x70001FFF), out=bits)
    return wide


def narrow(build: Builder, source: str, dtype: np.dtype, out: str, *, finite: bool = False) -> None:
    """Round a float32 register once to a half type, into a register of that type; spoils it.

    Many `finite` numbers become float16 by their bits, in half of a cast's time; of few, the calls would take longer.
    Adding 1.5·2^(e+13) to a number with the exponent e, and taking it away, leaves the 11 digits that float16 has, rounded
    to nearest, ties to even; e is at least −14, below which float16 has fewer. 2^-112 then makes up for the smaller exponent, exactly.
    """
    shape = build.shapes[source]
    if not finite or dtype != np.float16 or math.prod(shape) < MANY:
        build.emit(copy, source, out=out)
        return
    bits = build.view(source, np.int32)
    sign, large = build.buffer(shape, np.int32), build.buffer(shape, np.float32)
    exponent = build.view(large, np.int32)
    build.emit(np.bitwise_and, bits, np.int32(-(2**31)), out=sign)
    # Where rounding to infinity begins. `np.clip`, since NumPy's maximum of an array and a number has no vector instructions.
    build.emit(np.clip, source, np.float32(-65520), np.float32(65520), out=source)
    build.emit(np.bitwise_and, bits, np.int32(0xFF << 23), out=exponent)
    build.emit(np.clip, exponent, np.int32((127 - 14) << 23), np.int32((127 + 15) << 23), out=exponent)
    build.emit(np.add, exponent, np.int32((13 << 23) + (1 << 22)), out=exponent)
    build.emit(np.add, source, large, out=source)
    build.emit(np.subtract, source, large, out=source)
    build.emit(np.multiply, source, np.float32(1 / shrinks(dtype)), out=source)
    build.emit(np.right_shift, bits, np.int32(13), out=bits)
    build.emit(np.bitwise_and, bits, np.int32(0x7FFF), out=bits)
    build.emit(np.right_shift, sign, np.int32(16), out=sign)
    build.emit(np.bitwise_or, bits, sign, out=bits)
    build.emit(copy, bits, out=build.view(out, np.int16))
    build.free(large)
    build.free(sign)


def reciprocal(divisor: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, int]:
    """(factor, exponent) such that x·factor·2^exponent is x/divisor with two roundings.

    The exponent is 0 but for divisors past 2⁶⁴, of which the reciprocal itself might underflow.
    """
    if divisor.ndim:
        return (1 / divisor).astype(dtype), 0
    whole = int(divisor)
    exponent = max(0, abs(whole).bit_length() - 64)
    return np.array(2**exponent / whole).astype(dtype), -exponent
