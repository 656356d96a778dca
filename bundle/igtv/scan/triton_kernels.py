"""Triton kernels of the scan along sequences, forward and backward.

One program per (batch, channel): states and a chunk of time steps form a 2-D tile on which the recurrence is an
associative scan; chunks follow one another. The backward pass recomputes a chunk from the state kept at its start.
B's and C's gradients are sums over channels by fp32 atomics, so their last bits differ from run to run.
"""

import triton
import triton.language as tl


@triton.jit
def _combine(change_before, value_before, change, value):
    """Two steps of h -> h + change * h + value as one; change = decay - 1 keeps the digits of a decay near 1."""
    return change_before + (change_before * change + change), value_before + (change * value_before + value)


@triton.jit
def _expm1(x):
    """exp(x) - 1, x <= 0; near 0 by its series x (1 + x/2 (1 + x/3 (...))), whose first missing term is below 1e-8."""
    series = 1.0 + x * (1 / 8)
    for k in tl.static_range(0, 6):
        series = 1.0 + x * series * (1 / (7 - k))
    return tl.where(x > -0.5, x * series, tl.exp(x) - 1.0)


@triton.jit
def _softplus(x):
    """max(x, 0) + log1p(exp(-|x|)), with Kahan's log1p: log(1 + exp(x)) would lose tiny step sizes."""
    z = tl.exp(-tl.abs(x))
    w = 1.0 + z
    log1p = tl.where(w == 1.0, z, tl.log(w) * (z / tl.where(w == 1.0, 1.0, w - 1.0)))
    return tl.maximum(x, 0.0) + log1p


@triton.jit
def _step_size(delta, bias, mask, SOFTPLUS: tl.constexpr):
    """Step size of the steps under the mask; 0, which changes no state, elsewhere."""
    raw = delta + bias
    if SOFTPLUS:
        raw = _softplus(raw)
    return tl.where(mask, raw, 0.0)


