"""The pages that are made from the code: every setting, every column of the tables, and the schema of a study file."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from inspect import isabstract
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from brainuad import metrics
from brainuad.config import anomalies, datasets, insertion, postprocessing, recipe, study
from brainuad.config.model import MethodSettings, families, settings_class
from brainuad.config.model import schema as models_schema
from brainuad.config.section import Section
from brainuad.download.catalogue import datasets_page
from brainuad.formats import quality, tables
from brainuad.jobs.base import Job
from brainuad.jobs.registry import STAGE_OF, job_class, job_module
from brainuad.papers.catalogue import models_page

ARCHITECTURE = Path("docs/architecture.md")
HEAD = "<!-- Made from the code by `make docs`; change it there. -->\n"
PARTS: dict[str, list[Any]] = {
    "A study": [study.Study],
    "Data sets": [
        *(datasets.Bids, datasets.Table, datasets.Known, datasets.OpenNeuro, datasets.Phantoms),
        *(datasets.Inserted, datasets.Artificial, datasets.Corrupted, datasets.Split),
        *(insertion.Insertion, anomalies.Anomaly, anomalies.ScanCorruption),
    ],
    "Recipes": [recipe.Recipe],
    "Models": [MethodSettings, *(settings_class(family) for family in families())],
    "Postprocessing": [
        postprocessing.Postprocessing,
        *get_args(postprocessing.MapOperator),
        *get_args(postprocessing.MaskOperator),
    ],
    "Thresholds": [postprocessing.HealthyQuantile, postprocessing.ValDice, postprocessing.Fixed],
    "Evaluation, machines, pages": [study.Evaluate, study.Compute, study.Track, study.Report],
}


def settings_page() -> str:
    """Every settings class with its keys, defaults and meaning."""
    seen: set[type[Section]] = set()
    lines = [HEAD, "# Settings", "", "Unknown keys are refused. A key without a default must be given.", ""]
    lines += [
        "In a study file `recipe` is the name of a file in `config/recipes/`, or `{use, label, set}`; a model is",
        "the name of a file in `config/models/`, nothing where that is its label, or `{use, set, sweep, maps}`, where",
        "`maps` names further `map` settings for the same training; a postprocessing is the name of a file in",
        "`config/postprocessing/` or a list of operators. Editors can check a study file with the schema",
        "`config/study.schema.json`.",
    ]
    for title, classes in PARTS.items():
        lines += ["", f"## {title}"]
        for section in classes:
            lines += _described(section, seen)
    return "\n".join(lines) + "\n"


def columns_page() -> str:
    """Every column of the tables that evaluate writes, and the names of the metrics."""
    lines = [HEAD, "# Tables", "", "Tab-separated, numbers to six digits, in `results/<study>/evaluate/`."]
    for name in ("METRICS", "SCANS", "LESIONS", "COMPARISONS", "CURVES"):
        lines += ["", f"## {name.lower()}.tsv", "", "| column | meaning |", "| --- | --- |"]
        lines += [f"| `{column}` | {meaning} |" for column, meaning in getattr(tables, name).items()]
    lines += ["", "## quality.tsv", "", "In `results/<study>/preprocess/<data set>/`.", ""]
    lines += ["| column | meaning |", "| --- | --- |"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in quality.COLUMNS.items()]
    lines += ["", "## Metrics", "", "In `metrics.tsv`, and in MLflow. Shown: in the report and by `brainuad show`.", ""]
    lines += ["| metric | label | better | unit | shown | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for metric in metrics.by_name().values():
        shown = "" if metric.column is None else "yes"
        about = (f"`{metric.name}`", metric.label, metric.direction, metric.unit, shown, metric.description)
        lines.append(f"| {' | '.join(about)} |")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """JSON schema of a study file as a user writes it: recipe, models and chains may be names."""
    made = study.Study.model_json_schema()
    properties = made["properties"]
    name = {"type": "string"}
    use = {
        "type": "object",
        "properties": {
            "use": name,
            "label": name,
            "set": {"type": "object"},
            "sweep": {"type": "object"},
            "maps": {"type": "object"},
        },
        "required": ["use"],
        "additionalProperties": False,
    }
    del properties["recipe_name"]
    properties["recipe"] = {"description": properties["recipe"].get("description", ""), "anyOf": [name, use]}
    for key, whole in (("models", {"type": "null"}), ("postprocessing", {"type": "array"})):
        described = {"description": properties[key].get("description", ""), "type": "object"}
        properties[key] = {**described, "additionalProperties": {"anyOf": [name, use, whole]}}
    made["required"] = [key for key in made["required"] if key != "recipe_name"]
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def jobs_table() -> str:
    """A row per rule: its file, the module of its job, the functions that compute, and what it does."""
    lines = ["| rule | in | job | computes in | |", "| --- | --- | --- | --- | --- |"]
    for rule, stage in STAGE_OF.items():
        job = job_class(rule)
        module = job_module(rule).removeprefix("brainuad.").replace(".", "/")
        functions = "<br>".join(f"`{function}`" for function in _computing_functions(job, stage))
        about = _one_line(job.__doc__)
        lines.append(f"| `{rule}` | `rules/{stage}.smk` | `{module}.py` | {functions} | {about} |")
    return "\n".join(lines) + "\n"


def architecture_page() -> str:
    """The page as it is, with the table of jobs made anew between its marks."""
    start, end = "<!-- jobs: made from the code by `make docs` -->\n", "<!-- end of jobs -->"
    before, rest = ARCHITECTURE.read_text(encoding="utf-8").split(start)
    return before + start + jobs_table() + end + rest.partition(end)[2]


def model_schema() -> str:
    """JSON schema of a file in `config/models/`, of any family."""
    return json.dumps(models_schema(), indent=1, sort_keys=True) + "\n"


PAGES: dict[Path, Callable[[], str]] = {
    ARCHITECTURE: architecture_page,
    Path("docs/settings.md"): settings_page,
    Path("docs/columns.md"): columns_page,
    Path("docs/models.md"): lambda: models_page(HEAD),
    Path("docs/datasets.md"): lambda: datasets_page(HEAD),
    Path("config/study.schema.json"): schema,
    Path("config/model.schema.json"): model_schema,
}


def _computing_functions(job: type[Job], stage: str) -> list[str]:
    """The functions of its stage that a job's `run` imports and calls, as `<module>.<function>`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(job.run)))
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return [
        f"{node.module.removeprefix('brainuad.')}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"brainuad.{stage}")
        for name in node.names
        if name.name in calls and name.name.islower()
    ]


