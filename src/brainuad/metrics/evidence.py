"""What metrics are computed from: counts and scores of the test scans of one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from brainuad.metrics import pooled, statistics
from brainuad.metrics.registry import Estimate
from brainuad.metrics.statistics import Weights

Values = Float[np.ndarray, "n"]
PerScan = Float[np.ndarray, "scans"]
Mask = Bool[np.ndarray, "x y z"]
Volume = Float[np.ndarray, "x y z"]

LESION_SIZES = {"small": (0.0, 1.0), "medium": (1.0, 10.0), "large": (10.0, np.inf)}
"""Classes of lesions, in ml of the scan's own space: from, and below."""


@dataclass(frozen=True)
class Patients:
    """Whose scans they are. `subjects`: the patient of each scan; `weights`: bootstrap samples of the patients."""

    subjects: Sequence[str]
    weights: Weights | None
    with_lesions: bool = True
    """Whether any scan holds a lesion that is scored."""

    def ratio(self, numerator: PerScan, denominator: PerScan, n: int | None = None) -> Estimate:
        """Sum over sum of all scans, with its interval. `n`: by default all scans."""
        number = statistics.ratio(numerator, denominator, self.weights)
        return Estimate(*number, len(self.subjects) if n is None else n)

    def mean(self, values: PerScan) -> Estimate:
        """Mean over patients of the mean over their scans; scans without a value (NaN) are excluded."""
        number = statistics.patient_mean(values, self.subjects, self.weights)
        return Estimate(*number, int(np.isfinite(values).sum()))


@dataclass(frozen=True)
class Evidence:
    """Base class. `rule`: the threshold rule that the numbers stand under in `metrics.tsv`."""

    patients: Patients
    rule: str

    def parts(self, by: str) -> Iterator[tuple[str, Evidence]]:
        """The parts of the data set by name; empty where it cannot be split that way."""
        del by
        yield from ()


@dataclass(frozen=True)
class MapEvidence(Evidence):
    """The anomaly maps of a data set with lesions, before any threshold."""

    counts: pooled.BinnedCounts
    auprc: PerScan
    """Area under the precision-recall curve of each scan; NaN without lesions. `auroc`: likewise."""
    auroc: PerScan
    lesion_types: Sequence[Sequence[str]]
    """Of each scan."""

    @cached_property
    def areas(self) -> pooled.PooledAreas:
        """Areas and best Dice over the voxels of all scans."""
        return pooled.pooled_areas(self.counts, self.patients.weights)

    def parts(self, by: str) -> Iterator[tuple[str, MapEvidence]]:
        """By lesion type; a scan of several types is in each of them."""
        for name in sorted({name for names in self.lesion_types for name in names}) if by == "lesion_type" else ():
            chosen = np.array([name in names for names in self.lesion_types])
            counts = replace(
                self.counts, lesion=self.counts.lesion * chosen[:, None], normal=self.counts.normal * chosen[:, None]
            )
            auprc, auroc = (np.where(chosen, values, np.nan) for values in (self.auprc, self.auroc))
            yield name, replace(self, counts=counts, auprc=auprc, auroc=auroc)


@dataclass(frozen=True)
class OracleEvidence(Evidence):
    """The same maps at thresholds that are chosen on the test labels."""

    maps: MapEvidence


@dataclass(frozen=True)
class MaskCounts:
    """The predicted mask of a scan against its lesions, in voxels of the scored brain."""

    true_positives: int
    predicted: int
    predicted_ml: float
    """In the scan's own space, as `lesions_ml`."""
    lesion: int
    normal: int
    slice_dice: float
    """Sum of Dice over slices with lesion."""
    slices: int
    """Slices with lesion."""
    overlaps: Values
    """Of each counted lesion, the share that is predicted."""
    lesions_ml: Values
    """The volumes of those lesions."""
    false_positives: int
    """Predicted components of a counted size that overlap no lesion."""

    @property
    def dice(self) -> float:
        """Of the scan; NaN if it has neither lesion nor predicted voxel."""
        total = self.predicted + self.lesion
        return 2 * self.true_positives / total if total else np.nan


