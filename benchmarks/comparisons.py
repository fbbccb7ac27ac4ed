"""How often studies call a model better: without any difference, and with one; and how long the tests take.

    python benchmarks/comparisons.py [studies]

Values are made as AUPRC are: skewed, between 0 and 1, hard patients hard for all models (correlation 0.5 on the logit
scale). docs/decisions/0036 has the figures.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from brainuad.metrics.statistics import adjusted, paired

MODELS = 18


def study(rng, patients, seeds=1, between=0.0, gain=0.0):
    """Models x patients x seeds; the first model has a gain, on the logit scale, as `between` is."""
    patient, own = rng.normal(size=(1, patients, 1)), rng.normal(size=(MODELS, patients, 1))
    training = between * rng.normal(size=(MODELS, 1, seeds))
    logits = -1.5 + 1.06 * (patient + own) + training + 0.3 * rng.normal(size=(MODELS, patients, seeds))
    logits[0] += gain
    return special.expit(logits)


def decided(values):
    """Whether each pair is decided, and whether it holds the first model."""
    p = np.array([test.p_adjusted for test in adjusted([[values]])[0][0]])
    return p < 0.05, np.triu_indices(MODELS, 1)[0] == 0


def rates(rng, studies, **how):
    """Share of studies with a false decision, and of true differences that are decided."""
    false, true = [], []
    for _ in range(studies):
        found, first = decided(study(rng, **how))
        null = ~first if how.get("gain") else np.ones(len(found), bool)
        false.append(found[null].any())
        true.append(found[first].mean())
    return np.mean(false), np.mean(true)


def holm(rng, studies, patients, gain):
    """The same share of true differences by Holm over all pairs, of the exact sign-flip test and of Wilcoxon."""
    by_flips, by_ranks = [], []
    for _ in range(studies):
        values = study(rng, patients, gain=gain)
        first, second = np.triu_indices(MODELS, 1)
        flips = [paired(values[i] - values[j]).p for i, j in zip(first, second, strict=True)]
        ranks = [stats.wilcoxon((values[i] - values[j])[:, 0]).pvalue for i, j in zip(first, second, strict=True)]
        for p, found in ((flips, by_flips), (ranks, by_ranks)):
            found.append((multipletests(p, method="holm")[1] < 0.05)[first == 0].mean())
    return np.mean(by_flips), np.mean(by_ranks)


def main():
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rng = np.random.default_rng(0)
    for patients in (10, 12, 20, 50):
        size = studies if patients < 15 else studies // 3
        none, real = rates(rng, size, patients=patients), rates(rng, size // 3, patients=patients, gain=1.5)
        old = holm(rng, 10, patients, 1.5)
        print(
            f"1 seed, n {patients}: false {none[0]:.3f}, power {real[1]:.2f}; Holm {old[0]:.2f}, {old[1]:.2f}",
            flush=True,
        )
    for seeds in (2, 3, 5):
        for between in (0.0, 0.3, 1.0):
            how = {"patients": 12, "seeds": seeds, "between": between}
            none, real = rates(rng, studies // 2, **how), rates(rng, studies // 5, **how, gain=2.5)
            print(f"{seeds} seeds, sd {between}: false {none[0]:.3f}, power {real[1]:.2f}", flush=True)
    start = time.process_time()
    adjusted([[study(rng, 500, 3)[:12]]])
    print(f"12 models x 500 patients x 3 seeds, 10,000 flips: {time.process_time() - start:.2f} CPU s")


if __name__ == "__main__":
    main()
