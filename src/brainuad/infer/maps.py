"""Anomaly map, reconstruction and score of one scan."""

from __future__ import annotations

from dataclasses import dataclass

from brainuad.methods.base import Brain, Image, Method, Sign


@dataclass(frozen=True)
class Found:
    """`anomaly`: higher = more abnormal, 0 outside the brain; `score`: one number for the scan."""

    anomaly: Image
    reconstruction: Image | None
    score: float


def examine(method: Method, image: Image, brain: Brain, spacing: tuple[float, float, float], sign: Sign) -> Found:
    """What a method finds in one normalised scan."""
    anomaly, reconstruction = method.examine(image, brain, spacing, sign)
    anomaly[~brain] = 0
    return Found(anomaly, reconstruction, method.anomaly_score(anomaly, brain, image))