@dataclass(frozen=True)
class MaskEvidence(Evidence):
    """The predicted masks of a data set under one threshold rule."""

    threshold: float
    scans: Sequence[MaskCounts]
    detection_overlap: float
    """Share of a lesion that must be predicted for it to count as detected."""

    def each(self, count: Callable[[MaskCounts], float]) -> PerScan:
        """A number for each scan, such as `lambda scan: scan.predicted`."""
        return np.array([count(scan) for scan in self.scans], dtype=float)

    @property
    def true_positives(self) -> PerScan:
        """Predicted lesion voxels."""
        return self.each(lambda scan: scan.true_positives)

    @property
    def predicted(self) -> PerScan:
        """Predicted voxels."""
        return self.each(lambda scan: scan.predicted)

    @property
    def lesion(self) -> PerScan:
        """Lesion voxels."""
        return self.each(lambda scan: scan.lesion)

    def parts(self, by: str) -> Iterator[tuple[str, MaskEvidence]]:
        """By size of the lesions."""
        for name, (low, high) in LESION_SIZES.items() if by == "lesion_size" else ():
            yield name, replace(self, scans=[_lesions_of_size(scan, low, high) for scan in self.scans])


@dataclass(frozen=True)
class ScanScores(Evidence):
    """Anomaly scores of abnormal and healthy scans; there is at least one of each."""

    scores: PerScan
    abnormal: Bool[np.ndarray, "scans"]
    """Whether a scan holds a lesion or other pathology or is corrupted."""
    lesion_types: Sequence[Sequence[str]]
    """Of each scan, or how it is corrupted."""

    def area(self, of: Callable[[PerScan, Bool[np.ndarray, "scans"], Weights], PerScan]) -> Estimate:
        """An area under a curve, with its interval."""
        weights = self.patients.weights
        value = float(of(self.scores, self.abnormal, np.ones(len(self.scores))))
        spread = None if weights is None else of(self.scores, self.abnormal, weights)
        return Estimate(value, *statistics.interval(spread), len(self.scores))

    def parts(self, by: str) -> Iterator[tuple[str, ScanScores]]:
        """By lesion type: the scans with it against all healthy ones; a scan of several types is in each of them."""
        for name in sorted({name for names in self.lesion_types for name in names}) if by == "lesion_type" else ():
            chosen = ~self.abnormal | np.array([name in names for names in self.lesion_types])
            patients = replace(
                self.patients,
                subjects=[subject for subject, take in zip(self.patients.subjects, chosen, strict=True) if take],
                weights=None if self.patients.weights is None else self.patients.weights[:, chosen],
            )
            types = [names for names, take in zip(self.lesion_types, chosen, strict=True) if take]
            yield (
                name,
                replace(
                    self,
                    patients=patients,
                    scores=self.scores[chosen],
                    abnormal=self.abnormal[chosen],
                    lesion_types=types,
                ),
            )


@dataclass(frozen=True)
class UnmarkedEvidence(Evidence):
    """Whether each scan is a patient's whose lesion mask marks nothing."""

    unmarked: Bool[np.ndarray, "scans"]


@dataclass(frozen=True)
class ScanThreshold(Evidence):
    """The same scores above a threshold from the healthy validation scans."""

    scores: ScanScores
    threshold: float
    validation_scans: int
    """That the threshold rests on."""


@dataclass(frozen=True)
class ScanOracle(Evidence):
    """The same scores at the threshold with the best Youden index on the test scans themselves."""

    scores: ScanScores
    threshold: float
    sensitivity: float
    specificity: float


@dataclass(frozen=True)
class PeakEvidence(Evidence):
    """Where the maps are highest. `hits`: 1 if a lesion lies there or near, else 0; NaN for scans without lesion."""

    hits: PerScan


@dataclass(frozen=True)
class ScanMaskEvidence:
    """One scan and its predicted mask under one threshold rule, on the box of the brain.

    A metric of it is a number for each scan, NaN where undefined; `metrics.tsv` gets the mean over patients.
    """

    predicted: Mask
    """In the scored brain. `lesion`: likewise."""
    lesion: Mask
    scored: Mask
    """The brain without its rim and without what is not scored."""
    spacing: tuple[float, float, float]
    """Voxel size in mm."""


@dataclass(frozen=True)
class ReconstructionEvidence:
    """One scan and its reconstruction, normalised intensities, on the box of the brain.

    A metric of it is a number for each scan, NaN where undefined; `metrics.tsv` gets the mean over patients.
    """

    image: Volume
    reconstruction: Volume
    brain: Mask
    scored: Mask
    """The brain without its rim and without what is not scored."""


def _lesions_of_size(scan: MaskCounts, low: float, high: float) -> MaskCounts:
    chosen = (scan.lesions_ml >= low) & (scan.lesions_ml < high)
    return replace(scan, overlaps=scan.overlaps[chosen], lesions_ml=scan.lesions_ml[chosen])
