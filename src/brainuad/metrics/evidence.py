"""What metrics are computed from: counts and scores of the test scans of one data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from brainuad.metrics import pooled, statistics
from brainuad.metrics.conformal import Cut
from brainuad.metrics.froc import Components, Froc
from brainuad.metrics.lesionwise import Found
from brainuad.metrics.registry import Estimate
from brainuad.metrics.statistics import Scale, Weights
from brainuad.metrics.surfaces import Surface

Values = Float[np.ndarray, "n"]
PerScan = Float[np.ndarray, "scans"]
Mask = Bool[np.ndarray, "x y z"]
Volume = Float[np.ndarray, "x y z"]

LESION_SIZES = {"small": (0.0, 1.0), "medium": (1.0, 10.0), "large": (10.0, np.inf)}
"""Classes of lesions, and of all lesions of a scan together, in ml of the scan's own space: from, and below."""


@dataclass(frozen=True)
class Patients:
    """Whose scans they are. `subjects`: the patient of each scan; `weights`: all but one patient, in turn."""

    subjects: Sequence[str]
    weights: Weights | None
    with_lesions: bool = True
    """Whether any scan holds a lesion."""

    def some(self, chosen: Bool[np.ndarray, "scans"]) -> Patients:
        """Those of some of the scans."""
        subjects = [subject for subject, take in zip(self.subjects, chosen, strict=True) if take]
        return replace(self, subjects=subjects, weights=statistics.leave_one_out(subjects))

    def ratio(self, numerator: PerScan, denominator: PerScan, n: int | None = None, scale: Scale = "share") -> Estimate:
        """Sum over sum of all scans, with its interval. `n`: by default all scans."""
        number = statistics.ratio(numerator, denominator, self.weights, scale)
        return Estimate(*number, len(self.subjects) if n is None else n)

    def mean(self, values: PerScan, scale: Scale | None = None) -> Estimate:
        """Mean over patients of the mean over their scans; scans without a value (NaN) are excluded.

        `scale`: by default that of the values.
        """
        number = statistics.patient_mean(values, self.subjects, self.weights, scale)
        return Estimate(*number, int(np.isfinite(values).sum()))

    def over_samples(
        self, value: Callable[[Weights], PerScan], n: int | None = None, scale: Scale = "share"
    ) -> Estimate:
        """A number with its interval. `value`: that of each sample of patients from its weights of the scans."""
        scans = len(self.subjects)
        number = float(value(np.ones((1, scans)))[0])
        without = None if self.weights is None else value(self.weights)
        if without is not None and np.isnan(without).any():  # it rests on one patient alone
            without = None
        return Estimate(number, *statistics.interval(number, without, scale), scans if n is None else n)


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
    lesion_ml: PerScan
    """Of each scan, in its own space. `outside`: the share of it outside the scored brain; NaN without lesion."""
    outside: PerScan

    @cached_property
    def areas(self) -> pooled.PooledAreas:
        """Areas and best Dice over the voxels of all scans."""
        return pooled.pooled_areas(self.counts, self.patients.weights)

    def parts(self, by: str) -> Iterator[tuple[str, MapEvidence]]:
        """By lesion type, where a scan of several types is in each of them, or by the volume of a scan's lesions."""
        if by == "lesion_type":
            for name in sorted({name for names in self.lesion_types for name in names}):
                yield name, self._of(np.array([name in names for names in self.lesion_types]))
        if by == "lesion_load":
            for name in LESION_SIZES:
                chosen = of_size(self.lesion_ml, name)
                if chosen.any():
                    yield name, self._of(chosen)

    def _of(self, chosen: Bool[np.ndarray, "scans"]) -> MapEvidence:
        """Some of the scans."""
        counts = replace(
            self.counts,
            lesion=self.counts.lesion * chosen[:, None],
            normal=self.counts.normal * chosen[:, None],
            lost=self.counts.lost * chosen,
        )
        auprc, auroc = (np.where(chosen, values, np.nan) for values in (self.auprc, self.auroc))
        return replace(self, counts=counts, auprc=auprc, auroc=auroc)


@dataclass(frozen=True)
class OracleEvidence(Evidence):
    """The same maps at thresholds that are chosen on the test labels."""

    maps: MapEvidence


