"""Kernels of the scan along given sequences: (batch, D, L) in, time running fastest in memory."""

from .numba_compile import kernel
from .numba_simd import LANES, ZERO, broadcast, load, prefetch, softplus, store, sum_lanes, transpose
from .numba_tiles import TILE, finish_backward, prepare_backward, scan_tile, scan_tile_backward


@kernel
def read_tile(source, start, stride, channels, steps, tile):
    """tile[t * 16 + j] = source[start + j * stride + t]; absent channels become 0."""
    t = 0
    if channels == LANES:
        while t + LANES <= steps:
            transpose(source, start + t, stride, tile, t * LANES, LANES)
            t += LANES
    while t < steps:
        for j in range(LANES):
            tile[t * LANES + j] = source[start + j * stride + t] if j < channels else 0.0
        t += 1


@kernel
def write_tile(tile, target, start, stride, channels, steps):
    """target[start + j * stride + t] = tile[t * 16 + j]."""
    t = 0
    if channels == LANES:
        while t + LANES <= steps:
            transpose(tile, t * LANES, LANES, target, start + t, stride)
            t += LANES
    while t < steps:
        for j in range(channels):
            target[start + j * stride + t] = tile[t * LANES + j]
        t += 1


@kernel
def read_shared(source, start, stride, N, steps, tile):
    """tile[t * N + n] = source[start + n * stride + t]: B or C of one tile."""
    for n in range(N):
        for t in range(steps):
            tile[t * N + n] = source[start + n * stride + t]


@kernel
def prefetch_tile(source, start, stride, channels, steps):
    """Ask for the next tile of all channels: their rows are too far apart for the processor's own prediction."""
    for j in range(channels):
        for t in range(0, steps, LANES):
            prefetch(source, start + j * stride + t)


