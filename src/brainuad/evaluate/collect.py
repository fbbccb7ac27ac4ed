"""Read the test scans of a data set one by one, with their maps and masks, and keep what the metrics need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from brainuad import metrics
from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import Threshold, ThresholdRole
from brainuad.errors import InputError
from brainuad.evaluate.peak import find_peak
from brainuad.evaluate.scan import ScanTruth, count_mask, map_values
from brainuad.evaluate.scored import ScoredMaps, ScoredMasks, ScoredPostprocessing, ScoredScans, Scores, Scoring
from brainuad.evaluate.scoring_grid import PlacedScan, placed_scans
from brainuad.formats import array_cache as array_caches
from brainuad.formats import checksums, postprocessed, thresholds
from brainuad.formats import maps as files
from brainuad.formats.array_cache import ArrayCache
from brainuad.metrics.evidence import ReconstructionEvidence, ScanMaskEvidence
from brainuad.metrics.geometry import MapFit, map_fit
from brainuad.metrics.pooled import ValuesOnDisk

logger = getLogger(__name__)
if TYPE_CHECKING:
    from brainuad.evaluate.evaluate_job import EvaluateInputs


@dataclass(frozen=True)
class _Source:
    """The maps that some postprocessings are scored on: infer's, or those that one of them changed."""

    postprocessed: Path
    """Folder of the first of them."""
    scored: ScoredMaps


def has_test_scans(inputs: EvaluateInputs) -> bool:
    """Whether there is anything to evaluate."""
    return any(scan.role == "test" for scan in array_caches.read(inputs.array_cache).scans)


def collect(
    inputs: EvaluateInputs, scoring: Scoring, folder: Path
) -> tuple[ScoredScans, dict[str, ScoredPostprocessing]]:
    """Score every test scan under every postprocessing, scan by scan.

    `folder`: for values that would fill the memory. Raises InputError for missing or foreign maps, masks, scores and
    scans.
    """
    seen, settings = [scoring.sequence] if scoring.sequence else [], scoring.settings
    opened = array_caches.read(inputs.array_cache, seen)
    scans = ScoredScans(settings, _scores(inputs, scoring.calibration_role))
    sources, folders = _sources(inputs, folder), inputs.postprocessed()
    postprocessings = {
        label: ScoredPostprocessing(sources[label].scored, _masks(post, scoring.rules), label in scoring.locating)
        for label, post in folders.items()
    }
    distinct = {source.postprocessed: source for source in sources.values()}
    for placed in placed_scans(opened, inputs.array_cache, settings, scoring.own):
        row, grid, truth = placed.row, placed.grid, placed.truth
        scan, shape = truth.facts.scan, opened.brains[row].shape
        scans.facts.append(truth.facts)
        rebuilt = files.read_reconstruction(inputs.maps, scan, opened.naming, shape)
        _add_reconstruction(scans, rebuilt, opened, placed)
        raw_path = files.anomaly_path(inputs.maps, scan)
        raw = files.read_map(raw_path, shape)
        scans.map_fits.append(_map_fit(raw, opened, row, raw_path))
        anomalies = {}
        for post, source in distinct.items():
            path = postprocessed.map_path(inputs.maps, post, scan)
            anomalies[post] = grid.moved(raw if path == raw_path else files.read_map(path, shape))
            values = map_values(anomalies[post], truth)
            source.scored.values.add(values)
            source.scored.areas.append((values.auprc, values.auroc))
        for label, postprocessing in postprocessings.items():
            masks = {
                rule: grid.moved(files.read_mask(files.mask_path(folders[label], scan, rule), shape))
                for rule in postprocessing.masks
            }
            anomaly, within = anomalies[sources[label].postprocessed], masks.get(postprocessing.peak_rule)
            for rule, scored in postprocessing.masks.items():
                scored.counts.append(count_mask(masks[rule], anomaly, truth, settings))
                _add_mask(scored, masks[rule], truth, grid.spacing, settings)
            peak = find_peak(anomaly, truth, grid.affine, settings.peak_distance_mm, within)
            postprocessing.peaks.append(peak)
    _require_scored(scans, settings)
    return scans, postprocessings


def _require_scored(scans: ScoredScans, settings: Evaluate) -> None:
    if scans.facts and not any(scan.brain_ml for scan in scans.facts):
        why = f"evaluate.erode_voxels is {settings.erode_voxels}, and no brain of the test scans is thicker"
        raise InputError("nothing is left to score", why=why, do="set evaluate.erode_voxels lower")


