"""Vector registers inside numba: a handful of LLVM operations that plain loops cannot be trusted to become.

A value of these types lives only inside a compiled kernel. Addresses are plain integers (bytes), so that one table of
numbers can describe any number of volumes; nothing here checks a bound, the kernels do. The permutes and the
multiply-add exist per instruction set: a kernel that uses one must only run where `vector_level` says so.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import models, register_model

__all__ = ["LEVELS", "Level", "vector_level"]

Level = Literal["avx512", "avx2", "plain"]
module_function: Any = cgutils.get_or_insert_function

LEVELS: tuple[Level, ...] = ("avx512", "avx2", "plain")
LEVEL_VARIABLE = "FLUOROSCOPE_VECTOR_LEVEL"


def intrinsic(build: Callable[..., Any]) -> Any:
    """Make ``build`` an operation that kernels can call."""
    return extending.intrinsic(build)


@cache
def available_levels() -> tuple[Level, ...]:
    """Return the levels numba's code generator can emit for this processor, the fastest first."""
    features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
    found: list[Level] = []
    if {"+avx512bw", "+avx512vl", "+avx512dq"} <= features:
        found.append("avx512")
    if "+avx2" in features:
        found.append("avx2")
    return (*found, "plain")


def vector_level(level: str | None = None) -> Level:
    """Return the level to run: ``level``, else the environment's FLUOROSCOPE_VECTOR_LEVEL, else the fastest here.

    Raises
    ------
    ValueError
        When the level is unknown or this processor does not have it.
    """
    wanted = level if level is not None else os.environ.get(LEVEL_VARIABLE, "")
    found = available_levels()
    if not wanted:
        return found[0]
    if wanted not in found:
        raise ValueError(f"vector level {wanted!r} is not one this processor runs: choose one of {', '.join(found)}")
    return next(one for one in found if one == wanted)


class Vector(types.Type):
    """A register of ``lanes`` equal numbers; ``kind`` is i8, i16, i32 or f32."""

    def __init__(self, kind: str, lanes: int) -> None:
        self.kind, self.lanes = kind, lanes
        super().__init__(name=f"Vector({lanes} x {kind})")

    @property
    def ir_type(self) -> Any:
        """The LLVM type."""
        element = ir.FloatType() if self.kind == "f32" else ir.IntType(int(self.kind[1:]))
        return ir.VectorType(element, self.lanes)


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    """Keeps a `Vector` as one LLVM value, which the optimiser puts in a register."""

    def __init__(self, dmm: Any, fe_type: Vector) -> None:
        super().__init__(dmm, fe_type, fe_type.ir_type)  # type: ignore[no-untyped-call]


H32 = Vector("i16", 32)
W16 = Vector("i32", 16)
F16 = Vector("f32", 16)
F8 = Vector("f32", 8)
H16 = Vector("i16", 16)
W8 = Vector("i32", 8)
B32 = Vector("i8", 32)


def pointer(builder: Any, address: Any, ir_type: Any) -> Any:
    """Return ``address`` as a pointer to ``ir_type``."""
    return builder.inttoptr(address, ir_type.as_pointer())


def call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Emit a call of the LLVM intrinsic ``name``."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(module_function(builder.module, kind, name), arguments)


def lanes_of(ir_type: Any, numbers: list[int] | list[float]) -> Any:
    """Return a constant vector."""
    return ir.Constant(ir_type, [ir.Constant(ir_type.element, number) for number in numbers])


def splat_ir(builder: Any, ir_type: Any, scalar: Any) -> Any:
    """Return a vector with ``scalar`` in every lane."""
    start = builder.insert_element(ir.Constant(ir_type, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), ir_type.count), [ir.IntType(32)(0)] * ir_type.count)
    return builder.shuffle_vector(start, ir.Constant(ir_type, ir.Undefined), mask)


def loader(vector: Vector, align: int) -> Any:
    """Make ``load(address)`` for a vector type."""

    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(pointer(builder, args[0], vector.ir_type), align=align)

        return vector(types.int64), emit

    return load


def storer(vector: Vector, align: int) -> Any:
    """Make ``store(address, value)`` for a vector type."""

    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[1], pointer(builder, args[0], vector.ir_type), align=align)
            return context.get_dummy_value()

        return types.void(types.int64, vector), emit

    return store


def splatter(vector: Vector, scalar: Any) -> Any:
    """Make ``splat(number)`` for a vector type."""

    @intrinsic
    def splat(typingctx: Any, number: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return splat_ir(builder, vector.ir_type, args[0])

        return vector(scalar), emit

    return splat


def binary(integer: str | None, real: str | None) -> Any:
    """Make a lane-by-lane operation from llvmlite's builder methods for whole and real numbers."""

    @intrinsic
    def operation(typingctx: Any, left: Any, right: Any) -> Any:
        method = real if left.kind == "f32" else integer
        if left != right or method is None:
            return None

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, method)(args[0], args[1])

        return left(left, right), emit

    return operation