@dataclass(frozen=True)
class MaskCounts:
    """The predicted mask of a scan in the scored brain against its lesions in and outside it, in voxels."""

    true_positives: int
    predicted: int
    lesion: int
    """In and outside the scored brain."""
    normal: int
    """Voxels of the scored brain that are no lesion."""
    predicted_ml: float
    """In the scan's own space, as all volumes."""
    lesion_ml: float
    false_ml: float
    """Predicted volume that is no lesion."""
    slice_dice: float
    """Sum of Dice over slices with lesion."""
    slices: int
    """Slices with lesion."""
    lesions_ml: Values
    """The volumes of the lesions of a counted size."""
    lesions_outside: Values
    """The share of each outside the scored brain."""
    found: Found

    @property
    def false_positives(self) -> int:
        """Predicted components of a counted size that detect no lesion."""
        return int(self.found.component_false.sum())

    @property
    def detected(self) -> int:
        """Lesions that are detected."""
        return int(self.found.detected.sum())

    @property
    def dice(self) -> float:
        """Of the scan; NaN if it has neither lesion nor predicted voxel. `jaccard`, `mcc`: likewise."""
        return _ratio(2 * self.true_positives, self.predicted + self.lesion)

    @property
    def jaccard(self) -> float:
        return _ratio(self.true_positives, self.predicted + self.lesion - self.true_positives)

    @property
    def mcc(self) -> float:
        if not self.predicted + self.lesion:
            return np.nan
        counts = np.array([[self.true_positives], [self.predicted], [self.lesion], [self.normal]], dtype=float)
        return float(matthews(*counts)[0])

    @property
    def recall(self) -> float:
        """Share of the lesion that is predicted; NaN without lesion."""
        return _ratio(self.true_positives, self.lesion)

    @property
    def precision(self) -> float:
        """Share of the predicted voxels that are lesion; NaN without predicted voxel."""
        return _ratio(self.true_positives, self.predicted)


@dataclass(frozen=True)
class MaskEvidence(Evidence):
    """The predicted masks of a data set under one threshold rule."""

    threshold: float
    scans: Sequence[MaskCounts]

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
        """Lesion voxels, in and outside the scored brain."""
        return self.each(lambda scan: scan.lesion)

    @property
    def lesions(self) -> PerScan:
        """Lesions of a counted size. `detected`: those of them that are detected; `false_positives`: as in a scan."""
        return self.each(lambda scan: len(scan.lesions_ml))

    @property
    def detected(self) -> PerScan:
        return self.each(lambda scan: scan.detected)

    @property
    def false_positives(self) -> PerScan:
        return self.each(lambda scan: scan.false_positives)

    @property
    def bias_ml(self) -> PerScan:
        """Predicted minus true volume."""
        return self.each(lambda scan: scan.predicted_ml - scan.lesion_ml)

    @cached_property
    def froc(self) -> Froc:
        """Detected lesions against false positives at thresholds of the components' values."""
        return Froc.of([_components(scan) for scan in self.scans])

    def parts(self, by: str) -> Iterator[tuple[str, MaskEvidence]]:
        """By size of the lesions, with all scans, or by the volume of all lesions of a scan."""
        if by == "lesion_size":
            for name in LESION_SIZES:
                yield name, replace(self, scans=[_lesions_of_size(scan, name) for scan in self.scans])
        if by == "lesion_load":
            for name in LESION_SIZES:
                chosen = of_size(self.each(lambda scan: scan.lesion_ml), name)
                if chosen.any():
                    yield name, self._of(chosen)

    def _of(self, chosen: Bool[np.ndarray, "scans"]) -> MaskEvidence:
        """Some of the scans."""
        return replace(
            self,
            patients=self.patients.some(chosen),
            scans=[scan for scan, take in zip(self.scans, chosen, strict=True) if take],
        )


@dataclass(frozen=True)
class HealthyMasks(Evidence):
    """The predicted masks of the healthy scans of a data set under one threshold rule: all of them is false."""

    shares: PerScan
    """Share of the scored voxels that is predicted."""
    ml: PerScan
    """Predicted volume in the scan's own space."""
    sites: Sequence[str]
    """Site or scanner of each scan, as it stands in names of metrics; empty where unknown."""
    nominal: float
    """The share that the rule aims at, before mask operators; NaN where it aims at none."""

    def parts(self, by: str) -> Iterator[tuple[str, HealthyMasks]]:
        """By site, where there are several."""
        names = sorted(set(self.sites) - {""}) if by == "site" else []
        for name in names if len(names) > 1 else ():
            chosen = np.array(self.sites) == name
            shares, ml = self.shares[chosen], self.ml[chosen]
            yield name, replace(self, patients=self.patients.some(chosen), shares=shares, ml=ml, sites=[])


