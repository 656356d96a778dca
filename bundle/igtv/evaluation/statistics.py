"""Statistics over patients: bootstrap intervals of means, paired tests, Holm's correction.

The patient is the unit (`patients.py` makes one number of several cases). NaN values (metric not defined for that
patient) are left out and counted, never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

NAN = float("nan")
RESAMPLES = 10_000


def _defined(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    return array[~np.isnan(array)]


def bootstrap_mean_interval(
    values: Sequence[float], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean over patients.

    Args:
        values: one number per patient; NaN is left out.
        confidence: 0.95 for the 95 % interval.
        resamples: number of bootstrap samples.
        seed: the same seed gives the same interval.

    Returns:
        Low and high end; (NaN, NaN) with fewer than two defined values.
    """
    defined = _defined(values)
    if len(defined) < 2:
        return NAN, NAN
    interval = stats.bootstrap(
        (defined,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=1000,
    ).confidence_interval
    return float(interval.low), float(interval.high)


def summarise(
    values: Sequence[float], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, float]:
    """Mean with bootstrap interval, SD (n - 1), median, quartiles, range; `n` counts the defined values."""
    defined = _defined(values)
    numbers = {"n": len(defined), "n_undefined": int(np.size(values) - len(defined))}
    names = ("mean", "ci_low", "ci_high", "sd", "median", "q1", "q3", "min", "max")
    if len(defined) == 0:
        return numbers | dict.fromkeys(names, NAN)
    low, high = bootstrap_mean_interval(defined, confidence, resamples, seed)
    q1, median, q3 = np.percentile(defined, [25, 50, 75])
    spread = defined.std(ddof=1) if len(defined) > 1 else NAN
    found = (defined.mean(), low, high, spread, median, q1, q3, defined.min(), defined.max())
    return numbers | dict(zip(names, map(float, found), strict=True))


def paired_difference(
    first: Sequence[float],
    second: Sequence[float],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, float]:
    """Mean of first - second over patients: bootstrap interval over patients and Wilcoxon's signed-rank test.

    Pairs in which one value is NaN are left out (`n_undefined`). Patients, not values, are resampled, so the pairing
    stays. Wilcoxon is two-sided and drops zero differences; all differences zero gives p = 1.

    Args:
        first: values of one run, a number per patient.
        second: values of the other run, same patients in the same order.
        confidence: of the interval.
        resamples: number of bootstrap samples.
        seed: of the bootstrap.

    Returns:
        n, n_undefined, mean_first, mean_second, mean_difference, ci_low, ci_high, p_wilcoxon, n_first_higher,
        n_second_higher.

    Raises:
        ValueError: the two differ in length.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise ValueError(f"paired values must match: {first.shape} and {second.shape}")
    both = ~(np.isnan(first) | np.isnan(second))
    kept_first, kept_second = first[both], second[both]
    difference = kept_first - kept_second
    low, high = bootstrap_mean_interval(difference, confidence, resamples, seed)
    return {
        "n": int(both.sum()),
        "n_undefined": int((~both).sum()),
        "mean_first": float(kept_first.mean()) if len(difference) else NAN,
        "mean_second": float(kept_second.mean()) if len(difference) else NAN,
        "mean_difference": float(difference.mean()) if len(difference) else NAN,
        "ci_low": low,
        "ci_high": high,
        "p_wilcoxon": wilcoxon_p(difference),
        "n_first_higher": int((difference > 0).sum()),
        "n_second_higher": int((difference < 0).sum()),
    }


def wilcoxon_p(difference: Sequence[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; NaN left out; 1 when all differences are 0; NaN for none."""
    defined = _defined(difference)
    if len(defined) == 0:
        return NAN
    if not defined.any():
        return 1.0
    return float(stats.wilcoxon(defined, zero_method="wilcox").pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction over a family of tests.

    The p values are sorted, the i-th smallest of m is multiplied by m - i (i from 0), made non-decreasing and capped
    at 1 (Holm 1979, Scand J Statist 6:65). NaN stays NaN and does not count as a test.

    Args:
        p_values: p by name of the test.

    Returns:
        Corrected p by name, in the order given.
    """
    tested = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    corrected = dict.fromkeys(p_values, NAN)
    running = 0.0
    for rank, (p, name) in enumerate(tested):
        running = max(running, min(1.0, p * (len(tested) - rank)))
        corrected[name] = running
    return corrected