@kernel
def forward_1d(
    u, delta, rates, B, C, skip, bias, delta_softplus, y, kept, keep, groups, channels, N, L, scratch, first, last
):
    """Run the blocks `first` to `last` of all batch * groups * blocks.

    `channels` counts one group's; `rates`, `skip`, `bias` are packed (groups, blocks, M, 16).
    """
    blocks = (channels + LANES - 1) // LANES
    tiles = (L + TILE - 1) // TILE
    size = TILE * LANES
    step, step_u, y_tile = scratch[:size], scratch[size : 2 * size], scratch[2 * size : 3 * size]
    B_tile, C_tile = scratch[3 * size : 3 * size + TILE * N], scratch[3 * size + TILE * N : 3 * size + 2 * TILE * N]
    state_start = 3 * size + (2 * TILE * N + LANES - 1) // LANES * LANES
    state = scratch[state_start : state_start + N * LANES]
    for item in range(first, last):
        block, group, b = item % blocks, (item // blocks) % groups, item // (blocks * groups)
        present = min(LANES, channels - block * LANES)
        row = ((b * groups + group) * channels + block * LANES) * L
        shared_row = (b * groups + group) * N * L
        packed = (group * blocks + block) * LANES
        bias_of_block, skip_of_block = load(bias, packed), load(skip, packed)
        state[:] = 0.0
        for tile in range(tiles):
            start = tile * TILE
            steps = min(TILE, L - start)
            if keep:
                kept[(item * tiles + tile) * N * LANES : (item * tiles + tile + 1) * N * LANES] = state
            read_tile(u, row + start, L, present, steps, step_u)
            read_tile(delta, row + start, L, present, steps, step)
            read_shared(B, shared_row + start, L, N, steps, B_tile)
            read_shared(C, shared_row + start, L, N, steps, C_tile)
            following = min(TILE, L - start - TILE)
            if following > 0:
                prefetch_tile(u, row + start + TILE, L, present, following)
                prefetch_tile(delta, row + start + TILE, L, present, following)
            for t in range(steps):
                value, s = load(step_u, t * LANES), load(step, t * LANES) + bias_of_block
                if delta_softplus:
                    s = softplus(s)
                store(step, t * LANES, s)
                store(step_u, t * LANES, s * value)
                store(y_tile, t * LANES, skip_of_block * value)
            scan_tile(N, steps, rates, packed * N, state, 0, step, step_u, B_tile, C_tile, y_tile)
            write_tile(y_tile, y, row + start, L, present, steps)


@kernel
def write_shared_sums(sums, tile, target, start, stride, N, steps):
    """Sum over the 16 channels and write as B and C lie; `tile` is scratch."""
    for i in range(0, steps * N, LANES):
        sum_lanes(sums, i * LANES, tile, i)
    for n in range(N):
        for t in range(steps):
            target[start + n * stride + t] = tile[t * N + n]


@kernel
def backward_1d(
    u, delta, rates, B, C, skip, bias, delta_softplus, grad_y, kept,
    grad_u, grad_delta, grad_rates, grad_B, grad_C, grad_skip, grad_bias,
    groups, channels, N, L, scratch, group, first_block, last_block, first_item, last_item,
):  # fmt: skip
    """Gradients of some batch items and of some channel blocks of one group.

    `grad_rates`, `grad_skip`, `grad_bias` (packed, zero at the start) and `grad_B`, `grad_C` are this part's own.
    """
    blocks = (channels + LANES - 1) // LANES
    tiles = (L + TILE - 1) // TILE
    size = TILE * LANES
    u_tile, step, slope, step_u = scratch[:size], scratch[size:], scratch[2 * size :], scratch[3 * size :]
    dy, grad_input, grad_decay = scratch[4 * size :], scratch[5 * size :], scratch[6 * size :]
    scales, rests, before = scratch[7 * size :], scratch[9 * size :], scratch[11 * size :]
    shared = (TILE * N + LANES - 1) // LANES * LANES
    B_tile, C_tile = scratch[13 * size :], scratch[13 * size + shared :]
    sum_start = 13 * size + 2 * shared
    sums_B, sums_C = scratch[sum_start : sum_start + shared * LANES], scratch[sum_start + shared * LANES :]
    grad_state = scratch[sum_start + 2 * shared * LANES :]
    zero = broadcast(ZERO)
    for b in range(first_item, last_item):
        shared_row = (b * groups + group) * N * L
        grad_state[: (last_block - first_block) * N * LANES] = 0.0
        for tile in range(tiles - 1, -1, -1):
            start = tile * TILE
            steps = min(TILE, L - start)
            read_shared(B, shared_row + start, L, N, steps, B_tile)
            read_shared(C, shared_row + start, L, N, steps, C_tile)
            for i in range(steps * N):
                store(sums_B, i * LANES, zero)
                store(sums_C, i * LANES, zero)
            for block in range(first_block, last_block):
                present = min(LANES, channels - block * LANES)
                row = ((b * groups + group) * channels + block * LANES) * L + start
                item = (b * groups + group) * blocks + block
                packed = (group * blocks + block) * LANES
                read_tile(u, row, L, present, steps, u_tile)
                read_tile(delta, row, L, present, steps, step)
                read_tile(grad_y, row, L, present, steps, dy)
                if start > 0:
                    prefetch_tile(u, row - TILE, L, present, TILE)
                    prefetch_tile(delta, row - TILE, L, present, TILE)
                    prefetch_tile(grad_y, row - TILE, L, present, TILE)
                prepare_backward(steps, load(bias, packed), delta_softplus, u_tile, step, slope, step_u)
                for t in range(steps):
                    store(grad_input, t * LANES, zero)
                    store(grad_decay, t * LANES, zero)
                scan_tile_backward(
                    N, steps, rates, packed * N, kept, (item * tiles + tile) * N * LANES,
                    grad_state, (block - first_block) * N * LANES, grad_rates, packed * N,
                    step, step_u, dy, B_tile, C_tile, grad_input, grad_decay, sums_B, sums_C, scales, rests, before,
                )  # fmt: skip
                finish_backward(
                    steps, delta_softplus, u_tile, step, slope, dy, load(skip, packed), grad_input, grad_decay,
                    grad_skip, grad_bias, packed,
                )  # fmt: skip
                write_tile(grad_input, grad_u, row, L, present, steps)
                write_tile(grad_decay, grad_delta, row, L, present, steps)
            write_shared_sums(sums_B, B_tile, grad_B, shared_row + start, L, N, steps)
            write_shared_sums(sums_C, C_tile, grad_C, shared_row + start, L, N, steps)


def forward_scratch_1d(N: int) -> int:
    """Floats of scratch `forward_1d` needs."""
    return 3 * TILE * LANES + 2 * TILE * N + LANES + N * LANES


def backward_scratch_1d(N: int, blocks: int) -> int:
    """Floats of scratch `backward_1d` needs for so many blocks."""
    return 13 * TILE * LANES + (2 + 2 * LANES) * (TILE * N + LANES) + blocks * N * LANES
