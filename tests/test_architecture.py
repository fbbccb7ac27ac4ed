"""The design's promises about the code itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from brainuad.code_hash import PACKAGE, CodeHasher
from brainuad.config.load import shipped
from brainuad.jobs.registry import STAGE_OF, job_class, job_module
from brainuad.reference import PAGES

REPOSITORY = Path(__file__).parents[1]
STAGES = list(dict.fromkeys(STAGE_OF.values()))
HEAVY = ("torch", "monai", "ants", "mlflow", "SimpleITK", "lightning", "pandas", "scipy", "matplotlib", "nibabel")
CODE = [path for folder in ("src", "workflow") for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def roots(rule: str) -> str:
    return f"{job_module(rule)}:{job_class(rule).__name__}"


def test_every_rule_has_a_job_beside_its_stage_and_runs_it_by_the_one_adapter():
    rules = {}
    for path in (REPOSITORY / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        rules |= dict.fromkeys(re.findall(r"^rule (\w+):", text, re.MULTILINE), path.stem)
        assert set(re.findall(r'"(.*workflow/scripts/.*)"', text)) <= {"../workflow/scripts/run_job.py"}
    assert rules == STAGE_OF


@pytest.mark.parametrize("rule", STAGE_OF)
def test_the_names_of_a_rules_outputs_are_those_of_its_job(rule):
    text = (REPOSITORY / "rules" / f"{STAGE_OF[rule]}.smk").read_text(encoding="utf-8")
    (own,) = re.findall(rf"^rule {rule}:\n(.*?)^    log:", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^        (\w+)=", own.partition("output:")[2], re.MULTILINE)
    assert names == list(job_class(rule).model_fields["outputs"].annotation.model_fields)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_function_takes_more_than_seven_parameters(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            names = [each.arg for each in every if each.arg not in ("self", "cls")]
            assert len(names) <= 7, f"{node.name}, line {node.lineno}"


def test_no_module_is_part_of_a_circle():
    """Imports at the top and inside functions alike; those for type hints alone run nothing."""
    graph = {name: imported(name) for name in modules()}
    for start in graph:
        seen, waiting = set(), [*graph[start]]
        while waiting:
            name = waiting.pop()
            assert name != start, f"{start} imports itself by way of others"
            if name not in seen:
                seen.add(name)
                waiting += graph.get(name, ())


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((REPOSITORY / "src/brainuad").rglob("*.py")):
        parts = path.relative_to(REPOSITORY / "src").with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str) -> set[str]:
    known, found = modules(), set()
    body = ast.parse(known[name].read_text(encoding="utf-8")).body
    waiting = [node for node in body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]
    for node in (each for top in waiting for each in ast.walk(top)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {each if each in known else node.module for each in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & set(known)) - {"brainuad"}


def test_parsing_the_snakefile_imports_nothing_heavy():
    code = f"import sys, brainuad.plan, brainuad.config.load; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_job_reaches_no_other_stage():
    hasher = CodeHasher(PACKAGE)
    for rule, own in STAGE_OF.items():
        reached = {module.split(".")[1] for module, _ in hasher.reached(roots(rule))}
        assert not reached & set(STAGES) - {own}, rule


@pytest.mark.parametrize("path", list(PAGES), ids=str)
def test_pages_made_from_the_code_are_up_to_date(path):
    assert (REPOSITORY / path).read_text(encoding="utf-8") == PAGES[path](), "run `make docs`"


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