@dataclass(frozen=True)
class ScanScores(Evidence):
    """Anomaly scores of abnormal and healthy scans; there is at least one of each."""

    scores: PerScan
    abnormal: Bool[np.ndarray, "scans"]
    """Whether a scan holds a lesion or other pathology or is corrupted."""
    lesion_types: Sequence[Sequence[str]]
    """Of each scan, or how it is corrupted."""

    def area(self, of: Callable[[PerScan, Bool[np.ndarray, "scans"], Weights], PerScan]) -> Estimate:
        """An area under a curve, with its interval; without one under three people of either kind."""
        weights = self.patients.weights
        value = float(of(self.scores, self.abnormal, np.ones(len(self.scores))))
        people = np.asarray(self.patients.subjects)
        smaller = min(len(set(people[self.abnormal])), len(set(people[~self.abnormal])))
        without = None
        if weights is not None and smaller >= statistics.FEWEST_PATIENTS:
            without = of(self.scores, self.abnormal, weights)
        return Estimate(value, *statistics.interval(value, without, independent=smaller), len(self.scores))

    def parts(self, by: str) -> Iterator[tuple[str, ScanScores]]:
        """By lesion type: the scans with it against all healthy ones; a scan of several types is in each of them."""
        for name in sorted({name for names in self.lesion_types for name in names}) if by == "lesion_type" else ():
            chosen = ~self.abnormal | np.array([name in names for names in self.lesion_types])
            patients = self.patients.some(chosen)
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
class ScanKinds(Evidence):
    """What the scans are, whatever their maps."""

    unmarked: Bool[np.ndarray, "scans"]
    """Whether each is a patient's whose lesion mask marks nothing."""
    lacking: Bool[np.ndarray, "scans"]
    """Whether its session lacks a sequence of the study."""


@dataclass(frozen=True)
class ScanThreshold(Evidence):
    """The same scores above a threshold from healthy scans."""

    scores: ScanScores
    cut: Cut


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
    """In the scored brain."""
    lesion: Mask
    """In and outside the scored brain."""
    scored: Mask
    """The brain without its rim and without what is not scored."""
    spacing: tuple[float, float, float]
    """Voxel size in mm."""
    tolerance_mm: float = 2.0
    """Distance within which surfaces agree."""

    @property
    def diagonal_mm(self) -> float:
        """Of the box of the brain: no distance in it is larger."""
        return float(np.linalg.norm(np.array(self.scored.shape) * self.spacing))

    @cached_property
    def surfaces(self) -> tuple[Surface | None, Surface | None]:
        """Of the predicted mask and of the lesion; None without a voxel."""
        predicted, lesion = (
            Surface.of(mask, self.spacing) if mask.any() else None for mask in (self.predicted, self.lesion)
        )
        return predicted, lesion


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


def of_size(ml: Values, name: str) -> Bool[np.ndarray, "n"]:
    """Which volumes belong to a class of `LESION_SIZES`; none without any lesion."""
    low, high = LESION_SIZES[name]
    return (ml > 0) & (ml >= low) & (ml < high)


def matthews(true_positives: PerScan, predicted: PerScan, lesion: PerScan, normal: PerScan) -> PerScan:
    """Matthews' correlation of predicted and true voxels; 0 where all or no voxels are predicted, or are lesion."""
    false_positives, false_negatives = predicted - true_positives, lesion - true_positives
    true_negatives = normal - false_positives
    spread = np.sqrt(predicted * lesion * normal * (true_negatives + false_negatives))
    agreement = true_positives * true_negatives - false_positives * false_negatives
    return np.divide(agreement, spread, out=np.zeros_like(spread), where=spread > 0)


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else np.nan


def _components(scan: MaskCounts) -> Components:
    found = scan.found
    return Components(
        detecting=found.scores[found.detected],
        false=found.component_scores[found.component_false],
        every=found.component_scores,
        false_ml=found.component_false_ml,
        lesions=len(scan.lesions_ml),
    )


def _lesions_of_size(scan: MaskCounts, name: str) -> MaskCounts:
    chosen, found = of_size(scan.lesions_ml, name), scan.found
    kept = {each: getattr(found, each)[chosen] for each in ("overlaps", "detected", "scores")}
    lesions = {each: getattr(scan, each)[chosen] for each in ("lesions_ml", "lesions_outside")}
    return replace(scan, **lesions, found=replace(found, **kept))
