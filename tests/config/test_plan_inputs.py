"""What a preprocess job reads beside the scan: the template's files, and a scan to register with."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from brainuad.config.load import build_study
from brainuad.errors import ConfigError
from brainuad.plan import Plan
from brainuad.preprocess.job_inputs import ScanInputs, inputs_by_scan

DEMO = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def demo() -> dict[str, Any]:
    return deepcopy(yaml.safe_load(DEMO.read_text()))


def plan(study: dict[str, Any]) -> Plan:
    return Plan(build_study(study, DEMO))


def settings_of(found: Plan, dataset: str, scan: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(found.job("preprocess", dataset=dataset, scan=scan).tracked_json())
    return content


def with_template(demo: dict[str, Any], path: Path) -> Plan:
    recipe = {"use": "mri_2mm", "label": "mine", "set": {"preprocess": {"template": str(path)}}}
    return plan({**demo, "recipe": recipe})


def test_the_template_s_files_are_inputs_and_their_folder_is_no_setting(demo, tmp_path):
    assert "template" not in plan(demo).scan_files("healthy", ["sub-001"])
    configs = []
    for place in ("here", "there"):
        path = tmp_path / place / "t1.nii.gz"
        path.parent.mkdir()
        path.write_bytes(b"")
        found = with_template(demo, path)
        assert found.scan_files("healthy", ["sub-001"])["template"] == str(path)
        configs.append(found.job("preprocess", dataset="healthy", scan="sub-001").tracked_json())
    assert configs[0] == configs[1], "moving a template changes no setting"
    (tmp_path / "there" / "t1_mask.nii.gz").write_bytes(b"")
    found = with_template(demo, path)
    assert found.scan_files("healthy", ["sub-001"])["template_mask"] == str(tmp_path / "there" / "t1_mask.nii.gz")


def test_a_missing_template_stops_before_any_job(demo, tmp_path):
    with pytest.raises(ConfigError, match="template is not there") as caught:
        with_template(demo, tmp_path / "sri24" / "spgr.nii")
    assert "nitrc.org" in str(caught.value)


def test_a_scan_to_register_with_is_found_beside_and_is_an_input(demo, tmp_path):
    for name in ("sub-1/ses-1/anat/sub-1_ses-1_FLAIR", "sub-1/ses-1/anat/sub-1_ses-1_T1w", "sub-2/anat/sub-2_FLAIR"):
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    more = {"source": "folder", "root": str(tmp_path), "healthy": True, "modality": "FLAIR", "register_with": "T1w"}
    demo["datasets"]["more"] = more
    found = plan(demo)
    files = found.scan_files("more", ["sub-1_ses-1"])
    assert {name: Path(path).name for name, path in files.items()} == {
        "sub-1_ses-1/image": "sub-1_ses-1_FLAIR.nii.gz",
        "sub-1_ses-1/reference": "sub-1_ses-1_T1w.nii.gz",
    }
    assert settings_of(found, "more", "sub-1_ses-1")["settings"]["register_with"] == "T1w"
    assert "sub-2/reference" not in found.scan_files("more", ["sub-2"])
    asked = settings_of(found, "more", "sub-2")["settings"]["register_with"]
    assert asked == "T1w", "preprocess says that there is none"
    del more["register_with"]
    assert "sub-1_ses-1/reference" not in plan(demo).scan_files("more", ["sub-1_ses-1"])


def test_a_table_names_scans_to_register_with(demo, tmp_path):
    for name in ("flair.nii", "t1.nii"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "t.tsv").write_text("subject\timage\tregister_with\nA\tflair.nii\tt1.nii\n")
    more = {"source": "table", "file": str(tmp_path / "t.tsv"), "healthy": True, "modality": "FLAIR"}
    demo["datasets"]["more"] = more | {"register_with": "T1w"}
    found = plan(demo)
    files = {"image": str(tmp_path / "flair.nii"), "reference": str(tmp_path / "t1.nii")}
    assert inputs_by_scan(found.scan_files("more", ["sub-A"]), ["sub-A"]) == {"sub-A": ScanInputs(files)}
    assert settings_of(found, "more", "sub-A")["settings"]["register_with"] == "T1w"


def test_a_scan_is_given_the_same_files_by_its_own_job_and_by_a_batch(demo, tmp_path):
    names = [f"sub-{number}" for number in (1, 10, 2)]
    for name in names:
        for kind in ("FLAIR", "T1w", "desc-lesion_mask"):
            path = tmp_path / f"{name}/anat/{name}_{kind}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    (tmp_path / "template.nii.gz").write_bytes(b"")
    more = {"source": "folder", "root": str(tmp_path), "healthy": False, "modality": "FLAIR", "register_with": "T1w"}
    demo["datasets"]["more"], demo["compute"] = more, {"scans_per_job": 3}
    found = with_template(demo, tmp_path / "template.nii.gz")
    together = inputs_by_scan(found.scan_files("more", found.batch("more", found.done_files("more")[0].stem)), names)
    assert together == {name: inputs_by_scan(found.scan_files("more", [name]), [name])[name] for name in names}
    assert {Path(path).name for path in together["sub-1"].files.values()} == {
        *(f"sub-1_{kind}.nii.gz" for kind in ("FLAIR", "T1w", "desc-lesion_mask")),
        "template.nii.gz",
    }


def test_a_scan_is_not_registered_with_itself(demo, tmp_path):
    more = {"source": "folder", "root": str(tmp_path), "healthy": True, "register_with": "T1w"}
    demo["datasets"]["more"] = more
    with pytest.raises(ConfigError, match="register_with: T1w is the scan itself"):
        plan(demo)
