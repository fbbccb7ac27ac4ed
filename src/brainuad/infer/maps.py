"""Anomaly map, reconstruction and score of one scan."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brainuad.methods.base import Brain, Image, Method, Sign
from brainuad.methods.shared.per_scan import robust_z


@dataclass(frozen=True)
class Prediction:
    """`anomaly`: higher = more abnormal, 0 outside the brain; `score`: one number for the scan."""

    anomaly: Image
    reconstruction: Image | None
    score: float


def nothing_to_map(settings: Mapping[str, Any], seen: Collection[str], missing: Collection[str]) -> bool:
    """Whether a session gets a map of zeros.

    It lacks all sequences that the model sees, or one of them, where the `map` section wants whole sessions.
    """
    lost = {*seen} & {*missing}
    return lost == {*seen} or (bool(lost) and settings.get("lacking") == "nothing")


def predict(method: Method, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Prediction:
    """The method's prediction for one normalised scan. `spacing`: voxel size in mm."""
    anomaly, reconstruction = method.predict(image, brain, spacing, sign)
    anomaly[~brain] = 0
    return Prediction(anomaly, reconstruction, method.anomaly_score(anomaly, brain, image))


def combine(method: Method, parts: Sequence[Image], image: Image, brain: Brain, rim: int) -> Prediction:
    """The prediction of an ensemble from its members' maps of one scan. `rim`: its depth, not scored."""
    anomaly = method.combined_map(parts, brain, _scored(brain, rim))
    return Prediction(anomaly, None, method.anomaly_score(anomaly, brain, image))


def in_own_units(method: Method, made: Prediction, image: Image, brain: Brain, rim: int) -> Prediction:
    """The prediction with its map in units of its own scan."""
    anomaly = robust_z(made.anomaly, brain, _scored(brain, rim))
    return replace(made, anomaly=anomaly, score=method.anomaly_score(anomaly, brain, image))


def _scored(brain: Brain, rim: int) -> Brain:
    from brainuad.metrics.voxelwise import scored_brain  # late: metrics take longer to load than an ensemble to run

    return scored_brain(brain, rim)


def reconstruction_similarity(image: Image, reconstruction: Image, brain: Brain) -> dict[str, float]:
    """Similarity of a scan and its reconstruction over the brain.

    `explained_variance`: share of the scan's variance that the reconstruction explains, 1 at best; 0 or less where the
    scan's own mean would do as well, so that the residual shows the scan rather than its lesions. `correlation`:
    Pearson's, 0 for a constant image.
    """
    scan, model = image[brain].astype(float), reconstruction[brain].astype(float)
    variance = float(scan.var())
    explained = 1 - float(np.square(scan - model).mean()) / variance if variance else 0.0
    covariance = float(np.cov(scan, model, bias=True)[0, 1]) if variance and model.var() else 0.0
    correlation = covariance / float(scan.std() * model.std()) if covariance else 0.0
    return {"explained_variance": explained, "correlation": correlation}
