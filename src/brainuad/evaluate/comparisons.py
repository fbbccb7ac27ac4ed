"""Each model against each trivial baseline, on the same patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brainuad.formats import tables
from brainuad.metrics import PRIMARY, statistics


def compare(scans: pd.DataFrame, baselines: Sequence[str], resamples: int) -> pd.DataFrame:
    """Rows of `comparisons.tsv` from those of `scans.tsv`.

    AUPRC of each scan that both models have, averaged over seeds, then over the patient's scans; paired by patient.
    Holm's correction covers the whole table.
    """
    rows: list[dict[str, object]] = []
    valued = scans.dropna(subset=["auprc"])
    for (dataset, postprocessing), part in valued.groupby(["dataset", "postprocessing"], sort=True):
        by_scan = part.pivot_table(index=["subject", "scan"], columns="model", values="auprc", aggfunc="mean")
        for model in sorted(str(label) for label in by_scan if label not in baselines):
            for reference in [label for label in baselines if label in by_scan]:
                difference = (by_scan[model] - by_scan[reference]).dropna().groupby("subject").mean().to_numpy()
                if len(difference):
                    mean, low, high, p = statistics.paired(difference, resamples)
                    rows.append(
                        {"dataset": dataset, "postprocessing": postprocessing, "model": model, "reference": reference}
                        | {"metric": PRIMARY.name, "difference": mean, "ci_low": low, "ci_high": high}
                        | {"p": p, "n": len(difference)}
                    )
    table = pd.DataFrame(rows, columns=list(tables.COMPARISONS))
    table["p_holm"] = statistics.holm(np.asarray(table["p"], dtype=float))
    return table
