"""Anomaly map, reconstruction and score of one scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brainuad.methods.base import Brain, Image, Method, Sign


@dataclass(frozen=True)
class Found:
    """`anomaly`: higher = more abnormal, 0 outside the brain; `score`: one number for the scan."""

    anomaly: Image
    reconstruction: Image | None
    score: float


def predict(method: Method, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Found:
    """What a method finds in one normalised scan."""
    anomaly, reconstruction = method.predict(image, brain, spacing, sign)
    anomaly[~brain] = 0
    return Found(anomaly, reconstruction, method.anomaly_score(anomaly, brain, image))


def fidelity(image: Image, rebuilt: Image, brain: Brain) -> dict[str, float]:
    """How far a reconstruction follows its scan in the brain.

    `explained`: share of the scan's variance, 1 at best; 0 or less where the scan's own mean would do as well, so that
    the residual shows the scan rather than what is wrong with it. `correlation`: Pearson's, 0 for an even picture.
    """
    seen, found = image[brain].astype(float), rebuilt[brain].astype(float)
    spread = float(seen.var())
    explained = 1 - float(np.square(seen - found).mean()) / spread if spread else 0.0
    together = float(np.cov(seen, found, bias=True)[0, 1]) if spread and found.var() else 0.0
    correlation = together / float(seen.std() * found.std()) if together else 0.0
    return {"explained": explained, "correlation": correlation}
