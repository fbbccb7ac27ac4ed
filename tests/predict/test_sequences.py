"""Models that take several sequences of a session: the map is that of the pipeline, and what is wrong is a sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from good_numbers import GOOD
from model_files import COMPUTE, manifest
from scipy.spatial.transform import Rotation

from brainuad.config import templates
from brainuad.config.load import build_study
from brainuad.config.reading import Reading
from brainuad.config.recipe import Recipe
from brainuad.errors import InputError
from brainuad.formats import array_cache, bundle, maps, model_file, names, scans, status, transform, volume
from brainuad.formats.model_file import Grid, Part
from brainuad.formats.names import Naming
from brainuad.formats.scans import Scan
from brainuad.formats.transform import Affine
from brainuad.images import template
from brainuad.infer.inference import MapMaking, infer
from brainuad.methods import registry
from brainuad.normalize.caching import normalize
from brainuad.normalize.scaling import fit_scaling
from brainuad.normalize.source import Source
from brainuad.predict import mlflow_models
from brainuad.predict.export import sequences_taken
from brainuad.predict.found import Given, Options
from brainuad.predict.model import Model
from brainuad.predict.source import load
from brainuad.preprocess import pipeline, sequences
from brainuad.preprocess.registration import nmi_rigid, nmi_search
from brainuad.preprocess.scan import preprocess
from brainuad.preprocess.scan_files import ScanFiles
from brainuad.train.training import train

SPACING, RECIPE = 4.0, Recipe()
SETTINGS = RECIPE.preprocess.model_copy(update={"spacing": SPACING})
TAKEN, SIGNS = ["T1w", "FLAIR"], {"T1w": "dark", "FLAIR": "bright"}
ATLAS: dict[str, Any] = {"family": "zscore_atlas", "map": {}}
MODELS = {
    "both": (ATLAS | {"map": {"fuse": "direction", "per_scan": "robust"}}, TAKEN),
    "t1": (ATLAS, ["T1w"]),
    "flair": (ATLAS, ["FLAIR"]),
    "vote": ({"family": "ensemble", "of": ["t1", "flair"], "map": {"by": "rank"}}, ["T1w"]),
    "whole": (ATLAS | {"map": {"lacking": "nothing"}}, TAKEN),
    "any": ({"family": "ensemble", "of": ["whole", "t1"], "map": {}}, ["T1w"]),
}
OF_FLAIR = {**GOOD, "white_grey_contrast": -0.4}
WHOLE, LACKING = "sub-10", "sub-11"
REGISTER = nmi_rigid.register_rigidly
STRIPPED = Options(Given(stripped=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sequences")


@pytest.fixture(scope="module")
def patched() -> Any:
    """Registration to the template and quality numbers, which take seconds, are given; FLAIR is registered once."""
    known: list[np.ndarray] = []

    def once(*given: Any) -> np.ndarray:
        known.extend([] if known else [REGISTER(*given)])
        return known[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nmi_rigid, "register_rigidly", once)
        patch.setattr(nmi_search, "nmi_and_half_turn_ratio", lambda *_: (GOOD["nmi"], GOOD["half_turn_ratio"]))
        patch.setattr(pipeline, "register", lambda *_: Affine(np.eye(4)))
        patch.setattr(pipeline, "examined", lambda _, brain, *__: (brain, {}, []))
        patch.setattr(pipeline, "measure", lambda *_: dict(GOOD))
        patch.setattr(sequences, "measure_sequence", lambda *_: dict(OF_FLAIR))
        yield patch


@pytest.fixture(scope="module")
def files(place: Path) -> dict[str, Path]:
    """A session: the template with a lesion, and a FLAIR of it on another grid, in another pose."""
    head = template.load(templates.BUNDLED, SPACING)
    flair = np.where(head.brain, 1.2 - head.t1, 0) * 100
    t1 = np.where(head.brain, head.t1, 0) * 100
    t1[24:27, 20:23, 22:25], flair[24:27, 20:23, 22:25] = 10, 130
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = Rotation.from_euler("xyz", [3, -2, 4], degrees=True).as_matrix(), (5, -4, 3)
    made = {"T1w": (t1, head.affine), "FLAIR": (flair[:, 1:], pose @ head.affine)}
    for name, (data, affine) in made.items():
        nib.save(nib.Nifti1Image(data.astype(np.float32), affine), place / f"{WHOLE}_{name}.nii.gz")
    return {name: place / f"{WHOLE}_{name}.nii.gz" for name in made}


@pytest.fixture(scope="module")
def cache(place: Path, files: dict[str, Path], patched: Any) -> Path:
    """Eight noisy sessions for the training, and two test sessions that were preprocessed, of which one lacks FLAIR."""
    head, rng, folder = template.load(templates.BUNDLED, SPACING), np.random.default_rng(0), place / "pre"
    rows = [Scan(f"sub-0{n}", f"sub-0{n}", "toy", role="train", state="ok") for n in range(8)]
    for row in rows:
        images = {status.IMAGE: 100 * head.t1, status.sequence_key("FLAIR"): 120 - 100 * head.t1}
        paths = {key: names.preprocessed(row.scan, Naming(key.partition("_")[2] or "T1w")) for key in images}
        paths[status.BRAIN] = names.brain_mask(row.scan, Naming())
        paths[status.TRANSFORM] = names.transform(row.scan, Naming())
        for key, image in images.items():
            noisy = np.where(head.brain, image + 10 * rng.standard_normal(image.shape), 0).astype(np.float32)
            volume.write(folder / paths[key], noisy, head.affine)
        volume.write(folder / paths[status.BRAIN], head.brain, head.affine)
        transform.write(folder / paths[status.TRANSFORM], Affine(np.eye(4)))
        status.write(
            folder / row.scan / status.NAME, status.Status(scan=row.scan, modality="T1w", state="ok", files=paths)
        )
    for name, further in ((WHOLE, files["FLAIR"]), (LACKING, None)):
        scan = ScanFiles(name, "T1w", files["T1w"], reading=Reading(stripped=True), sequences={"FLAIR": further})
        state = preprocess(scan, SETTINGS, folder / name)
        assert state.state == "ok", state.reasons
        rows.append(Scan(name, name, "toy", role="test", state="ok", missing="" if further else "FLAIR"))
    scans.write(place / "toy.tsv", rows)
    source = Source(place / "toy.tsv", folder, TAKEN)
    fit_scaling([source], RECIPE.normalize.intensity, place / "scaling.safetensors")
    normalize(source, place / "scaling.safetensors", RECIPE.normalize, place / "toy")
    return place / "toy"


@pytest.fixture(scope="module")
def trainings(place: Path, cache: Path) -> Path:
    """Each model trained, and its maps of the test sessions in `maps/<label>`."""
    out = {label: place / "maps" / label / "seed-0/toy" for label in MODELS}
    for label, (settings, seen) in MODELS.items():
        folder, tags = place / "models" / label / "seed-0", {"model": label, "seed": "0"}
        train([cache], registry.validate(settings), 0, COMPUTE, folder, tags, seen)
        for path in folder.iterdir():
            if path.name not in (bundle.ARRAYS, bundle.ABOUT):
                path.unlink()
        sign = SIGNS if len(seen) > 1 else SIGNS[seen[0]]
        making = MapMaking(settings["map"], sign, 1, [out[member] for member in settings.get("of", [])])
        infer(folder, cache, making, COMPUTE, out[label], {**tags, "dataset": "toy"})
    return place


def written(trainings: Path, label: str, out: Path, **changes: Any) -> Path:
    """The model file of one of the models."""
    labels = [*MODELS[label][0].get("of", []), label]
    head, about = template.load(templates.BUNDLED, SPACING), RECIPE.model_dump(mode="json")
    for each in labels:
        shutil.copytree(trainings / "models" / each, out / "parts/models" / each)
    several = {"sequences": TAKEN, "signs": SIGNS, "lesion_sign": "both"}
    content = manifest(
        {each: MODELS[each][0] for each in labels},
        **several | changes,
        parts=[Part(label=each, bundle=f"{each}/seed-0", map=MODELS[each][0]["map"]) for each in labels],
        recipe={"preprocess": {**about["preprocess"], "spacing": SPACING}, "normalize": about["normalize"]},
        template={"name": templates.BUNDLED, "sha256": template.fingerprint(templates.BUNDLED)},
        grid=Grid(shape=head.t1.shape, affine=head.affine.tolist()),
    )
    model_file.write(out / f"{label}.brainuad", content, out / "parts")
    return out / f"{label}.brainuad"


@pytest.fixture(scope="module")
def model(trainings: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(written(trainings, "both", tmp_path_factory.mktemp("both")))


def of_the_pipeline(trainings: Path, label: str, scan: str) -> tuple[np.ndarray, float]:
    folder = trainings / "maps" / label / "seed-0/toy"
    return volume.read(maps.anomaly_path(folder, scan)).data, maps.read_scores(folder)[scan]


@pytest.mark.parametrize("label", ["both", "vote"])
def test_the_map_of_a_session_is_that_of_the_pipeline_bit_by_bit(label, trainings, files, tmp_path, monkeypatch):
    if label == "both":
        monkeypatch.setattr(nmi_rigid, "register_rigidly", REGISTER)
    used = load(written(trainings, label, tmp_path))
    found = used.predict(files, STRIPPED)
    anomaly, score = of_the_pipeline(trainings, label, WHOLE)
    np.testing.assert_array_equal(found.anomaly, anomaly)
    assert np.ptp(anomaly) > 0
    assert found.score == score
    assert found.files == {name: path.name for name, path in files.items()}
    assert any("registered" in note for note in found.prepared.notes)
    assert not any("lacks" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("label", ["both", "vote", "any"])
def test_a_session_that_lacks_a_sequence_is_mapped_by_the_rest_and_doubted(label, trainings, files, tmp_path):
    found = load(written(trainings, label, tmp_path)).predict({"T1w": files["T1w"]}, STRIPPED)
    anomaly, score = of_the_pipeline(trainings, label, LACKING)
    np.testing.assert_array_equal(found.anomaly, anomaly)
    assert found.score == score
    assert "lacks FLAIR" in found.doubts[0]
    assert found.prepared.missing == ["FLAIR"]


def test_a_model_of_whole_sessions_gives_another_one_a_map_of_zeros_and_says_so(trainings, files, tmp_path):
    found = load(written(trainings, "whole", tmp_path)).predict({"T1w": files["T1w"]}, STRIPPED)
    assert not found.anomaly.any()
    assert maps.read_scores(trainings / "maps/whole/seed-0/toy")[LACKING] == found.score == 0
    assert "zeros" in found.doubts[0]


def test_a_model_of_one_further_sequence_takes_that_alone(trainings, files, tmp_path):
    one = written(trainings, "flair", tmp_path, sequences=[], signs={}, modality="FLAIR", lesion_sign="bright")
    used = load(one)
    assert used.sequences == ["FLAIR"]
    opened = array_cache.read(trainings / "toy", ["FLAIR"])
    row = next(i for i, scan in enumerate(opened.scans) if scan.scan == WHOLE)
    made = used.map(opened.image(row), opened.brain(row))
    np.testing.assert_array_equal(made.anomaly, of_the_pipeline(trainings, "flair", WHOLE)[0])
    with pytest.raises(InputError, match="T1w"):
        used.predict({"T1w": files["T1w"], "FLAIR": files["FLAIR"]}, STRIPPED)


def test_where_the_first_is_for_the_registration_alone_something_to_map_must_be_there(trainings, files, tmp_path):
    used = load(written(trainings, "flair", tmp_path))
    assert (used.sequences, used.seen) == (TAKEN, {"FLAIR"})
    np.testing.assert_array_equal(used.predict(files, STRIPPED).anomaly, of_the_pipeline(trainings, "flair", WHOLE)[0])
    with pytest.raises(InputError, match="FLAIR") as refused:
        used.predict({"T1w": files["T1w"]}, STRIPPED)
    assert "registration" in str(refused.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda files: files["T1w"], ["T1w and FLAIR", "each sequence"]),
        (lambda files: {**files, "T2w": files["FLAIR"]}, ["no T2w"]),
        (lambda files: {"FLAIR": files["FLAIR"]}, ["lacks T1w", "give its T1w"]),
        (lambda files: {**files, "FLAIR": files["T1w"]}, ["voxels of the T1w", "leave it out"]),
        (lambda files: {**files, "FLAIR": files["T1w"].with_name("no.nii.gz")}, ["no.nii.gz", "leave it out"]),
    ],
    ids=["a path alone", "an unknown one", "the first missing", "a copy", "no file"],
)
def test_what_is_no_session_is_refused_in_a_sentence(model, files, given, words):
    with pytest.raises(InputError) as refused:
        model.predict(given(files), STRIPPED)
    assert refused.value.file is not None
    assert all(each in str(refused.value) for each in words), str(refused.value)


def test_a_sequence_that_fails_quality_is_refused_and_one_in_doubt_is_told(model, files, patched):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "measure_sequence", lambda *_: {**OF_FLAIR, "coverage": 0.1})
        with pytest.raises(InputError, match="FLAIR") as refused:
            model.predict(files, STRIPPED)
        patch.setattr(sequences, "measure_sequence", lambda *_: {**OF_FLAIR, "coverage": 0.8})
        found = model.predict(files, STRIPPED)
    assert "10%" in str(refused.value)
    assert refused.value.file == files["FLAIR"]
    assert any(reason.startswith("FLAIR: ") and "80%" in reason for reason in found.prepared.reasons)


@pytest.mark.parametrize("changes", [{"sequences": []}, {"sequences": ["T1w", "T2w"]}, {"modality": "FLAIR"}], ids=str)
def test_a_file_that_names_other_sequences_than_its_parts_see_is_refused(trainings, tmp_path, changes):
    with pytest.raises(InputError, match="other sequences"):
        load(written(trainings, "both", tmp_path, **changes))


def test_a_manifest_of_one_sequence_is_written_as_before_and_one_of_several_comes_back(trainings, tmp_path):
    several = model_file.read(written(trainings, "t1", tmp_path / "a")).manifest
    assert (several.sequences, several.signs) == (TAKEN, SIGNS)
    one = several.model_copy(update={"sequences": [], "signs": {}})
    assert not {"sequences", "signs"} & one.as_written().keys()
    assert model_file.Manifest.model_validate(json.loads(json.dumps(one.as_written()))) == one


def test_what_a_model_takes_of_a_session():
    def of(*modalities: str) -> dict[str, Any]:
        return {"use": "zscore_atlas", "set": {"modalities": list(modalities)}}

    raw: dict[str, Any] = {
        "study": "tiny", "recipe": "mri_2mm", "modalities": ["T1w", "T2w", "FLAIR"],
        "datasets": {"healthy": {"source": "phantom", "subjects": 6, "healthy": True,
                                 "split": {"train": 0.5, "validation": 0.25, "test": 0.25}}},
        "models": {"all": {"use": "zscore_atlas"}, "flair": of("FLAIR"), "t1": of("T1w"), "rest": of("FLAIR", "T2w"),
                   "vote": {"use": "ensemble", "of": ["flair", "t1"]}, "one": {"use": "ensemble", "of": ["flair"]}},
    }  # fmt: skip
    study = build_study(raw, Path("study.yaml"))
    taken = {label: sequences_taken(study, label) for label in study.models}
    assert taken == {
        "all": ["T1w", "T2w", "FLAIR"], "flair": ["FLAIR"], "t1": ["T1w"], "rest": ["T1w", "T2w", "FLAIR"],
        "vote": ["T1w", "FLAIR"], "one": ["FLAIR"],
    }  # fmt: skip


def test_in_mlflow_each_sequence_is_a_column_and_an_empty_cell_is_missing():
    asked: list[dict[str, str]] = []

    def predict(session: dict[str, str]) -> SimpleNamespace:
        asked.append(session)
        return SimpleNamespace(anomaly=np.zeros((2, 2, 2)))

    stub: Any = SimpleNamespace(manifest=SimpleNamespace(sequences=TAKEN), predict=predict)
    table = pd.DataFrame({"FLAIR": ["f.nii", None], "T1w": ["t.nii", "u.nii"]})
    assert mlflow_models.MappedScans(stub).predict(table).shape == (2, 2, 2, 2)
    assert asked == [{"T1w": "t.nii", "FLAIR": "f.nii"}, {"T1w": "u.nii"}]
