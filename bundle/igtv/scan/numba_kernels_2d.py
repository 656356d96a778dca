"""Kernels of the scan of a map in K = 4, 2 or 1 directions: step-size projection, softplus, scan and merge in one pass.

Maps are (batch, H, W, D), channels last, and are read in place: direction k visits the pixels in its own order, so that
no sequence is ever copied. Work goes tile by tile, all channel blocks of a tile together: a pixel's channels lie
together in memory, and its B, C and ranks are read once.
"""

import numpy as np

from .numba_compile import kernel
from .numba_simd import LANES, ZERO, broadcast, broadcast_element, fma, load, softplus, store, sum_lanes
from .numba_tiles import TILE, finish_backward, prepare_backward, scan_tile, scan_tile_backward


@kernel
def clear(target, vectors):
    """Set so many vectors to zero."""
    for i in range(vectors):
        store(target, i * LANES, broadcast(ZERO))


@kernel
def visit_pixels(direction, K, start, steps, H, W, pixels):
    """Row-major pixel index of every step of a tile: rows, columns, rows reversed, columns reversed (K = 4)."""
    direction *= 4 // K  # two directions are the rows and the rows reversed, one is the rows
    for t in range(steps):
        place = start + t
        if direction >= 2:
            place = H * W - 1 - place
        if direction % 2 == 1:
            place = (place % H) * W + place // H
        pixels[t] = place


@kernel
def read_projected(projected, first_pixel, direction, K, pixels, steps, rank, N, ranks, B, C):
    """Copy ranks, B and C of a tile from the projected map (batch, H, W, K, R + 2N)."""
    features = rank + 2 * N
    for t in range(steps):
        row = ((first_pixel + pixels[t]) * K + direction) * features
        for r in range(rank):
            ranks[t * rank + r] = projected[row + r]
        for n in range(N):
            B[t * N + n] = projected[row + rank + n]
            C[t * N + n] = projected[row + rank + N + n]


@kernel
def gather_pixels(source, first_pixel, pixels, steps, D, first_block, last_block, tiles):
    """Copy the channels of a tile's pixels, one tile array per block; absent channels become 0.

    A pixel's channels are read in one go: columns of a map are a power of two apart, and lines read in several passes
    would push each other out of the caches.
    """
    for t in range(steps):
        row = (first_pixel + pixels[t]) * D
        for block in range(first_block, last_block):
            column, target = block * LANES, ((block - first_block) * TILE + t) * LANES
            if column + LANES <= D:
                store(tiles, target, load(source, row + column))
            else:
                for j in range(LANES):
                    tiles[target + j] = source[row + column + j] if column + j < D else ZERO


@kernel
def scatter_pixels(tiles, target, first_pixel, pixels, steps, D, first_block, last_block, add):
    """The way back from `gather_pixels`: write, or add to what is there."""
    for t in range(steps):
        row = (first_pixel + pixels[t]) * D
        for block in range(first_block, last_block):
            column, source = block * LANES, ((block - first_block) * TILE + t) * LANES
            if column + LANES <= D:
                value = load(tiles, source)
                if add:
                    value = value + load(target, row + column)
                store(target, row + column, value)
            else:
                for j in range(D - column):
                    before = target[row + column + j] if add else ZERO
                    target[row + column + j] = before + tiles[source + j]


@kernel
def project_steps(ranks, rank, steps, weight, weight_start, step):
    """step = ranks . weight for the 16 channels of a block; two sums, so that additions overlap."""
    zero = broadcast(ZERO)
    for t in range(steps):
        even, odd = zero, zero
        r = 0
        while r + 2 <= rank:
            even = fma(broadcast_element(ranks, t * rank + r), load(weight, weight_start + r * LANES), even)
            odd = fma(broadcast_element(ranks, t * rank + r + 1), load(weight, weight_start + (r + 1) * LANES), odd)
            r += 2
        if r < rank:
            even = fma(broadcast_element(ranks, t * rank + r), load(weight, weight_start + r * LANES), even)
        store(step, t * LANES, even + odd)