def _described(section: type[Section], seen: set[type[Section]]) -> Iterator[str]:
    """A section as a table, then the sections that its keys hold."""
    if section in seen:
        return
    seen.add(section)
    yield from ("", f"### {_heading(section)}", "", _one_line(section.__doc__), "")
    yield from ("| key | takes | default | meaning |", "| --- | --- | --- | --- |")
    for name, field in section.model_fields.items():
        yield f"| `{name}` | {_takes(field)} | {_default(field)} | {_one_line(field.description)} |"
    listed = [part for parts in PARTS.values() for part in parts]
    for field in section.model_fields.values():
        for inner in _sections(field.annotation):
            if inner not in (*listed, Section):
                yield from _described(inner, seen)


def _heading(section: type[Section]) -> str:
    """The name of a family for its settings, which are all called `Settings`; else the name of the class."""
    if not issubclass(section, MethodSettings) or isabstract(section):
        return section.__name__
    return str(get_args(section.model_fields["family"].annotation)[0])


def _takes(field: FieldInfo) -> str:
    text = _named(field.annotation)
    for limit in field.metadata:
        for sign, name in ((">", "gt"), (">=", "ge"), ("<", "lt"), ("<=", "le")):
            if (value := getattr(limit, name, None)) is not None:
                text += f", {sign} {value:g}"
    return text


def _named(kind: Any) -> str:
    """A type in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _named(inner[0])
    if origin is Literal:
        return " \\| ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_named(part) for part in inner))
    if origin is list:
        return f"list of {_named(inner[0])}"
    if origin is dict:
        return f"label to {_named(inner[1])}"
    if origin is tuple:
        return "[" + ", ".join(_named(part) for part in inner) + "]"
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
    return words.get(kind, getattr(kind, "__name__", str(kind)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "—"
    value = field.get_default(call_default_factory=True)
    plain = value.model_dump(mode="json") if isinstance(value, Section) else value
    if isinstance(value, Section) or (isinstance(value, list | dict) and value and _sections(field.annotation)):
        return "its own defaults"
    return f"`{json.dumps(plain)}`"


def _sections(kind: Any) -> list[type[Section]]:
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    return [found for part in get_args(kind) for found in _sections(part)]


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()
