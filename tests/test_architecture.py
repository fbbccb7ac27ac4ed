"""The design's promises about the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from brainuad.closure import code_hash, imported

from brainuad.config.load import shipped
from brainuad.plan import ENTRY
from brainuad.reference import PAGES

REPOSITORY = Path(__file__).parents[1]
STAGES = ["download", "preprocess", "normalize", "train", "infer", "postprocess", "evaluate", "track", "report"]
STAGE_OF = {
    "fetch": "download",
    "quality": "preprocess",
    "native": "postprocess",
    **dict.fromkeys(("split", "subjects", "scaling"), "normalize"),
    "summarise": "evaluate",
}
SCRIPTS = sorted((REPOSITORY / "workflow/scripts").glob("*.py"))
HEAVY = ("torch", "monai", "ants", "mlflow", "SimpleITK", "lightning", "pandas", "scipy", "matplotlib", "nibabel")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_adapter_is_short_and_knows_one_stage(script):
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25
    own = STAGE_OF.get(script.stem, script.stem)
    modules = [node.module or "" for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    stages = {module.split(".")[1] for module in modules if module.startswith("brainuad.")} & set(STAGES)
    assert stages <= {own}


def test_every_rule_has_its_adapter_and_every_stage_its_rules():
    assert {path.stem for path in (REPOSITORY / "rules").glob("*.smk")} == {*STAGES, "common"}
    assert {path.stem for path in SCRIPTS} == {*STAGES, *STAGE_OF}
    assert len((REPOSITORY / "Snakefile").read_text(encoding="utf-8").splitlines()) <= 70


def test_parsing_the_snakefile_imports_nothing_heavy():
    code = f"import sys, brainuad.plan, brainuad.config.load; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_code_hashes_follow_imports_but_not_other_families():
    train = imported(ENTRY["train"], "brainuad.methods.zscore_atlas")
    assert "brainuad.methods.base" in train
    assert "brainuad.formats.store" in train
    assert "brainuad.methods.autoencoder" not in train, "a change in one family retrains no other"
    assert not any(module.startswith("brainuad.config") for module in train), "settings count through params"
    assert code_hash(ENTRY["train"]) != code_hash(ENTRY["infer"])


def test_a_change_of_the_verdict_preprocesses_no_scan_anew():
    preprocess, seen = (imported(ENTRY[stage]) for stage in ("preprocess", "quality"))
    for module in ("brainuad.formats.verdict", "brainuad.formats.quality", "brainuad.preprocess.contact"):
        assert module not in preprocess
        assert module in seen


def test_stages_are_reached_from_their_own_entry_alone():
    for stage, entry in ENTRY.items():
        own = "preprocess" if stage == "preprocess_batch" else STAGE_OF.get(stage, stage)
        others = {module.split(".")[1] for module in imported(entry)} & set(STAGES) - {own}
        assert not others, f"{stage} reaches {others}"


@pytest.mark.parametrize("path", list(PAGES), ids=str)
def test_pages_made_from_the_code_are_up_to_date(path):
    assert (REPOSITORY / path).read_text(encoding="utf-8") == PAGES[path](), "run `make docs`"


def test_modules_stay_small():
    long = [p for p in (REPOSITORY / "src").rglob("*.py") if len(p.read_text(encoding="utf-8").splitlines()) > 300]
    assert not long


def test_environments_pin_what_the_requirements_pin():
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in lines if "==" in line)
    for path in (REPOSITORY / "envs").glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        (pip,) = (part["pip"] for part in content["dependencies"] if isinstance(part, dict))
        for pin in pip:
            name, _, wanted = pin.partition("==")
            assert pins[name.lower()] == wanted, f"{path.name}: {name}"


def test_every_dependency_is_explained():
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    page = (REPOSITORY / "docs/dependencies.md").read_text(encoding="utf-8").lower()
    for requirement in named:
        name = requirement.split(">")[0].split("=")[0].lower()
        assert f"| {name} |" in page, f"{name} is not in docs/dependencies.md"


def test_models_recipes_and_chains_are_named_as_labels():
    for kind in ("models", "recipes", "postprocessing"):
        for name in shipped(kind, REPOSITORY / "config"):
            assert name.replace("_", "").isalnum()
            assert name == name.lower()
