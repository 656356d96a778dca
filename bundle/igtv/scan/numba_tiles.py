"""The recurrence over one tile of time steps and one block of 16 channels, forward and backward.

All arrays are flat float32. A tile array holds 16 channels per step, `[step * 16 + channel]`; states hold 16 channels
per state, `[n * 16 + channel]`; B and C of a tile are `[step * N + n]`, the same for all channels.
"""

from .numba_compile import kernel
from .numba_simd import LANES, LN_2, broadcast, broadcast_element, exp2_parts, fma, load, sigmoid, softplus, store

# Steps per tile, and the interval of the kept states: measured with 16, 32 and 64 on AVX-512, where 64 was the fastest
# and keeps N / 64 of the size of u.
TILE = 64


@kernel
def decayed(scale, rest, x, plus):
    """(scale + rest) * x + plus, as the sum of an exact product and small ones.

    A decay near 1 that is first rounded to fp32 would be wrong in the same direction at every step: over thousands of
    steps, 1e-4 of the gradients would be lost.
    """
    return fma(scale, x, fma(rest, x, plus))


@kernel
def scan_tile(N, steps, rates, rates_start, state, state_start, step, step_u, B, C, y):
    """Advance `state` through the tile and add C . h to `y`; four states at a time, so that chains overlap.

    `rates` are A * log2(e); `step_u` is step size times input.
    """
    n = 0
    while n + 4 <= N:
        a, s = rates_start + n * LANES, state_start + n * LANES
        a0, a1, a2, a3 = load(rates, a), load(rates, a + 16), load(rates, a + 32), load(rates, a + 48)
        h0, h1, h2, h3 = load(state, s), load(state, s + 16), load(state, s + 32), load(state, s + 48)
        for t in range(steps):
            size, value, i = load(step, t * LANES), load(step_u, t * LANES), t * N + n
            s0, r0 = exp2_parts(size * a0)
            s1, r1 = exp2_parts(size * a1)
            s2, r2 = exp2_parts(size * a2)
            s3, r3 = exp2_parts(size * a3)
            h0 = decayed(s0, r0, h0, value * broadcast_element(B, i))
            h1 = decayed(s1, r1, h1, value * broadcast_element(B, i + 1))
            h2 = decayed(s2, r2, h2, value * broadcast_element(B, i + 2))
            h3 = decayed(s3, r3, h3, value * broadcast_element(B, i + 3))
            even = fma(h0, broadcast_element(C, i), load(y, t * LANES))
            odd = h1 * broadcast_element(C, i + 1)
            even = fma(h2, broadcast_element(C, i + 2), even)
            odd = fma(h3, broadcast_element(C, i + 3), odd)
            store(y, t * LANES, even + odd)
        store(state, s, h0)
        store(state, s + 16, h1)
        store(state, s + 32, h2)
        store(state, s + 48, h3)
        n += 4
    while n < N:
        a0, s = load(rates, rates_start + n * LANES), state_start + n * LANES
        h0 = load(state, s)
        for t in range(steps):
            s0, r0 = exp2_parts(load(step, t * LANES) * a0)
            h0 = decayed(s0, r0, h0, load(step_u, t * LANES) * broadcast_element(B, t * N + n))
            store(y, t * LANES, fma(h0, broadcast_element(C, t * N + n), load(y, t * LANES)))
        store(state, s, h0)
        n += 1


@kernel
def last_state_backward(
    N, steps, rates, rates_start, kept, kept_start, grad_state, grad_state_start, grad_rates, grad_rates_start,
    step, step_u, grad_y, B, C, grad_input, grad_decay, grad_B, grad_C, scales, rests, before,
):  # fmt: skip
    """The last of an odd number of states; as `scan_tile_backward`."""
    n = N - 1
    shift = n * LANES
    a0, h0 = load(rates, rates_start + shift), load(kept, kept_start + shift)
    for t in range(steps):
        s0, x0 = exp2_parts(load(step, t * LANES) * a0)
        store(scales, t * LANES, s0)
        store(rests, t * LANES, x0)
        store(before, t * LANES, h0)
        h0 = decayed(s0, x0, h0, load(step_u, t * LANES) * broadcast_element(B, t * N + n))
    g0, r0 = load(grad_state, grad_state_start + shift), load(grad_rates, grad_rates_start + shift)
    for back in range(steps):
        t = steps - 1 - back
        at, i = t * LANES, t * N + n
        dy = load(grad_y, at)
        g0 = fma(dy, broadcast_element(C, i), g0)
        store(grad_C, i * LANES, fma(h0, dy, load(grad_C, i * LANES)))
        store(grad_B, i * LANES, fma(g0, load(step_u, at), load(grad_B, i * LANES)))
        store(grad_input, at, fma(g0, broadcast_element(B, i), load(grad_input, at)))
        h0 = load(before, at)
        g0 = fma(load(scales, at), g0, load(rests, at) * g0)
        x0 = g0 * h0
        store(grad_decay, at, fma(x0, a0, load(grad_decay, at)))
        r0 = fma(x0, load(step, at), r0)
    store(grad_state, grad_state_start + shift, g0)
    store(grad_rates, grad_rates_start + shift, r0)


