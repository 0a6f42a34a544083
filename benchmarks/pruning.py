"""What SuRP costs in time and in bits: ``python -m benchmarks.pruning [--plot FILE.png] [--quick]``.

Speed: the loop of the tests, a pass over all weights a step, against the package, for the same picks.
Rate: bits a weight on an i.i.d. Laplacian source against R(D) = -log2(lambda D), for indices sent one by one as the
paper counts them (ideal code lengths), and as bytes of the codec for the same picks sent as sets and for a dead-zone
quantiser of the same sparsity and distortion. Distortion: what is left at a sparsity, and what theory says. At the end
the time of a round by each method.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import machine
from rdsearch.coding import encode_arrays
from rdsearch.pruning import METHODS
from rdsearch.pruning.methods.surp_steps import Refinement, Rule, refine
from rdsearch.pruning.prune import prune
from tests.pruning.methods.surp_reference import refine_slowly

RESNET20_WEIGHTS = 272_474
LARGE = 15_000_000
ALPHA = 10.0
SPARSITIES = (0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8)


def magnitudes(n: int) -> np.ndarray:
    """Magnitudes of a Laplacian source with lambda = 1."""
    return np.random.default_rng(0).exponential(size=n)


def timed(call, *arguments):
    """Result and seconds."""
    start = time.perf_counter()
    result = call(*arguments)
    return result, time.perf_counter() - start


def speed(n: int, sparsity: float, loop_steps: int | None) -> None:
    """Print seconds of both; the loop's are scaled up from ``loop_steps`` steps where that is given."""
    source, survivors = magnitudes(n), round(n * (1 - sparsity))
    rule = Rule.authors(n, ALPHA)
    fast, fast_seconds = timed(refine, source, survivors, rule, np.random.default_rng(1))
    if loop_steps is None:
        (picks, *_), loop_seconds = timed(
            refine_slowly, source, survivors, rule.alpha, rule.decay, np.random.default_rng(1)
        )
        if not np.array_equal(picks, fast.picks):
            raise RuntimeError("the two make different picks")
        how = "measured, same picks"
    else:
        # At this alpha enough indices qualify for all of these steps, so that none of them is a refresh.
        alpha = math.log(n / (10 * loop_steps))
        _, seconds = timed(refine_slowly, source, loop_steps, alpha, rule.decay, np.random.default_rng(1))
        loop_seconds = seconds / loop_steps * fast.picks.size
        how = f"extrapolated from {loop_steps} timed steps of {seconds / loop_steps * 1e3:.1f} ms"
    print(
        f"{n:>11,} {sparsity:8.2f} {fast.picks.size:>10,} {fast_seconds:9.3f} {loop_seconds:12,.1f} "
        f"{loop_seconds / fast_seconds:9,.0f}x  loop {how}"
    )


def index_bits(steps: Refinement, n: int) -> float:
    """Bits of each index sent as a geometric variable (its entropy), and a sign for each survivor."""
    p = steps.members / n
    entropy = -np.log2(p) - (1 - p) / p * np.log1p(-p) / math.log(2)
    return float(entropy.sum()) + np.unique(steps.picks).size


def set_bits(steps: Refinement, n: int) -> float:
    """Bits of the same picks sent as sets, signs included, by the codec: its bytes times eight.

    A set is a run of picks within which the threshold falls by less than a tenth and no index comes twice. It is two
    arrays: which of the indices picked before are in it, and which of the others, with their signs.
    """
    signs = np.random.default_rng(2).choice(np.array([-1, 1], dtype=np.int32), n)
    known = np.zeros(n, dtype=bool)
    arrays: list[np.ndarray] = []
    start = 0
    while start < steps.picks.size:
        end = start + int((steps.thresholds[start:] > 0.9 * steps.thresholds[start]).sum())
        run = steps.picks[start:end]
        first = np.sort(np.unique(run, return_index=True)[1])
        repeats = np.setdiff1d(np.arange(run.size), first, assume_unique=True)
        run = run[: repeats[0]] if repeats.size else run
        member = np.zeros(n, dtype=np.int32)
        member[run] = 1
        arrays += [member[known], (member * signs)[~known]]
        known[run] = True
        start += run.size
    return 8.0 * len(encode_arrays(arrays))


def dead_zone_bits(source: np.ndarray, sparsity: float, distortion: float) -> float:
    """Bits (the codec's bytes times eight) of a dead-zone quantiser of this sparsity and distortion."""
    threshold = np.quantile(source, sparsity)
    excess = source[source > threshold] - threshold
    dead = float(source[source <= threshold].sum())
    low, high = 1e-3, 50.0
    for _ in range(40):
        step = math.sqrt(low * high)
        levels = (excess / step).astype(np.int32)
        # Inside a level the source is exponential: its median is the best reconstruction under l1.
        median = -math.log((1 + math.exp(-step)) / 2)
        error = float(np.abs(excess - levels * step - median).sum())
        low, high = (step, high) if (dead + error) / source.size < distortion else (low, step)
    signed = np.zeros(source.size, dtype=np.int32)
    signed[source > threshold] = (1 + levels) * np.random.default_rng(2).choice(
        np.array([-1, 1], dtype=np.int32), excess.size
    )
    return 8.0 * len(encode_arrays([signed]))


