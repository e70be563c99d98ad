"""The kernels of `network.fused.on_cuda`, read only where they are used: Triton loads slowly."""

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