def named(name: str, result: Vector, *parameters: Vector) -> Any:
    """Make an operation of two or three vectors that is an LLVM intrinsic of this name."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return call(builder, name, result.ir_type, list(args))

    if len(parameters) == 2:

        @intrinsic
        def two(typingctx: Any, a: Any, b: Any) -> Any:
            return result(*parameters), emit

        return two

    @intrinsic
    def three(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        return result(*parameters), emit

    return three


def real_operation(name: str, count: int) -> Any:
    """Make a lane-by-lane operation of one to three vectors of real numbers: the LLVM intrinsic ``llvm.name``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = signature.return_type
        return call(builder, f"llvm.{name}.v{vector.lanes}f32", vector.ir_type, list(args))

    if count == 1:

        @intrinsic
        def one(typingctx: Any, a: Any) -> Any:
            return a(a), emit

        return one
    if count == 2:

        @intrinsic
        def two(typingctx: Any, a: Any, b: Any) -> Any:
            return a(a, a), emit

        return two

    @intrinsic
    def three(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
        return a(a, a, a), emit

    return three


def lane_numbers(vector: Vector) -> Any:
    """Make ``lanes()``, the vector 0, 1, 2 and so on."""

    @intrinsic
    def lanes(typingctx: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return lanes_of(vector.ir_type, list(range(vector.lanes)))

        return vector(), emit

    return lanes


def caster(source: Vector, target: Vector, method: str) -> Any:
    """Make a conversion with llvmlite's builder method (sitofp, fptosi, bitcast)."""

    @intrinsic
    def cast_to(typingctx: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, method)(args[0], target.ir_type)

        return target(source), emit

    return cast_to


add = binary("add", "fadd")
sub = binary("sub", "fsub")
mul = binary("mul", "fmul")
div = binary(None, "fdiv")
shift_right = binary("ashr", None)
shift_left = binary("shl", None)
both = binary("and_", None)
either = binary("or_", None)

load_h32, load_h16 = loader(H32, 2), loader(H16, 2)
load_w16, store_w16 = loader(W16, 4), storer(W16, 4)
load_w8, store_w8 = loader(W8, 4), storer(W8, 4)
load_f16, store_f16 = loader(F16, 4), storer(F16, 4)
splat_h32, splat_h16 = splatter(H32, types.int16), splatter(H16, types.int16)
splat_w16, splat_w8 = splatter(W16, types.int32), splatter(W8, types.int32)
lanes_w16, lanes_w8 = lane_numbers(W16), lane_numbers(W8)
real_from_whole = caster(W16, F16, "sitofp")
eight_real_from_whole = caster(W8, F8, "sitofp")
halves_from_words = caster(W16, H32, "bitcast")
floor, square_root = real_operation("floor", 1), real_operation("sqrt", 1)
least_of, greatest_of, multiply_add = (
    real_operation("minnum", 2),
    real_operation("maxnum", 2),
    real_operation("fma", 3),
)

permute_h32 = named("llvm.x86.avx512.permvar.hi.512", H32, H32, H32)
round_multiply_h32 = named("llvm.x86.avx512.pmul.hr.sw.512", H32, H32, H32)
pair_products_h32 = named("llvm.x86.avx512.pmaddw.d.512", W16, H32, H32)
shuffle_b32 = named("llvm.x86.avx2.pshuf.b", B32, B32, B32)
round_multiply_h16 = named("llvm.x86.avx2.pmul.hr.sw", H16, H16, H16)
pair_products_h16 = named("llvm.x86.avx2.pmadd.wd", W8, H16, H16)
bytes_from_halves = caster(H16, B32, "bitcast")
halves_from_bytes = caster(B32, H16, "bitcast")


@intrinsic
def join_halves(typingctx: Any, low_address: Any, high_address: Any) -> Any:
    """Load eight numbers from each of two addresses into the two halves of an `H16`."""
    eight = ir.VectorType(ir.IntType(16), 8)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        low, high = (builder.load(pointer(builder, address, eight), align=2) for address in args)
        mask = ir.Constant(ir.VectorType(ir.IntType(32), 16), [ir.IntType(32)(i) for i in range(16)])
        return builder.shuffle_vector(low, high, mask)

    return H16(types.int64, types.int64), emit


@intrinsic
def shuffle_pattern(typingctx: Any, pairs: Any) -> Any:
    """Return the byte pattern for `shuffle_b32` that brings numbers (p, p + 1) into each 32-bit lane, p in 0..6."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scaled = builder.mul(args[0], splat_ir(builder, W8.ir_type, ir.IntType(32)(0x02020202)))
        pattern = builder.add(scaled, splat_ir(builder, W8.ir_type, ir.IntType(32)(0x03020100)))
        return builder.bitcast(pattern, B32.ir_type)

    return B32(W8), emit


@intrinsic
def bitcast_h16(typingctx: Any, words: Any) -> Any:
    """Read eight 32-bit lanes as sixteen 16-bit ones."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], H16.ir_type)

    return H16(W8), emit


@intrinsic
def splat_like(typingctx: Any, vector: Any, number: Any) -> Any:
    """Return a vector of ``vector``'s kind with ``number`` in every lane."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return splat_ir(builder, signature.return_type.ir_type, args[1])

    return vector(vector, types.float32 if vector.kind == "f32" else types.int32), emit


@intrinsic
def load_like(typingctx: Any, vector: Any, address: Any) -> Any:
    """Load a vector of ``vector``'s kind."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(pointer(builder, args[1], signature.return_type.ir_type), align=4)

    return vector(vector, types.int64), emit


@intrinsic
def store(typingctx: Any, address: Any, value: Any) -> Any:
    """Store a vector of 32-bit numbers."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], pointer(builder, args[0], args[1].type), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, value), emit


@intrinsic
def whole_from_real(typingctx: Any, value: Any) -> Any:
    """Return the numbers cut to whole ones."""
    whole = Vector("i32", value.lanes)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptosi(args[0], whole.ir_type)

    return whole(value), emit


@intrinsic
def permute_two(typingctx: Any, first: Any, pick: Any, second: Any) -> Any:
    """Return lanes of ``first`` followed by ``second``, chosen by the whole numbers ``pick``; both `F16` or `F8`."""
    result = first

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, (low, numbers, high) = result.ir_type, args
        if result.lanes == 16:
            return call(builder, "llvm.x86.avx512.vpermi2var.ps.512", kind, [low, numbers, high])
        # The permute of eight looks at three bits of each number; the fourth says which register.
        parts = [call(builder, "llvm.x86.avx2.permps", kind, [part, numbers]) for part in (low, high)]
        beyond = builder.icmp_signed(">", numbers, splat_ir(builder, numbers.type, ir.IntType(32)(7)))
        return builder.select(beyond, parts[1], parts[0])

    return result(first, pick, second), emit


@intrinsic
def select_between(typingctx: Any, position: Any, low: Any, high: Any, inside: Any, outside: Any) -> Any:
    """Return ``inside`` in the lanes where low ≤ position < high, else ``outside``; real numbers all."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at, least, below, yes, no = args
        mask = builder.and_(
            builder.fcmp_ordered(">=", at, least),
            builder.fcmp_ordered("<", at, below),
        )
        return builder.select(mask, yes, no)

    return position(position, position, position, position, position), emit


@intrinsic
def lane(typingctx: Any, vector: Any, number: Any) -> Any:
    """Return one lane of a vector of real numbers."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(args[0], builder.trunc(args[1], ir.IntType(32)))

    return types.float32(vector, types.int64), emit


@intrinsic
def count_lanes(typingctx: Any, vector: Any) -> Any:
    """Return how many numbers a vector holds, a constant to the compiler."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.IntType(64)(signature.args[0].lanes)

    return types.int64(vector), emit


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at ``address``; a wrong address does no harm."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = pointer(builder, args[0], ir.IntType(8))
        numbers = [ir.IntType(32)(n) for n in (0, 3, 1)]
        kind = ir.FunctionType(ir.VoidType(), [where.type] + [n.type for n in numbers])
        name = "llvm.prefetch.p0" if where.type.is_opaque else "llvm.prefetch.p0i8"
        builder.call(module_function(builder.module, kind, name), [where, *numbers])
        return context.get_dummy_value()

    return types.void(types.int64), emit


def scalar_access(kind: Any, ir_type: Any) -> tuple[Any, Any]:
    """Make ``get(address)`` and ``put(address, value)`` for one number."""

    @intrinsic
    def get(typingctx: Any, address: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.load(pointer(builder, args[0], ir_type))

        return kind(types.int64), emit

    @intrinsic
    def put(typingctx: Any, address: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            builder.store(args[1], pointer(builder, args[0], ir_type))
            return context.get_dummy_value()

        return get_signature(kind), emit

    def get_signature(number: Any) -> Any:
        return types.void(types.int64, number)

    return get, put


get_i16, put_i16 = scalar_access(types.int16, ir.IntType(16))
get_i32, put_i32 = scalar_access(types.int32, ir.IntType(32))
get_i64, put_i64 = scalar_access(types.int64, ir.IntType(64))
get_f32, put_f32 = scalar_access(types.float32, ir.FloatType())


@intrinsic
def fetch_add(typingctx: Any, address: Any) -> Any:
    """Add 1 to the int64 at ``address`` and return what it was; safe between threads."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = pointer(builder, args[0], ir.IntType(64))
        return builder.atomic_rmw("add", where, ir.IntType(64)(1), "monotonic")

    return types.int64(types.int64), emit