@kernel
def forward_2d(
    x, projected, weight, bias, rates, skip, y, kept, keep, K, H, W, D, N, rank, scratch,
    first_block, last_block, first_item, last_item,
):  # fmt: skip
    """Scan some channel blocks of some batch items. `weight`, `bias`, `rates`, `skip`: packed (K, blocks, M, 16)."""
    L, blocks, used = H * W, (D + LANES - 1) // LANES, last_block - first_block
    tile_count, size = (L + TILE - 1) // TILE, TILE * LANES
    shared = (TILE * N + LANES - 1) // LANES * LANES
    step, step_u, B, C = scratch, scratch[size:], scratch[2 * size :], scratch[2 * size + shared :]
    place = 2 * size + 2 * shared
    x_tiles, y_tiles = scratch[place:], scratch[place + used * size :]
    state, ranks = scratch[place + 2 * used * size :], scratch[place + 2 * used * size + used * N * LANES :]
    pixels = np.empty(TILE, np.int64)
    for b in range(first_item, last_item):
        for direction in range(K):
            clear(state, used * N)
            for tile in range(tile_count):
                start = tile * TILE
                steps = min(TILE, L - start)
                visit_pixels(direction, K, start, steps, H, W, pixels)
                read_projected(projected, b * L, direction, K, pixels, steps, rank, N, ranks, B, C)
                gather_pixels(x, b * L, pixels, steps, D, first_block, last_block, x_tiles)
                for index in range(used):
                    packed = direction * blocks + first_block + index
                    if keep:
                        target = ((b * K * blocks + packed) * tile_count + tile) * N * LANES
                        for n in range(N):
                            store(kept, target + n * LANES, load(state, (index * N + n) * LANES))
                    project_steps(ranks, rank, steps, weight, packed * rank * LANES, step)
                    x_tile, y_tile = x_tiles[index * size :], y_tiles[index * size :]
                    bias_of_block, skip_of_block = load(bias, packed * LANES), load(skip, packed * LANES)
                    for t in range(steps):
                        value, s = load(x_tile, t * LANES), softplus(load(step, t * LANES) + bias_of_block)
                        store(step, t * LANES, s)
                        store(step_u, t * LANES, s * value)
                        store(y_tile, t * LANES, skip_of_block * value)
                    scan_tile(N, steps, rates, packed * N * LANES, state, index * N * LANES, step, step_u, B, C, y_tile)
                scatter_pixels(y_tiles, y, b * L, pixels, steps, D, first_block, last_block, direction > 0)


@kernel
def add_weight_gradient(ranks, rank, steps, grad_step, grad_weight, grad_weight_start):
    """grad_weight += ranks^T . grad_step, for the 16 channels of a block."""
    for r in range(rank):
        total = load(grad_weight, grad_weight_start + r * LANES)
        for t in range(steps):
            total = fma(broadcast_element(ranks, t * rank + r), load(grad_step, t * LANES), total)
        store(grad_weight, grad_weight_start + r * LANES, total)


@kernel
def add_rank_gradient(grad_step, weight, weight_start, rank, steps, sums):
    """sums[(t * R + r) * 16 + channel] += grad_step * weight, still to be summed over channels."""
    for t in range(steps):
        value = load(grad_step, t * LANES)
        for r in range(rank):
            at = (t * rank + r) * LANES
            store(sums, at, fma(value, load(weight, weight_start + r * LANES), load(sums, at)))


@kernel
def write_sums(grad_projected, first_pixel, direction, K, pixels, steps, count, features, offset, sums, tile):
    """Sum over the 16 channels and write `count` features of every pixel of a tile; `tile` is scratch."""
    for i in range(0, steps * count, LANES):
        sum_lanes(sums, i * LANES, tile, i)
    for t in range(steps):
        row = ((first_pixel + pixels[t]) * K + direction) * features + offset
        for i in range(count):
            grad_projected[row + i] = tile[t * count + i]