def _map_fit(anomaly: Float[np.ndarray, "x y z"], opened: ArrayCache, row: int, path: Path) -> MapFit:
    """How a map lies on the brain of its scan; a warning where it does not."""
    fit = map_fit(anomaly, opened.brain(row), opened.spacing)
    if fit.map_moved:
        logger.warning(
            "the anomaly map of %s does not lie on the brain: %s (%s)", opened.scans[row].scan, fit.map_moved, path
        )
    return fit


def _sources(inputs: EvaluateInputs, folder: Path) -> dict[str, _Source]:
    """By postprocessing the maps that it is scored on; those that leave the maps as they are share infer's."""
    by_folder: dict[Path, _Source] = {}
    found = {}
    for label, post in inputs.postprocessed().items():
        source = post if postprocessed.changes_maps(post) else inputs.maps
        if source not in by_folder:
            (folder / label).mkdir()
            by_folder[source] = _Source(post, ScoredMaps(ValuesOnDisk(folder / label)))
        found[label] = by_folder[source]
    return found


def _masks(post: Path, rules: Sequence[Threshold]) -> dict[str, ScoredMasks]:
    """By rule, in the study's order, those that found a threshold; raises InputError if a rule is missing."""
    found = thresholds.read(post)
    if missing := [rule.label for rule in rules if rule.label not in found]:
        do = checksums.remedy(post)
        raise InputError("a threshold is missing", file=post / thresholds.NAME, why=", ".join(missing), do=do)
    values = [(rule, found[rule.label].value) for rule in rules]
    aims = {rule.label: np.nan if rule.aims_at is None else rule.aims_at for rule in rules}
    return {rule.label: ScoredMasks(value, aims[rule.label]) for rule, value in values if value is not None}


def _scores(inputs: EvaluateInputs, role: ThresholdRole) -> Scores:
    other = [(maps, cache) for maps, cache in inputs.controls() if maps.resolve() != inputs.maps.resolve()]
    calibration = [score for pair in inputs.calibration() for score in scores_of_people(*pair, role, healthy=True)]
    if inputs.calibration() and not calibration:
        logger.warning("no healthy %s scan is left: scan scores have no threshold and no p value", role)
    return Scores(
        scans=[score for _, score in scores_of_people(inputs.maps, inputs.array_cache, "test")],
        controls=[score for pair in other for score in scores_of_people(*pair, "test", healthy=True)],
        calibration=calibration,
    )


def scores_of_people(maps: Path, array_cache: Path, role: str, healthy: bool = False) -> list[tuple[str, float]]:
    """(person, score) of the scans in a role, in order; of `healthy` ones only those without other pathology."""
    scores = files.read_scores(maps)
    opened = array_caches.read(array_cache)
    scans = [scan for scan in opened.scans if scan.role == role and not (healthy and (scan.ignore or scan.unmarked))]
    for scan in scans:
        if scan.scan not in scores:
            raise InputError(f"{scan.scan} has no score", file=maps / files.SCORES, do="run infer again")
    return [(scan.person, scores[scan.scan]) for scan in scans]


def _add_mask(
    scored: ScoredMasks,
    mask: Bool[np.ndarray, "x y z"],
    truth: ScanTruth,
    spacing: tuple[float, float, float],
    settings: Evaluate,
) -> None:
    predicted = mask[truth.box] & truth.scored
    evidence = ScanMaskEvidence(predicted, truth.lesion, truth.scored, spacing, settings.surface_tolerance_mm)
    for metric in metrics.of(ScanMaskEvidence):
        scored.metrics.setdefault(metric.name, []).append(metric(evidence))


def _add_reconstruction(
    scans: ScoredScans, rebuilt: Float[np.ndarray, "x y z"] | None, opened: ArrayCache, scan: PlacedScan
) -> None:
    """Measure the reconstruction of a scan; NaN if the method has none."""
    evidence = None
    if rebuilt is not None:
        parts = opened.image(scan.row), rebuilt, opened.brain(scan.row)
        image, rebuilt, brain = (scan.grid.moved(part)[scan.truth.box] for part in parts)
        evidence = ReconstructionEvidence(image, rebuilt, brain, scan.truth.scored)
    scans.residual_rms.append(np.nan if evidence is None else _residual_rms(evidence))
    for metric in metrics.of(ReconstructionEvidence):
        scans.reconstruction.setdefault(metric.name, []).append(np.nan if evidence is None else metric(evidence))


def _residual_rms(scan: ReconstructionEvidence) -> float:
    """Root mean square of scan minus reconstruction in the scored brain."""
    if not scan.scored.any():
        return np.nan
    difference = (scan.image - scan.reconstruction)[scan.scored]
    return float(np.sqrt(np.square(difference, dtype=np.float64).mean()))
