from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from brainuad.report.plots import calibration
from brainuad.report.realised import realised


def rows(model, seed, **values):
    at = {"model": model, "seed": seed, "dataset": "ixi", "postprocessing": "none", "threshold_rule": "q"}
    return [{**at, "metric": name, "value": value, "n": 3} for name, value in values.items()]


def test_rates_are_means_over_seeds_and_extremes_of_all_seeds():
    table = rows("ae", 0, nominal_fpr=0.02, healthy_fpr=0.03, healthy_fpr_min=0.01, healthy_fpr_max=0.05)
    table += rows("ae", 0, fp_ml_per_scan=2, healthy_fp_ml_max=4, healthy_fpr_hh=0.02, healthy_fpr_guys=0.04)
    table += rows("ae", 1, nominal_fpr=0.02, healthy_fpr=0.05, healthy_fpr_min=0.02, healthy_fpr_max=0.09)
    table += rows("ae", 1, fp_ml_per_scan=4, healthy_fp_ml_max=9, healthy_fpr_hh=0.04, healthy_fpr_guys=0.06)
    table += rows("z", 0, healthy_fpr=0.0, healthy_fpr_min=0.0, healthy_fpr_max=0.0, fp_ml_per_scan=0)
    table += rows("patients", 0, fp_ml_per_scan=1)
    first, second = realised(pd.DataFrame(table))
    assert (first.model, first.scans, first.rule) == ("ae", 3, "q")
    found = first.nominal_fpr, first.healthy_fpr, first.healthy_fpr_min, first.healthy_fpr_max
    np.testing.assert_allclose(found, [0.02, 0.04, 0.01, 0.09])
    np.testing.assert_allclose([first.fp_ml_per_scan, first.healthy_fp_ml_max], [3, 9])
    assert {name: round(share, 3) for name, share in first.sites.items()} == {"hh": 0.03, "guys": 0.05}
    assert second.model == "z"
    assert np.isnan(second.nominal_fpr)


def test_the_figure_has_a_point_for_each_model_and_rule_that_aims_at_a_rate():
    study = SimpleNamespace(postprocessing={"none": None, "closed": None}, models=["z", "ae"], baselines=lambda: ["z"])
    table = rows("ae", 0, nominal_fpr=0.02, healthy_fpr=0.03) + rows("z", 0, healthy_fpr=0.01)
    other = {"threshold_rule": "p", "n": 3}
    table += [each | other for each in rows("ae", 0, nominal_fpr=0.005, healthy_fpr=0.01)]
    table += [each | {"postprocessing": "closed"} for each in rows("z", 0, nominal_fpr=0.02, healthy_fpr=0.02)]
    drawn = calibration(study, realised(pd.DataFrame(table)))
    assert list(drawn) == ["ixi"]
    diagonal, model = drawn["ixi"].lines
    assert diagonal.x == diagonal.y
    assert model.label == "ae"
    np.testing.assert_allclose([model.x, model.y], [[0.5, 2], [1, 3]])
    assert drawn["ixi"].y_limits[1] > 3
