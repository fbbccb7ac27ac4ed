"""Files that leave the pipeline bear BIDS-derivative names; a data set of them passes the BIDS validator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from brainuad.errors import InputError
from brainuad.formats import maps, names, status, transform, volume
from brainuad.formats.maps import MapWriter
from brainuad.formats.names import Naming
from brainuad.formats.status import Status
from brainuad.formats.thresholds import FoundThreshold
from brainuad.formats.transform import Affine

SHAPE, AFFINE = (6, 7, 8), np.diag([2.0, 2, 2, 1])
SCANS = [
    "sub-01",
    "sub-01_ses-2",
    "sub-IXI002_draw-1",
    "sub-IXI002_draw-2",
    "sub-x_run-1",
    "sub-x_ses-a_run-2",
    "sub-y",
]
NAMINGS = [Naming(), Naming("FLAIR", "sri24.nii.gz"), Naming("T1ce"), Naming("ct"), Naming("T2w", "")]
RULES = ["healthy_quantile_0.98", "val_dice", "fixed_2"]
VALIDATOR = shutil.which("bids-validator-deno")
# BIDS 1.10: entities of a derivative image of anatomy in their order, each at most once, then the suffix
LABEL = "[a-zA-Z0-9]+"
KEYS = ["ses", "task", "acq", "ce", "rec", "run", "echo", "part", "space", "res", "label", "desc"]
STEM = rf"sub-{LABEL}" + "".join(rf"(_{key}-{LABEL})?" for key in KEYS)
IMAGE = re.compile(STEM + r"_(T1w|T2w|FLAIR|PDw|ct|mask|anomalymap)\.nii\.gz")
TRANSFORM = re.compile(
    rf"sub-{LABEL}(_ses-{LABEL})?(_ce-{LABEL})?(_run-\d+)?_from-{LABEL}_to-{LABEL}_mode-image_xfm\.json"
)


def images(scan: str, naming: Naming) -> list[str]:
    """Every name that an image of a scan can have."""
    made = [names.preprocessed, names.brain_mask, names.anomaly_map, names.reconstruction]
    found = [name(scan, naming) for name in made] + [names.anomaly_map(scan, naming, processed=True)]
    found += [names.reference_mask(scan, naming, name) for name in status.MASKS]
    return found + [names.predicted_mask(scan, naming, rule) for rule in RULES]


@pytest.mark.parametrize("naming", NAMINGS)
def test_names_have_the_entities_of_bids_in_their_order(naming):
    every = [path for scan in SCANS for path in images(scan, naming)]
    assert len(set(every)) == len(every), "no two files share a name"
    for path in every:
        *places, datatype, name = path.split("/")
        assert IMAGE.fullmatch(name), name
        assert name.startswith("_".join([*places, ""])), "person and session are those of the folders"
        assert datatype == ("ct" if naming.modality == "ct" else "anat")
    for scan in ("sub-01", "sub-01_ses-2", "sub-x_run-1"):
        path = names.transform(scan, Naming(naming.modality))
        assert TRANSFORM.fullmatch(path.rpartition("/")[2]), path


def test_names_say_what_the_images_are():
    start = "sub-01/ses-2/anat/sub-01_ses-2_space-MNI152NLin2009aSym"
    scan, naming = "sub-01_ses-2", Naming()
    assert names.preprocessed(scan, naming) == f"{start}_desc-preproc_T1w.nii.gz"
    assert names.predicted_mask(scan, naming, "healthy_quantile_0.98") == (
        f"{start}_label-lesion_desc-healthyQuantile0p98_mask.nii.gz"
    )
    draw = names.anomaly_map("sub-01_draw-3", naming, processed=True)
    assert draw.endswith("/sub-01_space-MNI152NLin2009aSym_desc-postprocessedDraw3_anomalymap.nii.gz")
    contrast = names.preprocessed("sub-01_run-1", Naming("T1ce", "spgr.nii"))
    assert contrast == "sub-01/anat/sub-01_ce-contrast_run-1_space-spgr_desc-preproc_T1w.nii.gz"
    assert names.native_name("sub-01_space-MNI152NLin2009aSym_anomalymap.nii.gz") == "sub-01_anomalymap.nii.gz"


def test_labels_with_other_signs_become_labels_of_bids_and_stay_apart():
    first, second = (names.preprocessed(f"sub-{name}", Naming()) for name in ("a-1", "a.1"))
    assert IMAGE.fullmatch(first.rpartition("/")[2])
    assert first != second


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_scan_finds_its_own_files_alone(naming, tmp_path):
    for scan in SCANS:
        for path in images(scan, naming):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
    for scan in SCANS:
        found = [
            maps.anomaly_path(tmp_path, scan),
            maps.reconstruction_path(tmp_path, scan),
            maps.processed_path(tmp_path, scan),
            *(maps.mask_path(tmp_path, scan, rule) for rule in RULES),
        ]
        wanted = [names.anomaly_map(scan, naming), names.reconstruction(scan, naming)]
        wanted += [names.anomaly_map(scan, naming, processed=True)]
        wanted += [names.predicted_mask(scan, naming, rule) for rule in RULES]
        assert [path.relative_to(tmp_path).as_posix() for path in found] == wanted
    before = set(tmp_path.rglob("*.nii.gz"))
    names.remove(tmp_path, "sub-x_run-1")
    gone = {path.relative_to(tmp_path).as_posix() for path in before - set(tmp_path.rglob("*.nii.gz"))}
    assert gone == set(images("sub-x_run-1", naming))


def test_two_files_for_one_are_refused(tmp_path):
    for naming in (Naming(), Naming(template="other.nii")):
        volume.write(tmp_path / names.anomaly_map("sub-1", naming), np.zeros(SHAPE, np.float32), AFFINE)
    with pytest.raises(InputError, match="sub-1 has several files"):
        maps.anomaly_path(tmp_path, "sub-1")
    assert not maps.reconstruction_path(tmp_path, "sub-1").exists()


def data_set(folder: Path, naming: Naming) -> None:
    """A data set with every image that leaves the pipeline, and the records of its jobs."""
    data, mask = np.arange(336, dtype=np.float32).reshape(SHAPE), np.ones(SHAPE, bool)
    writer = MapWriter(folder, AFFINE, naming)
    for scan in SCANS:
        out = folder / scan
        with status.replaced(out, scan) as part:
            paths = {"image": names.preprocessed(scan, naming), "transform": names.transform(scan, naming)}
            volume.write(part / paths["image"], data, AFFINE)
            about = {"Description": "Preprocessed scan", "SkullStripped": True}
            names.write_sidecar(part / paths["image"], naming, about)
            transform.write(part / paths["transform"], Affine(np.eye(4)))
            (part / scan).mkdir(exist_ok=True)
            (part / scan / status.OVERLAY).touch()
            state = Status(scan=scan, modality=naming.modality, state="ok", template=naming.template, files=paths)
            status.write(part / scan / status.NAME, state)
        writer.anomaly(scan, data)
        writer.reconstruction(scan, data)
        writer.processed(scan, data)
        for rule in RULES:
            writer.mask(scan, mask, rule, FoundThreshold(0.5, "unsupervised"))
    names.describe_dataset(folder, "Everything", {"model": "a"})
    for record in ("run.json", "scores.tsv", "thresholds.json", "batches/one.json", ".snakemake_timestamp"):
        (folder / record).parent.mkdir(exist_ok=True)
        (folder / record).write_text("{}")


@pytest.mark.parametrize("naming", NAMINGS[:4])
def test_each_image_has_a_sidecar_and_what_bids_does_not_know_is_ignored(naming, tmp_path):
    data_set(tmp_path / "set", naming)
    about = json.loads((tmp_path / "set/dataset_description.json").read_text())
    assert about["DatasetType"] == "derivative"
    assert about["GeneratedBy"][0]["Name"] == "brainuad"
    assert about["Name"] == "Everything, model a"
    ignored = [line for line in (tmp_path / "set/.bidsignore").read_text().splitlines() if not line.startswith("#")]
    known = re.compile(STEM + r"_(T1w|T2w|FLAIR|PDw|mask)\.(nii\.gz|json)")
    for path in (path.relative_to(tmp_path / "set") for path in (tmp_path / "set").rglob("*") if path.is_file()):
        if path.name.endswith(".nii.gz"):
            described = json.loads((tmp_path / "set" / names.sidecar(path)).read_text())
            assert described["SpatialReference"] == ("sri24.nii.gz" if naming.template != "mni152" else names.MNI152)
            assert str(tmp_path) not in json.dumps(described)
        of_bids = known.fullmatch(path.name) or path.as_posix() in (names.DESCRIPTION, names.README, names.IGNORE)
        parts = [path.as_posix(), *path.parts]
        listed = any(
            fnmatch(part, line.lstrip("/")) and (not line.startswith("/") or part == path.parts[0])
            for part in parts
            for line in ignored
        )
        assert of_bids or listed, path


@pytest.mark.skipif(VALIDATOR is None, reason="pip install bids-validator-deno (3.0 and later)")
@pytest.mark.parametrize("naming", NAMINGS[:4])
def test_the_bids_validator_has_no_error(naming, tmp_path):
    data_set(tmp_path / "set", naming)
    command = [VALIDATOR, str(tmp_path / "set"), "--format", "json"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout)
    errors = [
        (issue["code"], issue.get("location")) for issue in told["issues"]["issues"] if issue["severity"] == "error"
    ]
    assert not errors


def test_a_new_result_replaces_the_whole_of_the_old_one_and_nothing_of_another_scan(tmp_path):
    data_set(tmp_path, Naming())
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError), status.replaced(tmp_path / "sub-x_run-1", "sub-x_run-1") as part:
        (part / "sub-x_run-1").mkdir()
        raise RuntimeError
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
    with status.replaced(tmp_path / "sub-x_run-1", "sub-x_run-1") as part:
        failed = Status(scan="sub-x_run-1", modality="T1w", state="failed")
        status.write(part / "sub-x_run-1" / status.NAME, failed)
    gone = {path.relative_to(tmp_path).as_posix() for path in before if not path.exists()}
    assert gone
    assert all(path.startswith(("sub-x/anat/sub-x_run-1_", "sub-x_run-1/overlay")) for path in gone)
    assert status.sizes(tmp_path / "sub-x_run-1").keys() == {"sub-x_run-1/status.json"}
    assert names.preprocessed("sub-y", Naming()) in status.sizes(tmp_path / "sub-y")


def test_a_status_of_another_version_is_refused_and_a_missing_image_named(tmp_path):
    (tmp_path / "sub-1").mkdir()
    (tmp_path / "sub-1/status.json").write_text('{"subject": "sub-1", "state": "ok"}')
    with pytest.raises(InputError, match="of another version"):
        status.read(tmp_path / "sub-1/status.json")
    assert status.sizes(tmp_path / "sub-1").keys() == {"sub-1/status.json"}
    status.write(tmp_path / "sub-1/status.json", Status(scan="sub-1", state="failed", reasons=["no head"]))
    with pytest.raises(InputError, match="sub-1 has no transform") as caught:
        status.path(tmp_path / "sub-1", status.TRANSFORM)
    assert caught.value.why == "no head"


def test_scans_with_and_without_contrast_agent_have_names_of_their_own():
    plain, agent = (names.unprocessed("sub-1_ses-2", Naming(modality, "")) for modality in ("T1w", "T1ce"))
    assert plain == "sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz"
    assert agent.endswith("/sub-1_ses-2_ce-contrast_T1w.nii.gz")