def rates(n: int) -> list[tuple[float, ...]]:
    """Print and return (sparsity, D, R(D), indices, sets, dead zone), in bits a weight."""
    source = magnitudes(n)
    rows = []
    for sparsity in SPARSITIES:
        steps = refine(source, round(n * (1 - sparsity)), Rule.authors(n, ALPHA), np.random.default_rng(1))
        distortion = float(steps.residual.mean())
        costs = (index_bits(steps, n), set_bits(steps, n), dead_zone_bits(source, sparsity, distortion))
        bound = -math.log2(distortion / float(source.mean()))
        rows.append((sparsity, distortion, bound, *(bits / n for bits in costs)))
        over = " ".join(f"{bits / n:9.4f} ({bits / n / bound:4.2f})" for bits in costs)
        print(f"{sparsity:9.3f} {distortion:8.4f} {bound:9.4f} {over}")
    return rows


def laws(n: int) -> None:
    """Print distortion against what the theory says for each rule, at some sparsities."""
    source = magnitudes(n)
    for sparsity in (0.99, 0.95, 0.9, 0.8):
        t = -math.log(1 - sparsity)
        line = [f"{sparsity:9.2f}"]
        for log_ratio in (0.5, 1.0, 2.0):
            rule = Rule.paper(n, n * math.exp(-log_ratio))
            steps = refine(source, round(n * (1 - sparsity)), rule, np.random.default_rng(1))
            line.append(f"{steps.residual.mean() / source.mean():8.4f} {sparsity**log_ratio:8.4f} ")
        steps = refine(source, round(n * (1 - sparsity)), Rule.authors(n, ALPHA), np.random.default_rng(1))
        best = 1 - math.exp(-t) * (1 + t)
        print(*line, f"{steps.residual.mean() / source.mean():8.4f} {best:8.4f}")


def methods(shapes: list[tuple[int, ...]]) -> None:
    """Print seconds of CPU for three rounds of each method, half of the survivors each."""
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer{i}": torch.randn(shape, generator=generator) * (1 + i % 3) for i, shape in enumerate(shapes)}
    total = sum(weight.numel() for weight in weights.values())
    print(f"\nA round of pruning, {total:,} weights in {len(weights)} layers: seconds of CPU, one thread")
    print(f"{'method':14}{'first':>8}{'second':>8}{'third, profile':>16}")
    for method in METHODS:
        if method == "rd_prune":  # runs a network
            continue
        masks, *seconds = None, 0.0, 0.0, 0.0
        for place, (survivors, profile) in enumerate(
            [(total // 2, {}), (total // 4, {}), (total // 8, {"depth": 0.5})]
        ):
            started = time.process_time()
            masks = prune(weights, masks, survivors, method=method, profile=profile)
            seconds[place] = time.process_time() - started
        print(f"{method:14}{seconds[0]:8.1f}{seconds[1]:8.1f}{seconds[2]:16.1f}", flush=True)


def plot(rows: list[tuple[float, ...]], path: Path) -> None:
    """Write rate over distortion as a PNG."""
    from matplotlib.figure import Figure

    _, distortion, bound, indices, sets, dead_zone = np.array(rows).T
    covered = 1 - distortion
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(covered, indices, "o-", label="SuRP, index by index")
    axes.loglog(covered, sets, "s-", label="SuRP, the same picks as sets, by the codec")
    axes.loglog(covered, dead_zone, "^-", label="dead-zone quantiser, same sparsity, by the codec")
    axes.loglog(covered, bound, "k--", label=r"bound $R(D) = -\log_2(\lambda D)$")
    for x, y, sparsity in zip(covered, bound, SPARSITIES, strict=True):
        axes.annotate(f"{sparsity:g}", (x, y), xytext=(4, -11), textcoords="offset points", fontsize=8)
    axes.set_xlabel(r"share of the l1 norm that is sent, $1 - \lambda D$ (sparsity below the bound)")
    axes.set_ylabel("rate, bits a weight")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\nwrote {path}")


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="write the rate curves")
    parser.add_argument("--quick", action="store_true", help="leave out what has more than 15 million weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(machine("numpy", "numba", "constriction"))
    refine(magnitudes(1000), 100, Rule.authors(1000, ALPHA), np.random.default_rng(0))  # compiles
    print(f"\nSpeed\n{'weights':>11} {'sparsity':>8} {'steps':>10} {'fast, s':>9} {'loop, s':>12} {'ratio':>10}")
    speed(RESNET20_WEIGHTS, 0.9, None)
    speed(RESNET20_WEIGHTS, 0.99, None)
    if not arguments.quick:
        speed(LARGE, 0.9, 60)
    print(f"\nRate on an i.i.d. Laplacian, n = {RESNET20_WEIGHTS:,}: bits a weight (over the bound)")
    print(f"{'sparsity':>9} {'D':>8} {'R(D)':>9} {'indices':>16} {'sets':>16} {'dead zone':>16}")
    rows = rates(RESNET20_WEIGHTS)
    print(
        "\nDistortion D and what theory says: paper's update, sparsity^s at s = log(n/beta) nats a step; authors', the"
    )
    print(
        f"least possible at this sparsity\n{'sparsity':>9} {'s = 1/2':>17} {'s = 1':>18} {'s = 2':>18} {'authors':>18}"
    )
    laws(RESNET20_WEIGHTS)
    if not arguments.quick:
        methods([(512, 512, 3, 3)] * 10 + [(1400, 1000)])
    if arguments.plot:
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
