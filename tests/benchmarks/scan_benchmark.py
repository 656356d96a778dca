"""How fast the selective scan is: ratios against slower forms, measured alternately in one process.

Run from the repository: `PYTHONPATH=bundle OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/scan_benchmark.py`.
Parts: `scan` (goals of the scan alone), `network` (whole network, forward and training step), `memory` (peak of
training, in a process of its own). Exit status 1 when a goal is missed, unless `--report-only`.
"""

import argparse
import resource
import statistics
import sys
import time

import torch
from igtv.scan import backend_report, selective_scan, set_backend

# (batch, groups, channels per group, N, L): the four stages of `tiny` at 512 x 512.
STAGES = {
    "scale 0": (1, 4, 192, 16, 16384),
    "scale 1": (1, 4, 384, 16, 4096),
    "scale 2": (1, 4, 768, 16, 1024),
    "scale 3": (1, 4, 1536, 16, 256),
}
FORWARD_GOALS = {"scale 0": 100, "scale 1": 40, "scale 2": 40, "scale 3": 40}
TRAINING_GOALS = {"scale 0": 25, "scale 1": 6, "scale 2": 6, "scale 3": 6}
NETWORK_FORWARD_GOAL, NETWORK_STEP_GOAL, MEMORY_GOAL_GB = 12, 4, 3


def make_problem(batch, groups, per_group, states, length):
    """u, delta, A, B, C, D, delta_bias as a freshly initialised network gives them."""
    generator = torch.Generator().manual_seed(0)
    channels = groups * per_group

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    u, delta = torch.nn.functional.silu(normal(batch, channels, length)), 0.5 * normal(batch, channels, length)
    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    B, C = normal(batch, groups, states, length), normal(batch, groups, states, length)
    return [u, delta, A, B, C, torch.ones(channels), torch.full((channels,), -4.0)]