@triton.jit
def forward_kernel(
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr, kept_ptr, channels, per_group, L, chunks, N,
    STATES: tl.constexpr, CHUNK: tl.constexpr, KEEP: tl.constexpr, SOFTPLUS: tl.constexpr,
):  # fmt: skip
    """y of one channel. STATES is N rounded up to a power of two."""
    row = tl.program_id(0).to(tl.int64)
    channel = row % channels
    shared = (row // channels) * (channels // per_group) + channel // per_group
    n = tl.arange(0, STATES)
    t = tl.arange(0, CHUNK)
    present = n < N
    A = tl.load(A_ptr + channel * N + n, mask=present, other=0.0)
    skip = tl.load(D_ptr + channel)
    bias = tl.load(bias_ptr + channel)
    state = tl.zeros((STATES,), tl.float32)
    for chunk in range(0, chunks):
        time = chunk * CHUNK + t
        inside = time < L
        if KEEP:
            tl.store(kept_ptr + (row * chunks + chunk) * N + n, state, mask=present)
        u = tl.load(u_ptr + row * L + time, mask=inside, other=0.0)
        delta = tl.load(delta_ptr + row * L + time, mask=inside, other=0.0)
        step = _step_size(delta, bias, inside, SOFTPLUS)
        tile = (shared * N + n[:, None]) * L + time[None, :]
        tile_mask = present[:, None] & inside[None, :]
        B = tl.load(B_ptr + tile, mask=tile_mask, other=0.0)
        C = tl.load(C_ptr + tile, mask=tile_mask, other=0.0)
        change = _expm1(A[:, None] * step[None, :])
        change, states = tl.associative_scan((change, B * (step * u)[None, :]), 1, _combine)
        states = state[:, None] + (change * state[:, None] + states)
        tl.store(y_ptr + row * L + time, tl.sum(states * C, 0) + skip * u, mask=inside)
        state = tl.sum(tl.where(t[None, :] == CHUNK - 1, states, 0.0), 1)


@triton.jit
def backward_kernel(
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, kept_ptr, grad_y_ptr,
    grad_u_ptr, grad_delta_ptr, grad_A_ptr, grad_B_ptr, grad_C_ptr, grad_D_ptr, grad_bias_ptr,
    channels, per_group, L, chunks, N, STATES: tl.constexpr, CHUNK: tl.constexpr, SOFTPLUS: tl.constexpr,
):  # fmt: skip
    """Gradients of one channel; of A, D and bias per (batch, channel); `grad_B`, `grad_C` must be zero before."""
    row = tl.program_id(0).to(tl.int64)
    channel = row % channels
    shared = (row // channels) * (channels // per_group) + channel // per_group
    n = tl.arange(0, STATES)
    t = tl.arange(0, CHUNK)
    present = n < N
    A = tl.load(A_ptr + channel * N + n, mask=present, other=0.0)
    skip = tl.load(D_ptr + channel)
    bias = tl.load(bias_ptr + channel)
    carry = tl.zeros((STATES,), tl.float32)  # gradient of the state at the chunk's end, from the chunks behind it
    grad_A = tl.zeros((STATES,), tl.float32)
    grad_D = 0.0
    grad_bias = 0.0
    for index in range(0, chunks):
        chunk = chunks - 1 - index
        time = chunk * CHUNK + t
        inside = time < L
        place = row * L + time
        u = tl.load(u_ptr + place, mask=inside, other=0.0)
        delta = tl.load(delta_ptr + place, mask=inside, other=0.0)
        grad_y = tl.load(grad_y_ptr + place, mask=inside, other=0.0)
        step = _step_size(delta, bias, inside, SOFTPLUS)
        tile = (shared * N + n[:, None]) * L + time[None, :]
        tile_mask = present[:, None] & inside[None, :]
        B = tl.load(B_ptr + tile, mask=tile_mask, other=0.0)
        C = tl.load(C_ptr + tile, mask=tile_mask, other=0.0)

        # States before every step: the same scan with everything one step later.
        follows = inside & (t > 0)
        u_before = tl.load(u_ptr + place - 1, mask=follows, other=0.0)
        delta_before = tl.load(delta_ptr + place - 1, mask=follows, other=0.0)
        step_before = _step_size(delta_before, bias, follows, SOFTPLUS)
        B_before = tl.load(B_ptr + tile - 1, mask=present[:, None] & follows[None, :], other=0.0)
        change = _expm1(A[:, None] * step_before[None, :])
        values = B_before * (step_before * u_before)[None, :]
        change, before = tl.associative_scan((change, values), 1, _combine)
        kept = tl.load(kept_ptr + (row * chunks + chunk) * N + n, mask=present, other=0.0)
        before = kept[:, None] + (change * kept[:, None] + before)
        exponent = A[:, None] * step[None, :]
        change = _expm1(exponent)
        after = before + (change * before + B * (step * u)[None, :])

        # Gradients of the states: the scan backwards in time; the last place has change 0 and lets `carry` through.
        precedes = (time + 1 < L) & (t < CHUNK - 1)
        delta_behind = tl.load(delta_ptr + place + 1, mask=precedes, other=0.0)
        step_behind = _step_size(delta_behind, bias, precedes, SOFTPLUS)
        change_behind = _expm1(A[:, None] * step_behind[None, :])
        change_behind, grad = tl.associative_scan((change_behind, C * grad_y[None, :]), 1, _combine, reverse=True)
        grad = carry[:, None] + (change_behind * carry[:, None] + grad)
        carry = tl.sum(tl.where(t[None, :] == 0, grad + change * grad, 0.0), 1)

        tl.atomic_add(grad_B_ptr + tile, grad * (step * u)[None, :], mask=tile_mask)
        tl.atomic_add(grad_C_ptr + tile, after * grad_y[None, :], mask=tile_mask)
        through_input = tl.sum(grad * B, 0)
        grad_decay = grad * before * tl.exp(exponent)
        grad_delta = tl.sum(grad_decay * A[:, None], 0) + through_input * u
        if SOFTPLUS:
            grad_delta = grad_delta / (1.0 + tl.exp(-(delta + bias)))
        grad_delta = tl.where(inside, grad_delta, 0.0)
        tl.store(grad_u_ptr + place, through_input * step + grad_y * skip, mask=inside)
        tl.store(grad_delta_ptr + place, grad_delta, mask=inside)
        grad_A += tl.sum(grad_decay * step[None, :], 1)
        grad_D += tl.sum(grad_y * u, 0)
        grad_bias += tl.sum(grad_delta, 0)
    tl.store(grad_A_ptr + row * N + n, grad_A, mask=present)
    tl.store(grad_D_ptr + row, grad_D)
    tl.store(grad_bias_ptr + row, grad_bias)