@kernel
def scan_tile_backward(
    N, steps, rates, rates_start, kept, kept_start, grad_state, grad_state_start, grad_rates, grad_rates_start,
    step, step_u, grad_y, B, C, grad_input, grad_decay, grad_B, grad_C, scales, rests, before,
):  # fmt: skip
    """Gradients of one tile, with the states recomputed from the one kept at the tile's start; two states at a time.

    `grad_state` carries what flows from the following tile to the one before. Added to: `grad_rates`, `grad_input` (sum
    over n of g B), `grad_decay` (sum over n of g h_before a rates: the step size's gradient through the decay, in units
    of log2(e), because the rates are), and `grad_B`, `grad_C`, `[(step * N + n) * 16 + channel]`, still to be summed
    over channels. `scales`, `rests` and `before` are scratch of 2 * TILE * 16 each.
    """
    half = TILE * LANES
    n = 0
    while n + 2 <= N:
        shift = n * LANES
        a0, a1 = load(rates, rates_start + shift), load(rates, rates_start + shift + 16)
        h0, h1 = load(kept, kept_start + shift), load(kept, kept_start + shift + 16)
        for t in range(steps):
            size, value, at = load(step, t * LANES), load(step_u, t * LANES), t * LANES
            s0, x0 = exp2_parts(size * a0)
            s1, x1 = exp2_parts(size * a1)
            store(scales, at, s0)
            store(scales, half + at, s1)
            store(rests, at, x0)
            store(rests, half + at, x1)
            store(before, at, h0)
            store(before, half + at, h1)
            h0 = decayed(s0, x0, h0, value * broadcast_element(B, t * N + n))
            h1 = decayed(s1, x1, h1, value * broadcast_element(B, t * N + n + 1))
        g0, g1 = load(grad_state, grad_state_start + shift), load(grad_state, grad_state_start + shift + 16)
        r0, r1 = load(grad_rates, grad_rates_start + shift), load(grad_rates, grad_rates_start + shift + 16)
        for back in range(steps):
            t = steps - 1 - back
            at, i = t * LANES, t * N + n
            size, value, dy = load(step, at), load(step_u, at), load(grad_y, at)
            g0 = fma(dy, broadcast_element(C, i), g0)
            g1 = fma(dy, broadcast_element(C, i + 1), g1)
            store(grad_C, i * LANES, fma(h0, dy, load(grad_C, i * LANES)))
            store(grad_C, i * LANES + 16, fma(h1, dy, load(grad_C, i * LANES + 16)))
            store(grad_B, i * LANES, fma(g0, value, load(grad_B, i * LANES)))
            store(grad_B, i * LANES + 16, fma(g1, value, load(grad_B, i * LANES + 16)))
            total = fma(g0, broadcast_element(B, i), load(grad_input, at))
            store(grad_input, at, fma(g1, broadcast_element(B, i + 1), total))
            h0, h1 = load(before, at), load(before, half + at)
            g0 = fma(load(scales, at), g0, load(rests, at) * g0)
            g1 = fma(load(scales, half + at), g1, load(rests, half + at) * g1)
            x0, x1 = g0 * h0, g1 * h1
            store(grad_decay, at, fma(x0, a0, fma(x1, a1, load(grad_decay, at))))
            r0, r1 = fma(x0, size, r0), fma(x1, size, r1)
        store(grad_state, grad_state_start + shift, g0)
        store(grad_state, grad_state_start + shift + 16, g1)
        store(grad_rates, grad_rates_start + shift, r0)
        store(grad_rates, grad_rates_start + shift + 16, r1)
        n += 2
    if n < N:
        last_state_backward(
            N, steps, rates, rates_start, kept, kept_start, grad_state, grad_state_start, grad_rates, grad_rates_start,
            step, step_u, grad_y, B, C, grad_input, grad_decay, grad_B, grad_C, scales, rests, before,
        )  # fmt: skip


@kernel
def prepare_backward(steps, bias, delta_softplus, u, step, slope, step_u):
    """From the raw step size in `step`: the step size, its slope, and step size times input."""
    for t in range(steps):
        raw = load(step, t * LANES) + bias
        size = raw
        if delta_softplus:
            size = softplus(raw)
            store(slope, t * LANES, sigmoid(raw))
        store(step, t * LANES, size)
        store(step_u, t * LANES, size * load(u, t * LANES))


@kernel
def finish_backward(
    steps, delta_softplus, u, step, slope, grad_y, skip, grad_input, grad_decay, grad_skip, grad_bias, packed
):
    """Turn `grad_input` into the gradient of u and `grad_decay` into that of the raw step size; add skip and bias."""
    ln_2 = broadcast(LN_2)
    skip_sum, bias_sum = load(grad_skip, packed), load(grad_bias, packed)
    for t in range(steps):
        at = t * LANES
        value, dy, through_input = load(u, at), load(grad_y, at), load(grad_input, at)
        raw = fma(value, through_input, load(grad_decay, at) * ln_2)
        if delta_softplus:
            raw = raw * load(slope, at)
        skip_sum, bias_sum = fma(dy, value, skip_sum), bias_sum + raw
        store(grad_decay, at, raw)
        store(grad_input, at, fma(load(step, at), through_input, dy * skip))
    store(grad_skip, packed, skip_sum)
    store(grad_bias, packed, bias_sum)
