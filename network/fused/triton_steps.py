"""Kernels of a CUDA device, read only where they are used: Triton loads slowly."""

import triton
import triton.language as tl


@triton.jit
def forward(  # type: ignore[no-untyped-def]
    current, start, theta, before, spikes, end, size, stride, steps, decay,
    HARD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    v, bound = tl.load(start + at, mask=inside, other=0.0), tl.load(theta)
    kind = spikes.dtype.element_ty
    for _ in range(steps):
        z = tl.load(current + at, mask=inside, other=0.0).to(tl.float32)
        charged = decay * v + z
        spike = tl.where(charged >= bound, 1.0, 0.0)
        tl.store(before + at, charged, mask=inside)
        tl.store(spikes + at, spike.to(kind), mask=inside)
        v = charged * (1.0 - spike) if HARD else charged - bound * spike
        current += stride
        before += size
        spikes += size
    tl.store(end + at, v, mask=inside)


@triton.jit
def backward(  # type: ignore[no-untyped-def]
    before, arrived, theta, result, carried, size, steps, decay, first, second,
    FORM: tl.constexpr, HARD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    bound = tl.load(theta)
    later = tl.full((BLOCK,), 0.0, tl.float32)
    for back in range(steps):
        place = (steps - 1 - back).to(tl.int64) * size + at
        x = tl.load(before + place, mask=inside, other=0.0) - bound
        if FORM == 0:
            root = 1.0 + first * tl.abs(x)
            slope = second / (root * root)
        elif FORM == 1:
            slope = second * tl.maximum(1.0 - first * tl.abs(x), 0.0)
        elif FORM == 2:
            slope = second * tl.exp(-first * tl.abs(x))
        elif FORM == 3:
            slope = tl.where(tl.abs(x) < 0.5 * first, 1.0 / first, 0.0)
        else:
            root = 1.5707963267948966 * first * x
            slope = 0.5 * first / (1.0 + root * root)
        if HARD:
            later = tl.where(x < 0, later, 0.0)
        gradient = tl.load(arrived + place, mask=inside, other=0.0).to(tl.float32)
        later += gradient * slope
        tl.store(result + place, later.to(result.dtype.element_ty), mask=inside)
        later *= decay
    tl.store(carried + at, later, mask=inside)


@triton.jit
def added(numbers, per_place, each, at, place, inside, PLACED: tl.constexpr):  # type: ignore[no-untyped-def]
    x = tl.load(numbers + at, mask=inside, other=0).to(tl.int32)
    return x * (tl.load(per_place + place, mask=inside, other=0) if PLACED else each)


@triton.jit
def whole(  # type: ignore[no-untyped-def]
    v, theta, spikes, size, image, steps,
    first, first_stride, first_each, first_factor,
    second, second_stride, second_each, second_factor,
    third, third_stride, third_each, third_factor,
    FIRST: tl.constexpr, SECOND: tl.constexpr, THIRD: tl.constexpr,
    PARTS: tl.constexpr, HARD: tl.constexpr, LIMIT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    place = at % image
    bound = tl.load(theta + place, mask=inside, other=1)
    potential = tl.load(v + at, mask=inside, other=0)
    for _ in range(steps):
        potential += added(first, first_factor, first_each, at, place, inside, FIRST)
        first += first_stride
        if PARTS > 1:
            potential += added(second, second_factor, second_each, at, place, inside, SECOND)
            second += second_stride
        if PARTS > 2:
            potential += added(third, third_factor, third_each, at, place, inside, THIRD)
            third += third_stride
        fired = potential >= bound
        tl.store(spikes + at, fired.to(tl.uint8), mask=inside)
        spikes += size
        potential = tl.where(fired, 0 if HARD else potential - bound, potential)
        if LIMIT:
            potential = tl.minimum(tl.maximum(potential, -LIMIT), LIMIT)
    tl.store(v + at, potential, mask=inside)
