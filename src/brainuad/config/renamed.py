"""Settings that older study files know by another name; such a key is refused with the new name."""

from __future__ import annotations

RENAMED: dict[str, str] = {
    # old key, without the labels of data sets, models and so on above it: new key
    "chains": "postprocessing",
    "train.batch": "train.batch_size",
    "transformer_train.batch": "transformer_train.batch_size",
    "encoder_train.batch": "encoder_train.batch_size",
    "fine_tune_train.batch": "fine_tune_train.batch_size",
    "train.min_brain": "train.min_brain_share",
    "adversarial.kind": "adversarial.loss",
    "adversarial.penalty": "adversarial.gradient_penalty",
    "loss.context": "loss.context_encoding",
    "loss.corruption": "loss.masking",
    "network.coords": "network.coord_conv",
    "network.top": "network.decoder_end",
    "network.reduce": "network.dense_channels",
    "network.decay": "network.codebook_decay",
    "network.init": "network.codebook_init",
    "search.features": "search.feature_share",
    "healing": "resampling",
    "normalize.store": "normalize.storage_dtype",
    "intensity.kind": "normalize.intensity.method",
    "compute.batch": "compute.scans_per_job",
    "kinds": "anomaly_types (source: artificial) or corruption_types (source: corrupted)",
    "spoiling": "corruption",
    "plane": "per_slice",
    "evaluate.hit_share": "evaluate.matching, which pairs components and lesions: `{rule: iou, iou: 0.1}`",
    "evaluate.detection_overlap": "evaluate.matching, which pairs components and lesions: `{rule: iou, iou: 0.1}`",
    "evaluate.min_component": "evaluate.min_component_ml, in ml of the scan's own space",
    "evaluate.min_component_voxels": "evaluate.min_component_ml, in ml of the scan's own space",
    "evaluate.bootstrap_resamples": "gone, as intervals are computed without resampling",
    "evaluate.peak_mm": "evaluate.peak_distance_mm",
    "evaluate.scan_quantile": "evaluate.scan_threshold_quantile",
    "preprocess.n4": "preprocess.steps, a list: `- {step: n4}`",
    "preprocess.curvature_flow": "preprocess.steps, a list: `- {step: curvature_flow}`",
    "preprocess.window": "preprocess.steps, a list: `- {step: window, limits_hu: [-20, 100]}`",
    "skullstrip.band": "skullstrip.band_mm",
    "quality.min_similarity": "quality.min_nmi",
    "quality.max_turned": "quality.max_half_turn_ratio",
    "quality.min_overlap": "quality.min_template_dice",
    "quality.usual_overlap": "quality.warn_template_dice",
    "quality.usual_coverage": "quality.warn_coverage",
    "quality.usual_turn": "quality.warn_rotation_deg",
    "quality.usual_scale": "quality.warn_scale",
    "quality.usual_lean": "quality.warn_tilt_deg",
    "quality.max_lean": "quality.max_tilt_deg",
    "quality.usual_offset": "quality.warn_offset_mm",
    "quality.max_offset": "quality.max_offset_mm",
    "quality.usual_clipped": "quality.warn_clipped_fraction",
    "quality.max_clipped": "quality.max_clipped_fraction",
    "quality.usual_noise": "quality.warn_noise_ratio",
    "quality.max_noise": "quality.max_noise_ratio",
    "quality.usual_ghosts": "quality.warn_ghosting_ratio",
    "quality.max_missing": "quality.max_missing_slice_fraction",
}

RENAMED_SOURCES = {"spoiled": "corrupted"}
"""Values of `source` of a data set."""


def new_name(place: str) -> str | None:
    """The new name of the key at a dotted place of a study file, or None if no key was ever called so."""
    parts = place.split(".")
    for start in range(len(parts)):
        if (new := RENAMED.get(".".join(parts[start:]))) is not None:
            return new
    return None
