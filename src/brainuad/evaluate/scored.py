"""What is kept of the test scans of a data set while they are read one by one, and the evidence that metrics take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import Threshold, ThresholdRole
from brainuad.evaluate.peak import Peak
from brainuad.evaluate.scan import ScanFacts
from brainuad.evaluate.scoring_grid import OwnScans
from brainuad.formats.scans import lesion_types_in
from brainuad.metrics import conformal, pooled, scanwise, statistics
from brainuad.metrics.evidence import (
    HealthyMasks,
    MapEvidence,
    MaskCounts,
    MaskEvidence,
    OracleEvidence,
    Patients,
    PeakEvidence,
    ScanKinds,
    ScanOracle,
    ScanScores,
    ScanThreshold,
)
from brainuad.metrics.geometry import MapFit
from brainuad.metrics.registry import NO_RULE, ORACLE


@dataclass(frozen=True)
class Scoring:
    """How scans are scored."""

    settings: Evaluate
    rules: Sequence[Threshold]
    """The study's, in its order."""
    locating: Sequence[str] = ()
    """Postprocessings that leave one component, in which the peak of the map is sought."""
    calibration_role: ThresholdRole = "validation"
    """Role of the healthy scans that set the threshold of scores."""
    own: OwnScans | None = None
    """The scans on whose own grids they are scored; None for the template's."""
    sequence: str = ""
    """Of a session with several: the one that reconstructions are compared with; the first if empty."""


@dataclass(frozen=True)
class Scores:
    """Anomaly scores: of the test scans, and of healthy scans of other data sets for the scan level."""

    scans: Sequence[float]
    controls: Sequence[tuple[str, float]]
    """(person, score) of the healthy test scans of other data sets."""
    calibration: Sequence[tuple[str, float]]
    """(person, score) of the healthy calibration scans, or validation scans, that set the threshold of scores."""

    @cached_property
    def healthy(self) -> Float[np.ndarray, "people"]:
        """The highest calibration score of each person, ascending."""
        return conformal.highest_of_each(self.calibration)

    def p_values(self) -> Float[np.ndarray, "scans"]:
        """Conformal p value of each test scan; NaN without calibration scans."""
        scores = np.array(self.scans, dtype=float)
        return conformal.p_values(self.healthy, scores) if len(self.healthy) else np.full(len(scores), np.nan)


@dataclass(frozen=True)
class ScoredScans:
    """The test scans of a data set, the same for every postprocessing. Lists grow scan by scan."""

    settings: Evaluate
    scores: Scores
    facts: list[ScanFacts] = field(default_factory=list)
    residual_rms: list[float] = field(default_factory=list)
    """Root mean square of scan minus reconstruction in the scored brain; NaN without reconstruction."""
    map_fits: list[MapFit] = field(default_factory=list)
    """How the map of infer lies on the brain of each scan."""
    reconstruction: dict[str, list[float]] = field(default_factory=dict)
    """Metrics of the reconstruction by name, for each scan; NaN without reconstruction."""

    @property
    def with_lesions(self) -> bool:
        """Whether any scan holds lesion, scored or not, or one that was lost on the way to the grid."""
        return any(not np.isnan(scan.lesion_share_outside) for scan in self.facts)

    @property
    def corrupted(self) -> bool:
        """Whether any scan is bad as a whole; then no voxel is scored."""
        return any(scan.corrupted for scan in self.facts)

    @cached_property
    def patients(self) -> Patients:
        """Whose scans they are; once all are read."""
        return self._patients([scan.person for scan in self.facts])

    def scan_scores(self) -> ScanScores | None:
        """All scores, those of the controls last; None without both abnormal and healthy scans.

        Patients without a marked lesion are neither, and are left out.
        """
        controls = self.scores.controls
        known = [(scan, score) for scan, score in zip(self.facts, self.scores.scans, strict=True) if not scan.unmarked]
        abnormal = np.array([not scan.healthy for scan, _ in known] + [False] * len(controls))
        if abnormal.all() or not abnormal.any():
            return None
        return ScanScores(
            self._patients([scan.person for scan, _ in known] + [person for person, _ in controls]),
            NO_RULE,
            np.array([*(score for _, score in known), *(score for _, score in controls)]),
            abnormal,
            [lesion_types_in(scan.lesion_type) for scan, _ in known] + [[] for _ in controls],
        )

    def kinds(self) -> ScanKinds:
        """Which scans are of patients without a marked lesion, and of sessions that lack a sequence."""
        unmarked, lacking = np.array([(scan.unmarked, bool(scan.missing)) for scan in self.facts], dtype=bool).T
        return ScanKinds(self.patients, NO_RULE, unmarked, lacking)

    def scan_threshold(self, scores: ScanScores) -> ScanThreshold | None:
        """The scores above a conformal cut; None without healthy calibration scans.

        The rule is named by the specificity that the cut holds, which few scans make lower than what was asked for.
        """
        if not len(self.scores.healthy):
            return None
        cut = conformal.cut(self.scores.healthy, self.settings.scan_threshold_quantile)
        return ScanThreshold(scores.patients, f"conformal_specificity_{cut.specificity:.3g}", scores, cut)

    def scan_oracle(self, scores: ScanScores) -> ScanOracle:
        """The scores at their best Youden index."""
        return ScanOracle(scores.patients, ORACLE, scores, *scanwise.youden(scores.scores, scores.abnormal))

    def _patients(self, people: list[str]) -> Patients:
        weights = statistics.leave_one_out(people)
        return Patients(people, weights, self.with_lesions)


