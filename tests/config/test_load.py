"""A mistake in a study file costs seconds and one clear message."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad.config.load import build_study, load_study
from brainuad.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
DEMO = REPOSITORY / "config.yaml"
DATA_PAGE = REPOSITORY / "docs/data.md"
BIDS = {"source": "bids", "root": "x", "healthy": True}


@pytest.fixture
def demo() -> dict[str, Any]:
    return deepcopy(yaml.safe_load(DEMO.read_text()))


def message(raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        build_study(raw, DEMO)
    return str(caught.value)


@pytest.mark.parametrize("path", sorted([DEMO, *(REPOSITORY / "config/studies").glob("*.yaml")]), ids=lambda p: p.stem)
def test_every_shipped_study_is_valid(path, monkeypatch, tmp_path):
    for name in re.findall(r"\$\{(\w+)\}", path.read_text()):
        monkeypatch.setenv(name, str(tmp_path))
    assert load_study(path).models


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(datasets:.*?)```", DATA_PAGE.read_text(), re.DOTALL))
def test_examples_of_data_sets_are_valid(demo, example, monkeypatch):
    monkeypatch.setenv("MY_DATA", "data")
    assert set(build_study(demo | yaml.safe_load(example), DEMO).datasets) == {"controls", "patients"}


def test_a_model_without_use_is_the_one_that_is_called_like_its_label(demo):
    over = {"set": {"train": {"steps": 3}}, "sweep": {"network.latent": [8, 16]}}
    short, long = (
        build_study(demo | {"models": {"baur_dae_small": each}}, DEMO)
        for each in (over, {"use": "baur_dae_small", **over})
    )
    assert list(short.models) == ["baur_dae_small_latent8", "baur_dae_small_latent16"]
    assert short.models == long.models
    fast = {"flagship_fast": {"set": {"members": {"zscore_atlas": {"set": {"map": {"smooth_mm": 3}}}}}}}
    assert "flagship_fast_zscore_atlas" in build_study(demo | {"models": fast}, DEMO).models


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lesion_sing": "dark"}, ["unknown key lesion_sing", "did you mean lesion_sign?"]),
        (
            {"evaluate": {"peak_distance": 10}},
            ["unknown key evaluate.peak_distance", "did you mean peak_distance_mm?"],
        ),
        ({"seed": "one"}, ["seed: Input should be a valid integer", "'one'"]),
        ({"seeds": [0, 0]}, ["seeds: 0 is listed twice"]),
        ({"lesion_sign": "grey"}, ["lesion_sign: Input should be 'dark', 'bright' or 'both'", "'grey'"]),
        ({"recipe": "mri_3mm"}, ["there is no recipe mri_3mm", "did you mean mri_2mm"]),
        ({"models": {"baur_dea": None}}, ["there is no model baur_dea", "did you mean baur_dae"]),
        ({"models": {"mine": {"use": "baur_dae", "sett": {}}}}, ["unknown key sett", "did you mean set?"]),
        (
            {"models": {"flagship_fsat": {"set": {}}}},
            ["models.flagship_fsat names no model", "did you mean flagship_fast", "flagship_fsat: {use: <name>, ...}"],
        ),
        ({"models": {"mine": {"use": None, "sweep": {}}}}, ["models.mine names no model", "`brainuad models` lists"]),
        ({"models": {"baur_dae": {"train": {"steps": 2}}}}, ["unknown key train", "`set: {train: ...}`"]),
        ({"models": {"mine": ["baur_dae"]}}, ["needs `use: <name>`", "it is a list"]),
        ({"postprocessing": {"none": "non"}}, ["there is no postprocessing non", "did you mean none?"]),
        ({"study": "mlflow"}, ["mlflow is a folder of its own"]),
        ({"study": "logs"}, ["logs is a folder of its own"]),
        ({"study": "My Study"}, ["study: String should match pattern", "small letters"]),
        ({"study": "größe"}, ["study: String should match pattern", "small letters"]),
        ({"study": "x" * 101}, ["study: String should have at most 100"]),
        ({"results": "~nobody_of_this_name/x"}, ["results: there is no user"]),
        ({"results": "a{v2}"}, ["results: Snakemake would misread '{v2}'"]),
        ({"decisions": "<a>/x.tsv"}, ["decisions: Snakemake would misread '<a>'"]),
        ({"thresholds": [{"rule": "youden"}]}, ["thresholds.0", "healthy_quantile"]),
        (
            {"postprocessing": {"c": [{"op": "closing"}, {"op": "median3d"}]}},
            ["median3d works on maps and must come before"],
        ),
        ({"datasets": {}}, ["datasets"]),
        ({"models": None}, ["models must map labels to settings", "it is empty"]),
        ({"models": ["zscore_atlas"]}, ["models must map labels", "it is a list"]),
        ({"recipe": None}, ["recipe must name a recipe", "it is empty", "mri_2mm"]),
        ({"recipe": 3}, ["recipe must name a recipe", "it is a number"]),
        ({"recipe": {"use": "mri_2mm"}}, ["a changed recipe needs a label"]),
        ({"results": None}, ["results: Input should be a valid string", "write a value, or remove the key"]),
        ({"seeds": [2**32]}, ["seeds.0", "4294967295"]),
        ({"track": {"uri": "http://[::1"}}, ["track.uri: http://[::1 is no address"]),
        ({"track": {"uri": "http://"}}, ["track.uri: http:// names no server"]),
        ({"models": {"m": {"use": "baur_dae_small", "sweep": 3}}}, ["models.m.sweep must map keys", "a number"]),
        (
            {"models": {"m": {"use": "baur_dae_small", "sweep": {"a": [*range(40)], "b": [*range(40)]}}}},
            ["too many models", "shorten models.m.sweep"],
        ),
        (
            {"models": {"m": {"use": "baur_dae_small", "sweep": {"network.latent": 64}}}},
            ["sweep.network.latent must"],
        ),
        ({"models": {"m": {"use": "baur_dae_small", "set": [1]}}}, ["set beside use: baur_dae_small must map"]),
    ],
)
def test_mistakes_are_named(demo, change, expected):
    text = message(demo | change)
    for words in expected:
        assert words in text
    assert "config" in text.split("file")[1], "the file is named"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"chains": {"none": "none"}}, "chains is now postprocessing"),
        ({"compute": {"batch": 25}}, "compute.batch is now compute.scans_per_job"),
        ({"evaluate": {"hit_share": 0.2}}, "evaluate.hit_share is now evaluate.matching"),
        ({"evaluate": {"detection_overlap": 0.2}}, "evaluate.detection_overlap is now evaluate.matching"),
        ({"evaluate": {"min_component_voxels": 5}}, "evaluate.min_component_voxels is now evaluate.min_component_ml"),
        ({"datasets": {"odd": {"source": "spoiled", "into": "healthy"}}}, "source: spoiled is now source: corrupted"),
        (
            {"models": {"baur_dae_small": {"use": "baur_dae_small", "set": {"train": {"batch": 8}}}}},
            "models.baur_dae_small.train.batch is now train.batch_size",
        ),
        (
            {"recipe": {"use": "mri_2mm", "label": "own", "set": {"preprocess": {"quality": {"usual_lean": 5}}}}},
            "recipe.preprocess.quality.usual_lean is now quality.warn_tilt_deg",
        ),
        (
            {"recipe": {"use": "mri_2mm", "label": "own", "set": {"preprocess": {"n4": {"shrink": 4}}}}},
            "recipe.preprocess.n4 is now preprocess.steps",
        ),
    ],
)
def test_a_key_of_an_older_version_is_refused_with_its_new_name(demo, change, expected):
    assert expected in message(demo | change)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("healthy.subjets", 3, ["unknown key datasets.healthy.subjets", "did you mean subjects?"]),
        (
            "healthy.split",
            {"train": 0.9, "test": 0.9},
            ["datasets.healthy.split", "must add up to 1, they add up to 1.8"],
        ),
        ("healthy.split", {"test": 1.0}, ["no healthy training subject"]),
        ("healthy.split", {"train": 0.5, "test": 0.5}, ["no healthy validation subject"]),
        ("patients.split", {"train": 0.5, "test": 0.5}, ["models learn from healthy subjects only"]),
        ("patients.healthy", True, ["healthy must be true exactly where lesions is none"]),
        ("new", {"source": "bids", "healthy": True}, ["datasets.new.root: Field required"]),
        (
            "new",
            {**BIDS, "entities": {"acquisition": "x"}},
            ["datasets.new.entities.acquisition: Input should be 'sub'"],
        ),
        (
            "new",
            {**BIDS, "groups": {"column": "dx"}},
            ["datasets.new.groups: healthy, patients or both must list values"],
        ),
        ("new", {**BIDS, "groups": {"healthy": ["a"], "patients": ["a"]}}, ["a is listed as healthy and as patients"]),
        ("new", {**BIDS, "mask": "derivatives/*/x.nii"}, ["datasets.new.mask: the folders of the pattern may contain"]),
        ("new", {**BIDS, "mask": {"sufix": "roi"}}, ["unknown key datasets.new.mask.sufix", "did you mean suffix?"]),
        ("new", {**BIDS, "columns": {"sx": "gender"}}, ["unknown key datasets.new.columns.sx", "did you mean sex?"]),
        ("new", {"source": "table", "healthy": True}, ["datasets.new.file: Field required"]),
        ("new", {**BIDS, "root": "x/{v2}"}, ["datasets.new.root: Snakemake would misread '{v2}'"]),
        ("Patients", BIDS, ["datasets.Patients", "small letters"]),
        ("patients.source", "fantom", ["datasets.patients", "phantom"]),
        ("new", {"source": "inserted", "into": "patients", "masks": ["x"]}, ["patients is no healthy data set"]),
        ("new", {"source": "artificial", "into": "patients"}, ["patients is no healthy data set"]),
        ("new", {"source": "msluub", "healthy": True}, ["there is no source msluub", "did you mean mslub?"]),
        ("new", {"source": "artificial", "into": "healthy", "anomaly_types": ["blurr"]}, ["anomaly_types", "blur"]),
        ("new", {"source": "corrupted", "into": "nowhere"}, ["nowhere is no healthy data set"]),
        ("new", {"source": "corrupted", "into": "healthy", "roles": ["validation"]}, ["unknown key", "roles"]),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(demo, path, value, expected):
    *parents, last = path.split(".")
    part = demo["datasets"]
    for key in parents:
        part = part[key]
    part[last] = value
    text = message(demo)
    for words in expected:
        assert words in text


def test_made_sets_need_subjects_and_spoiled_ones_give_no_threshold(demo):
    demo["datasets"]["odd"] = {"source": "artificial", "into": "healthy", "roles": ["validation", "test"]}
    demo["datasets"]["bad"] = {"source": "corrupted", "into": "healthy"}
    study = build_study(demo, DEMO)
    assert {"odd", "bad"} <= set(study.scored_sets())
    assert not {"odd", "bad"} & set(study.scan_sets())
    assert "odd" in study.threshold_sets()
    assert "bad" not in study.threshold_sets()
    demo["datasets"]["healthy"]["split"] = {"train": 0.7, "validation": 0.3}
    assert "datasets.bad.into: healthy has no test scans" in message({**demo, "datasets": _without(demo, "odd")})


def _without(demo: dict[str, Any], label: str) -> dict[str, Any]:
    return {name: dataset for name, dataset in demo["datasets"].items() if name != label}


def test_a_missing_variable_is_named(demo, monkeypatch):
    monkeypatch.delenv("BRAINUAD_NOWHERE", raising=False)
    demo["datasets"]["more"] = {"source": "folder", "root": "${BRAINUAD_NOWHERE}/x", "healthy": True}
    text = message(demo)
    assert "the environment variable BRAINUAD_NOWHERE is not set" in text
    assert "export BRAINUAD_NOWHERE=" in text


def test_paths_may_start_at_home_or_a_variable(demo, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("MY_DATA", "/data")
    demo["datasets"]["more"] = {"source": "table", "file": "$MY_DATA/x.tsv", "healthy": True}
    demo["datasets"]["new"] = {**BIDS, "mask": "~/masks/*.nii"}
    study = build_study(demo | {"results": "~/results", "decisions": "~/exclude.tsv"}, DEMO)
    assert (study.results, study.decisions) == ("/home/me/results", "/home/me/exclude.tsv")
    assert study.datasets["more"].file == "/data/x.tsv"
    assert study.datasets["new"].mask == "/home/me/masks/*.nii"


def test_a_data_set_may_bear_the_name_of_a_setting(demo, monkeypatch):
    monkeypatch.setenv("MY_DATA", "/data")
    demo["datasets"]["scratch"] = {**BIDS, "root": "${MY_DATA}/x"}
    assert build_study(demo, DEMO).datasets["scratch"].root == "/data/x"


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ({"source": "flder"}, "flder"),
        ({"rooot": "x"}, "unknown key datasets.more.rooot.*did you mean root"),
        ({"source": "openneuro", "accession": "ds11"}, "datasets.more.accession"),
        ({"modality": "T9"}, "datasets.more.modality"),
    ],
)
def test_a_mistake_in_an_optional_set_is_told_though_it_is_absent(demo, mistake, words):
    more = {"source": "folder", "root": "/nowhere", "healthy": True, "optional": True}
    demo["datasets"]["more"] = more | mistake
    with pytest.raises(ConfigError, match=f"(?s){words}"):
        build_study(demo, DEMO)


def test_an_optional_set_that_is_absent_is_left_out_with_a_note(demo, capsys):
    demo["datasets"]["more"] = {"source": "folder", "root": "/nowhere", "healthy": True, "optional": True}
    assert "more" not in build_study(demo, DEMO).datasets
    assert "more is left out" in capsys.readouterr().err
    demo["datasets"]["more"] = {"source": "table", "file": "/nowhere.tsv", "healthy": True, "optional": True}
    assert "more" not in build_study(demo, DEMO).datasets
    assert "there is no /nowhere.tsv" in capsys.readouterr().err
    demo["datasets"]["patients"]["controls"] = ["more", "healthy"]
    assert build_study(demo, DEMO).datasets["patients"].controls == ["healthy"]


def test_overrides_and_sweeps_make_models_of_their_own(demo):
    demo["models"] = {
        "ae": {"use": "baur_dae_small", "set": {"train": {"epochs": 3}}, "sweep": {"network.latent": [8, 16]}}
    }
    models = build_study(demo, DEMO).models
    assert list(models) == ["ae_latent8", "ae_latent16"]
    assert models["ae_latent16"].network.latent == 16
    assert (models["ae_latent8"].train.epochs, models["ae_latent8"].train.steps) == (3, None)


def test_further_maps_of_a_model_share_its_training(demo):
    demo["models"] = {
        "ae": {"use": "baur_dae_small", "sweep": {"network.latent": [8, 16]}, "maps": {"z": {"smooth_mm": 1.0}}}
    }
    study = build_study(demo, DEMO)
    assert list(study.models) == ["ae_latent8", "ae_latent8_z", "ae_latent16", "ae_latent16_z"]
    assert study.models["ae_latent16_z"].map.smooth_mm == 1
    assert study.models["ae_latent16"].map.smooth_mm != 1
    assert list(study.trainings().values()) == ["ae_latent8"] * 2 + ["ae_latent16"] * 2
    demo["models"] = {"ae": {"use": "baur_dae_small", "maps": {"z": "smooth_mm"}}}
    with pytest.raises(ConfigError, match=r"models\.ae\.maps must map names"):
        build_study(demo, DEMO)


def test_swept_labels_tell_values_apart(demo):
    demo["models"] = {"v": {"use": "baur_dvae_small", "sweep": {"loss.kl": [1.0, 10]}}}
    assert list(build_study(demo, DEMO).models) == ["v_kl1_0", "v_kl10"]
    demo["models"]["v_kl10"] = {"use": "zscore_atlas"}
    with pytest.raises(ConfigError, match="two models are called v_kl10"):
        build_study(demo, DEMO)


def test_broken_files_are_named(tmp_path):
    for content, words in (("a: [1", "is no valid YAML"), ("- 1", "holds no settings")):
        (tmp_path / "s.yaml").write_text(content)
        with pytest.raises(ConfigError, match=words):
            load_study(tmp_path / "s.yaml")
    with pytest.raises(ConfigError, match=r"there is no file .*none\.yaml"):
        load_study(tmp_path / "none.yaml")