def materialised_recurrence(u, delta, A, B, C, D, delta_bias):
    """The recurrence as mamba-ssm's `selective_scan_ref` computes it: all decays and inputs first, then the loop."""
    delta = torch.nn.functional.softplus(delta + delta_bias[:, None])
    B, C = (tensor.repeat_interleave(u.shape[1] // tensor.shape[1], 1) for tensor in (B, C))
    decays = torch.exp(torch.einsum("bdl,dn->bdln", delta, A))
    inputs = torch.einsum("bdl,bdnl,bdl->bdln", delta, B, u)
    state, outputs = u.new_zeros(u.shape[0], u.shape[1], A.shape[1]), []
    for t in range(u.shape[2]):
        state = decays[:, :, t] * state + inputs[:, :, t]
        outputs.append(torch.einsum("bdn,bdn->bd", state, C[..., t]))
    return torch.stack(outputs, 2) + D[:, None] * u


def alternate(variants, rounds, fast_repeats=1):
    """Median seconds of every variant, run in turns; the one named `fast` several times a turn, for a like sample."""
    times = {name: [] for name in variants}
    for _ in range(rounds):
        for name, run in variants.items():
            for _ in range(fast_repeats if name == "fast" else 1):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def updates_per_second():
    """State updates per second and thread with all data of the recurrence in the first-level cache: the limit."""
    from igtv.scan.numba_packing import scratch
    from igtv.scan.numba_tiles import TILE, scan_tile

    states, repeats = 16, 2000
    tile, state, shared = TILE * 16, scratch(states * 16), scratch(TILE * states)
    arrays = [scratch(tile) for _ in range(3)]
    rates = scratch(states * 16)
    for array in (*arrays, state, shared):
        array[:] = 0.01
    rates[:] = -1

    def run():
        for _ in range(repeats):
            scan_tile(states, TILE, rates, 0, state, 0, arrays[0], arrays[1], shared, shared, arrays[2])

    return repeats * TILE * states * 16 / alternate({"tile": run}, 5)["tile"]


def report(text, ratio, goal, missed):
    """Print one ratio and remember it when it misses its goal."""
    verdict = "" if goal is None else f" (goal {goal}: {'met' if ratio >= goal else 'MISSED'})"
    print(f"{text}: {ratio:.1f} x{verdict}", flush=True)
    if goal is not None and ratio < goal:
        missed.append(text)


def measure_scan(threads, rounds, missed):
    """Forward against the materialised recurrence, forward and backward against the plain loop, at every stage."""
    limit = updates_per_second()
    print(f"recurrence with all data in the first-level cache: {limit / 1e9:.1f} G state updates/s per thread")
    for name, sizes in STAGES.items():
        tensors = make_problem(*sizes)

        def forward(backend, tensors=tensors):
            with torch.inference_mode():
                return selective_scan(*tensors, delta_softplus=True, backend=backend)

        def materialised(tensors=tensors):
            with torch.inference_mode():
                return materialised_recurrence(*tensors)

        def training(backend, tensors=tensors):
            leaves = [tensor.requires_grad_() for tensor in map(torch.clone, tensors)]
            selective_scan(*leaves, delta_softplus=True, backend=backend).sum().backward()

        fast = forward(None)
        error = (fast - materialised()).abs().max() / fast.abs().max()
        times = alternate({"fast": lambda f=forward: f(None), "materialised": materialised}, rounds, 10)
        seconds = times["fast"]
        limit_share = sizes[0] * sizes[1] * sizes[2] * sizes[3] * sizes[4] / (seconds * limit * threads)
        print(f"{name} {sizes}: forward {1e3 * seconds:.1f} ms, {limit_share:.0%} of the limit, differs by {error:.0e}")
        report(f"{name} forward against the materialised recurrence", times["materialised"] / times["fast"],
               FORWARD_GOALS[name], missed)  # fmt: skip
        training(None)
        runs = {"fast": lambda t=training: t(None), "torch": lambda t=training: t("torch"),
                "loop": lambda t=training: t("reference")}  # fmt: skip
        times = alternate(runs, max(1, rounds - 1), 5)
        print(f"{name} forward and backward {1e3 * times['fast']:.1f} ms")
        report(f"{name} forward and backward against the plain loop", times["loop"] / times["fast"],
               TRAINING_GOALS[name], missed)  # fmt: skip
        report(f"{name} forward and backward against the torch back end", times["torch"] / times["fast"], None, missed)


def training_step(network, optimizer, image):
    """One AdamW step on a random target."""
    optimizer.zero_grad(set_to_none=True)
    logits = network(image)
    torch.nn.functional.binary_cross_entropy_with_logits(logits, (image[:, :1] > 0).float()).backward()
    optimizer.step()


def measure_network(variant, rounds, missed):
    """Whole network, one slice: forward at 512 x 512 and training step at 256 x 256."""
    from igtv.networks.igtv_network import IGTVNetwork

    network = IGTVNetwork(variant=variant)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    large, small = torch.randn(1, 2, 512, 512, 1), torch.randn(1, 2, 256, 256, 1)

    def with_backend(name, run):
        set_backend(name)
        run()
        set_backend(None)

    def forward():
        network.eval()
        with torch.inference_mode():
            network(large)

    def step():
        network.train()
        training_step(network, optimizer, small)

    for text, run, goal in (
        (f"{variant} forward at 512 x 512", forward, NETWORK_FORWARD_GOAL),
        (f"{variant} training step at 256 x 256", step, NETWORK_STEP_GOAL),
    ):
        with_backend(None, run)
        names = {None: "fast", "torch": "torch", "reference": "plain loop"}
        times = alternate({key: lambda k=key, r=run: with_backend(k, r) for key in names}, rounds)
        print(f"{text}: " + ", ".join(f"{names[key]} {seconds:.2f} s" for key, seconds in times.items()))
        report(f"{text} against the plain loop", times["reference"] / times[None], goal, missed)


def measure_memory(variant, missed):
    """Peak memory of three training steps at 256 x 256, batch 1, with weights, gradients and AdamW state."""
    from igtv.networks.igtv_network import IGTVNetwork

    with open("/proc/self/statm") as file:
        after_import = int(file.read().split()[1]) * resource.getpagesize()
    network = IGTVNetwork(variant=variant).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    for _ in range(3):
        training_step(network, optimizer, torch.randn(1, 2, 256, 256, 1))
    grown_gb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - after_import) / 1e9
    report(f"{variant} training at 256 x 256: {grown_gb:.2f} GB; limit over use", MEMORY_GOAL_GB / grown_gb, 1, missed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["scan"], help="scan, network, memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--variant", default="tiny", help="network variant of the parts network and memory")
    parser.add_argument("--report-only", action="store_true", help="exit with 0 also when a goal is missed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, {backend_report()}")
    missed = []
    if "memory" in options.parts:
        measure_memory(options.variant, missed)
    if "scan" in options.parts:
        measure_scan(options.threads, options.rounds, missed)
    if "network" in options.parts:
        measure_network(options.variant, options.rounds, missed)
    sys.exit(bool(missed) and not options.report_only)


if __name__ == "__main__":
    main()
