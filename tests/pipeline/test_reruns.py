"""Editing one key reruns exactly what depends on it. The table is `docs/reruns.md`; each of its rows is tried."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from workspace import REPOSITORY, Workspace

from brainuad.config.load import build_study

PAGE = REPOSITORY / "docs/reruns.md"
ORDER = "list_scans preprocess preprocess_batch quality contact_sheets split subjects scaling normalize "
ORDER += "train infer postprocess native ceilings evaluate summarise track report"
SET = "models__sae_test__set__"
RECIPE = "recipe__set__"

# Key in the study file, new value. Every field of every settings class of the shrunken study is edited at least once.
EDITS: list[tuple[str, Any]] = [
    ("title", "Another"),
    ("paper", "baur2018"),
    ("deviations", ["half the steps"]),
    ("seed", 1),
    ("seeds", [0, 1, 2]),
    ("lesion_sign", "dark"),
    ("modalities", ["T2w"]),
    ("missing", "map_the_rest"),
    ("datasets__healthy__aligned", True),
    ("datasets__healthy__split", {"train": 0.375, "validation": 0.125, "test": 0.5}),
    ("datasets__healthy__split", {"train": 0.5, "validation": 0.125, "calibration": 0.125, "test": 0.25}),
    ("datasets__healthy__subjects", 9),
    ("datasets__healthy__seed", 5),
    ("datasets__healthy__spacing", 3.9),
    ("datasets__healthy__exclude", ["sub-008"]),
    ("datasets__patients__subjects", 4),
    ("datasets__patients__lesions", "ms"),
    ("datasets__patients__modality", "T2w"),
    ("datasets__patients__controls", ["healthy"]),
    ("datasets__planted__draws", 1),
    ("datasets__planted__roles", ["test"]),
    *[
        (f"datasets__planted__insertion__{key}", value)
        for key, value in {
            "contrast": [0.1, 0.3],
            "mirror": 0.4,
            "edge_mm": 3.0,
            "uneven": 0.2,
            "uneven_mm": 7.0,
            "texture": 0.05,
            "min_ml": 0.2,
        }.items()
    ],
    (RECIPE + "preprocess__spacing", 3.0),
    (RECIPE + "preprocess__registration", {"backend": "simpleitk"}),
    (RECIPE + "preprocess__registration", {"polish": "simpleitk"}),
    (RECIPE + "preprocess__skullstrip", {"backend": "template"}),
    (RECIPE + "preprocess__skullstrip", {"band_mm": 5.0}),
    (RECIPE + "preprocess__skullstrip", {"restrip": "auto"}),
    (RECIPE + "preprocess__skullstrip", {"restrip_above": 0.02}),
    (RECIPE + "preprocess__steps", [{"step": "n4"}]),
    (RECIPE + "preprocess__steps", [{"step": "curvature_flow", "iterations": 2}]),
    (RECIPE + "preprocess__steps", [{"step": "window", "limits_hu": [0, 80]}]),
    *[
        (RECIPE + "preprocess__quality", {key: value})
        for key, value in {
            "min_nmi": 1.04,
            "max_half_turn_ratio": 0.7,
            "min_template_dice": 0.7,
            "warn_template_dice": 0.8,
            "min_coverage": 0.4,
            "warn_coverage": 0.8,
            "warn_rotation_deg": 50,
            "volume_ml": [600, 2400],
            "warn_scale": [0.5, 1.5],
            "warn_tilt_deg": 5.0,
            "max_tilt_deg": 15.0,
            "warn_offset_mm": 5.0,
            "max_offset_mm": 15.0,
            "check_modality": False,
            "warn_clipped_fraction": 0.1,
            "max_clipped_fraction": 0.3,
            "warn_noise_ratio": 0.3,
            "max_noise_ratio": 0.6,
            "warn_ghosting_ratio": 0.3,
            "max_missing_slice_fraction": 0.2,
            "warn_outside_brain_fraction": 0.02,
            "max_outside_brain_fraction": 0.3,
        }.items()
    ],
    (RECIPE + "normalize__intensity", {"method": "nyul"}),
    (RECIPE + "normalize__intensity", {"percentiles": [1, 99]}),
    (RECIPE + "normalize__intensity", {"window": [0, 90]}),
    (RECIPE + "normalize__intensity", {"clip": [0, 1.5]}),
    (RECIPE + "normalize__intensity", {"white": 0.7}),
    (RECIPE + "normalize__intensity", {"bias_fit": "linear"}),
    (RECIPE + "normalize__slices", [-40, 60]),
    (RECIPE + "normalize__shape", [48, 60]),
    (RECIPE + "normalize__box", [[-60, 60], [-80, 60]]),
    (RECIPE + "normalize__resize", {"shape": [24, 24, 24]}),
    (RECIPE + "normalize__storage_dtype", "float16"),
    (RECIPE + "cite", "nobody"),
    ("models__zscore_atlas", {"use": "zscore_atlas", "set": {"smooth_mm": 3.0}}),
    ("models__zscore_atlas", {"use": "zscore_atlas", "set": {"map": {"smooth_mm": 3.0}}}),
    ("models__thresh_histeq", {"use": "thresh_histeq", "set": {"map": {"levels": 5000}}}),
    ("models__thresh_histeq", {"use": "thresh_histeq", "set": {"map": {"smooth_mm": 2.0}}}),
    *[
        (f"models__{name}", {"use": name, "set": {"map": {key: value}}})
        for key, value in (("per_scan", "robust"), ("fuse", "maximum"), ("lacking", "nothing"))
        for name in ("zscore_atlas", "thresh_histeq")
    ],
    ("models__vote", {"use": "ensemble", "of": ["zscore_atlas", "sae_test"]}),
    ("models__another", {"use": "zscore_atlas", "set": {"smooth_mm": 3.0}}),
    ("models__twin", {"use": "zscore_atlas", "set": {"map": {"smooth_mm": 3.0}}}),
    *[
        (f"{SET}network__{key}", value)
        for key, value in {
            "size": 48,
            "fit": "pad",
            "channels": [4, 4],
            "kernel": 5,
            "slope": 0.2,
            "latent": 4,
            "dense_channels": 8,
            "bottleneck": "dense",
            "dims": 3,
            "norm": "layer",
            "bias": False,
            "coord_conv": True,
            "dropout": 0.1,
            "decoder_end": "up",
            "output": "sigmoid",
        }.items()
    ],
    (SET + "loss", {"reconstruction": "l2"}),
    (SET + "loss", {"reconstruction": "gaussian", "variance": 0.5}),
    (SET + "loss", {"scale": 2.0}),
    (SET + "loss", {"context_encoding": 1.0}),
    (SET + "loss", {"context_encoding": 1.0, "masking": {"squares": [0, 3]}}),
    (SET + "loss", {"context_encoding": 1.0, "masking": {"largest": 0.3}}),
    ("models__sae_test", {"use": "kuz_ae", "set": {"network": {"size": 32}}}),
    ("models__sae_test", {"use": "baur_dvae_small", "set": {"network": {"size": 32}}}),
    *[
        (f"{SET}train__{key}", value)
        for key, value in {
            "steps": 30,
            "batch_size": 2,
            "lr": 0.01,
            "beta1": 0.8,
            "beta2": 0.9,
            "min_brain_share": 0.02,
            "crossfit": 2,
            "validate_every": 5,
            "keep": "last",
            "precision": "bf16-mixed",
            "clip": 1.0,
            "ema": 0.9,
            "warmup_steps": 5,
            "schedule": "cosine",
        }.items()
    ],
    *[
        (f"{SET}map__{key}", value)
        for key, value in {
            "residual": "absolute",
            "residual_at": "network",
            "standardise": "held_out",
            "smooth_mm": 2.0,
            "sd_floor": 0.1,
            "sd_added": 1.0,
            "min_coverage": 0.7,
            "per_scan": "robust",
            "fuse": "maximum",
            "lacking": "nothing",
        }.items()
    ],
    (SET + "train", {"epochs": 2, "batch_size": 4}),
    (SET + "train", {"optimizer": "adamw", "weight_decay": 0.01}),
    (SET + "train", {"schedule": "cosine", "lr_end": 0.1}),
    (SET + "cite", "nobody"),
    ("postprocessing__cleaned__0__size_mm", 15.0),
    ("postprocessing__cleaned__1__min_ml", 0.5),
    ("postprocessing__third", "baur2018"),
    ("thresholds__0__quantile", 0.95),
    ("thresholds", [{"rule": "fixed", "value": 1.0}]),
    ("thresholds", [{"rule": "conformal", "false_positive_share": 0.5}]),
    ("thresholds", [{"rule": "conformal", "largest_share": 0.5}]),
    ("thresholds", [{"rule": "burden", "ml": 2.0}]),
    ("evaluate__erode_voxels", 0),
    ("evaluate__min_lesion_ml", 0.2),
    ("evaluate__matching", {"rule": "centroid"}),
    ("evaluate__matching", {"iou": 0.5}),
    ("evaluate__min_component_ml", 0.2),
    ("evaluate__surface_tolerance_mm", 1.0),
    ("evaluate__peak_distance_mm", 10.0),
    ("evaluate__scan_threshold_quantile", 0.9),
    ("compute__threads", 1),
    ("compute__accelerator", "cpu"),
    ("compute__devices", 2),
    ("compute__workers", 3),
    ("compute__scans_per_job", 4),
    ("compute__scratch", "${TMPDIR}"),
    ("track__uri", "http://127.0.0.1:1"),
    ("track__live", True),
    ("track__register", True),
    ("report__examples", 2),
    ("report__interactive", 0),
    ("report__overlays", 2),
    ("decisions", "exclude.tsv"),
    ("native", True),
]
# Identities, not settings; and what the shrunken study has no use for.
EXEMPT = {"Study.study", "Study.results", "Study.recipe_name", "Phantoms.source", "Phantoms.healthy", "Inserted.source"}
EXEMPT |= {"Inserted.into", "Inserted.masks", "Inserted.healthy", "Postprocessing.cite"}
# Refused beside inserted lesions, which this study has.
EXEMPT |= {"Preprocess.template", "Preprocess.centre", "Evaluate.space"}
# Needs a data set with a calibration share, which this study has not.
EXEMPT |= {"Phantoms.calibrate"}
# Of studies with several sequences.
EXEMPT |= {"Phantoms.sequences", "Phantoms.without"}
EXEMPT |= {*(f"{name}.modalities" for name in ("zscore_atlas", "thresh_histeq", "autoencoder"))}
EXEMPT |= {
    "Study.own_data",
    "zscore_atlas.family",
    "thresh_histeq.family",
    "autoencoder.family",
    "zscore_atlas.cite",
    "thresh_histeq.cite",
}


@pytest.fixture(scope="module")
def found(finished: Workspace) -> dict[str, list[str]]:
    """For each edit the rules that a dry run would start."""
    (finished.folder / "exclude.tsv").write_text("dataset\tscan\tdecision\nhealthy\tsub-001\texclude\n")

    started = finished.would_run_each([finished.study(**{key: value}) for key, value in EDITS])
    return {
        _shown(key, value): [rule for rule in ORDER.split() if rule in rules]
        for (key, value), rules in zip(EDITS, started, strict=True)
    }


def test_every_edit_reruns_what_the_page_says(found, request):
    page = _page(found)
    if request.config.getoption("--write-reruns", default=False):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "read the difference; if it is right: make reruns"


def test_what_must_not_rerun_does_not(found):
    """The promises that users plan by, in words of their own beside the generated page."""
    after_maps = ["postprocess", "evaluate", "summarise", "track", "report"]
    assert found["`thresholds.0.quantile` = `0.95`"] == after_maps
    assert found["`evaluate.min_lesion_ml` = `0.2`"] == after_maps[1:]
    assert found["`models.sae_test.map.smooth_mm` = `2.0`"] == ["infer", "postprocess", "ceilings", *after_maps[1:]]
    assert found["`track.uri` = `http://127.0.0.1:1`"] == ["track"]
    assert found["`compute.accelerator` = `cpu`"] == found["`track.register` = `True`"] == []
    assert found["`compute.scans_per_job` = `4`"][:2] == ["preprocess_batch", "quality"], (
        "its jobs find the scans there"
    )
    assert found["`native` = `True`"] == ["native"]
    assert found["`decisions` = `exclude.tsv`"][0] == "split", "a decision preprocesses nothing"
    limits = [rules for edit, rules in found.items() if edit.startswith("`recipe.preprocess.quality`")]
    assert limits
    assert {rules[0] for rules in limits} == {"quality"}, "a limit preprocesses nothing"
    assert found["`models.sae_test.cite` = `nobody`"] == ["report"]
    assert "train" not in found["`datasets.planted.draws` = `1`"]
    assert "train" not in found["`datasets.patients.subjects` = `4`"]
    for edit in ("healthy.seed` = `5`", "healthy.spacing` = `3.9`", "patients.lesions` = `ms`"):
        assert "preprocess" in found[f"`datasets.{edit}"], "other heads under the same names"


def test_a_new_seed_or_model_trains_itself_alone(finished):
    jobs = finished.would_run(finished.study(seeds=[0, 1, 2]), name="seed")
    assert (jobs["train"], jobs["infer"]) == (3, 9)  # three models, three data sets
    other = {"use": "zscore_atlas", "set": {"smooth_mm": 3.0}}
    jobs = finished.would_run(finished.study(models__another=other), name="model")
    assert (jobs["train"], jobs["infer"]) == (2, 6)  # two seeds


def test_another_map_of_a_model_trains_nothing(finished):
    twin = {"use": "zscore_atlas", "set": {"map": {"smooth_mm": 3.0}}}
    jobs = finished.would_run(finished.study(models__twin=twin), name="twin")
    assert (jobs.get("train", 0), jobs["infer"]) == (0, 6)


def test_every_setting_is_edited(finished, monkeypatch):
    monkeypatch.setenv("BRAINUAD_TEST_MASKS", str(finished.folder / "masks"))
    fields = set(_fields(build_study(finished.study(), REPOSITORY / "config.yaml")))
    edited = set()
    for key, value in EDITS:
        before = dict(_values(build_study(finished.study(), REPOSITORY / "config.yaml")))
        after = dict(_values(build_study(finished.study(**{key: value}), REPOSITORY / "config.yaml")))
        edited |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    missing = {
        name for name in fields - EXEMPT if not any(name.endswith(f":{leaf}") or name == leaf for leaf in edited)
    }
    assert not missing, f"add an edit for {sorted(missing)}"


def _fields(section: BaseModel) -> set[str]:
    """`Class.field` for each plain field of a study and of the sections within it."""
    found: set[str] = set()
    for name in type(section).model_fields:
        inner = _inner(getattr(section, name))
        found |= set().union(*(_fields(part) for part in inner)) if inner else {f"{_label(section)}.{name}"}
    return found


def _label(section: BaseModel) -> str:
    """The class, or the family of a method."""
    return str(getattr(section, "family", type(section).__name__))


def _values(section: BaseModel) -> dict[str, list[Any]]:
    """`Class.field` to its values over the whole study, in order."""
    found: dict[str, list[Any]] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        for part in _inner(value):
            for key, values in _values(part).items():
                found.setdefault(key, []).extend(values)
        found.setdefault(f"{_label(section)}.{name}", []).append(str(value))
    return found


def _inner(value: Any) -> list[BaseModel]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [part for part in parts if isinstance(part, BaseModel)]


def _shown(key: str, value: Any) -> str:
    name = key.replace("__set__", "__").replace("__", ".")
    if isinstance(value, dict) and "set" in value:
        name, value = _deepest(f"{name}", value["set"])
    return f"`{name}` = `{value}`"


def _deepest(name: str, value: Any) -> tuple[str, Any]:
    while isinstance(value, dict) and len(value) == 1:
        (key, value), *_ = value.items()
        name = f"{name}.{key}"
    return name, value


def _page(found: dict[str, list[str]]) -> str:
    lines = [
        "<!-- Made by `make reruns` from dry runs of config/studies/test.yaml; a test tries every row. -->",
        "",
        "# What reruns when a key changes",
        "",
        "Each row: one edit of a finished study, and the rules that run again. `—`: nothing to be done.",
        "",
        "| edit | reruns |",
        "| --- | --- |",
        *(f"| {edit} | {', '.join(rules) or '—'} |" for edit, rules in found.items()),
    ]
    return "\n".join(lines) + "\n"