@kernel
def backward_2d(
    x, projected, weight, bias, rates, skip, grad_y, kept,
    grad_x, grad_projected, grad_weight, grad_bias, grad_rates, grad_skip,
    K, H, W, D, N, rank, scratch, first_block, last_block, first_item, last_item,
):  # fmt: skip
    """Gradients of some channel blocks of some batch items.

    `grad_projected` is this part's own sum over its channels; `grad_weight`, `grad_bias`, `grad_rates`, `grad_skip`
    (packed, zero at the start) are its own sums over its batch items.
    """
    L, blocks, used, features = H * W, (D + LANES - 1) // LANES, last_block - first_block, rank + 2 * N
    tile_count, size = (L + TILE - 1) // TILE, TILE * LANES
    step, slope, step_u, grad_decay = scratch, scratch[size:], scratch[2 * size :], scratch[3 * size :]
    scales, rests, before = scratch[4 * size :], scratch[6 * size :], scratch[8 * size :]
    x_tiles, dy_tiles = scratch[10 * size :], scratch[(10 + used) * size :]
    dx_tiles, place = scratch[(10 + 2 * used) * size :], (10 + 3 * used) * size
    shared, rank_shared = (TILE * N + LANES - 1) // LANES * LANES, (TILE * rank + LANES - 1) // LANES * LANES
    B, C, ranks = scratch[place:], scratch[place + shared :], scratch[place + 2 * shared :]
    place += 2 * shared + rank_shared
    sums_B, sums_C, sums_rank = scratch[place:], scratch[place + 16 * shared :], scratch[place + 32 * shared :]
    grad_state = scratch[place + 32 * shared + 16 * rank_shared :]
    pixels = np.empty(TILE, np.int64)
    for b in range(first_item, last_item):
        for direction in range(K):
            clear(grad_state, used * N)
            for tile in range(tile_count - 1, -1, -1):
                start = tile * TILE
                steps = min(TILE, L - start)
                visit_pixels(direction, K, start, steps, H, W, pixels)
                read_projected(projected, b * L, direction, K, pixels, steps, rank, N, ranks, B, C)
                gather_pixels(x, b * L, pixels, steps, D, first_block, last_block, x_tiles)
                gather_pixels(grad_y, b * L, pixels, steps, D, first_block, last_block, dy_tiles)
                clear(sums_B, steps * N)
                clear(sums_C, steps * N)
                clear(sums_rank, steps * rank)
                clear(dx_tiles, used * TILE)
                for index in range(used):
                    packed = direction * blocks + first_block + index
                    u, dy, dx = x_tiles[index * size :], dy_tiles[index * size :], dx_tiles[index * size :]
                    project_steps(ranks, rank, steps, weight, packed * rank * LANES, step)
                    prepare_backward(steps, load(bias, packed * LANES), True, u, step, slope, step_u)
                    clear(grad_decay, steps)
                    scan_tile_backward(
                        N, steps, rates, packed * N * LANES,
                        kept, ((b * K * blocks + packed) * tile_count + tile) * N * LANES,
                        grad_state, index * N * LANES, grad_rates, packed * N * LANES,
                        step, step_u, dy, B, C, dx, grad_decay, sums_B, sums_C, scales, rests, before,
                    )  # fmt: skip
                    finish_backward(
                        steps, True, u, step, slope, dy, load(skip, packed * LANES), dx, grad_decay,
                        grad_skip, grad_bias, packed * LANES,
                    )  # fmt: skip
                    add_weight_gradient(ranks, rank, steps, grad_decay, grad_weight, packed * rank * LANES)
                    add_rank_gradient(grad_decay, weight, packed * rank * LANES, rank, steps, sums_rank)
                scatter_pixels(dx_tiles, grad_x, b * L, pixels, steps, D, first_block, last_block, direction > 0)
                write_sums(grad_projected, b * L, direction, K, pixels, steps, rank, features, 0, sums_rank, ranks)
                write_sums(grad_projected, b * L, direction, K, pixels, steps, N, features, rank, sums_B, B)
                write_sums(grad_projected, b * L, direction, K, pixels, steps, N, features, rank + N, sums_C, C)


def forward_scratch_2d(N: int, rank: int, blocks: int) -> int:
    """Floats of scratch `forward_2d` needs for so many blocks."""
    return (2 + 2 * blocks) * TILE * LANES + 2 * (TILE * N + LANES) + blocks * N * LANES + TILE * rank


def backward_scratch_2d(N: int, rank: int, blocks: int) -> int:
    """Floats of scratch `backward_2d` needs for so many blocks."""
    sums = TILE * (2 * N + rank) + 3 * LANES
    return (10 + 3 * blocks) * TILE * LANES + sums * (1 + LANES) + blocks * N * LANES