@dataclass(frozen=True)
class ScoredMaps:
    """The maps of all scans. Postprocessings that leave the maps as they are share them."""

    values: pooled.ValuesOnDisk
    areas: list[tuple[float, float]] = field(default_factory=list)
    """(AUPRC, AUROC) of each scan."""

    def evidence(self, scans: ScoredScans) -> MapEvidence | None:
        """None without lesions."""
        if not scans.with_lesions:
            return None
        auprc, auroc = np.array(self.areas).T
        types = [lesion_types_in(scan.lesion_type) for scan in scans.facts]
        lesion_ml, outside = np.array([(scan.lesion_ml, scan.lesion_share_outside) for scan in scans.facts]).T
        counts = pooled.count_in_bins(self.values)
        return MapEvidence(scans.patients, NO_RULE, counts, auprc, auroc, types, lesion_ml, outside)


@dataclass(frozen=True)
class ScoredMasks:
    """The masks of a threshold rule."""

    threshold: float
    nominal: float
    """The share of healthy voxels above the threshold that the rule aims at; NaN where it aims at none."""
    counts: list[MaskCounts] = field(default_factory=list)
    """For each scan."""
    metrics: dict[str, list[float]] = field(default_factory=dict)
    """Metrics of one scan's mask by name, for each scan."""


@dataclass(frozen=True)
class ScoredPostprocessing:
    """What a postprocessing made of all scans. `masks`: by threshold rule, the study's first one first."""

    maps: ScoredMaps
    masks: dict[str, ScoredMasks]
    locates: bool
    """Whether it leaves one component, which then holds the peak."""
    peaks: list[Peak] = field(default_factory=list)
    """Of each scan."""

    @property
    def peak_rule(self) -> str:
        """The rule whose mask bounds the peaks; `none` if the whole brain does."""
        return next(iter(self.masks), NO_RULE) if self.locates else NO_RULE

    def peak_evidence(self, scans: ScoredScans) -> PeakEvidence:
        """Whether each peak hits a lesion."""
        return PeakEvidence(scans.patients, self.peak_rule, np.array([peak.peak_hit for peak in self.peaks]))

    def mask_evidence(self, rule: str, scans: ScoredScans) -> MaskEvidence:
        """The masks of a threshold rule."""
        masks = self.masks[rule]
        return MaskEvidence(scans.patients, rule, masks.threshold, masks.counts)

    def healthy_masks(self, rule: str, scans: ScoredScans) -> HealthyMasks | None:
        """The masks of healthy scans; None without any."""
        masks, healthy = self.masks[rule], np.array([scan.healthy for scan in scans.facts], dtype=bool)
        healthy &= [mask.normal > 0 for mask in masks.counts]
        chosen = [mask for mask, take in zip(masks.counts, healthy, strict=True) if take]
        if not chosen:
            return None
        return HealthyMasks(
            scans.patients.some(healthy),
            rule,
            np.array([mask.predicted / mask.normal for mask in chosen]),
            np.array([mask.predicted_ml for mask in chosen]),
            [_in_names(scan.site) for scan, take in zip(scans.facts, healthy, strict=True) if take],
            masks.nominal,
        )


def _in_names(site: str) -> str:
    """A site as it stands in the names of metrics."""
    return re.sub("[^a-z0-9]+", "_", site.lower()).strip("_")


def oracle(maps: MapEvidence) -> OracleEvidence:
    """The same maps at thresholds chosen on the test labels."""
    return OracleEvidence(maps.patients, ORACLE, maps)
