"""The pages that are made from the code: every setting, every column of the tables, and the schema of a study file."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

import brainuad
from brainuad import metrics
from brainuad.config import anomalies, datasets, evaluate, insertion, postprocessing, reading, recipe, study
from brainuad.config.model import Combination, MethodSettings, families, settings_class
from brainuad.config.model import schema as models_schema
from brainuad.config.section import Section
from brainuad.download.catalogue import datasets_page
from brainuad.formats import ceilings, missing, quality, tables
from brainuad.formats.handling import Topic
from brainuad.jobs.base import Job
from brainuad.jobs.registry import STAGE_OF, job_class, job_module
from brainuad.multiverse import rescore
from brainuad.papers.catalogue import models_page

ARCHITECTURE = Path("docs/architecture.md")
WITH_SEQUENCES = "in studies of several sequences: "
HEAD = "<!-- Made from the code by `make docs`; change it there. -->\n"
PARTS: dict[str, list[Any]] = {
    "A study": [study.Study],
    "Data sets": [
        *(datasets.Bids, datasets.Table, datasets.Known, datasets.OpenNeuro, datasets.Phantoms),
        *(datasets.Inserted, datasets.Artificial, datasets.Corrupted, datasets.Split),
        reading.Reading,
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
    "Evaluation, machines, pages": [evaluate.Evaluate, study.Compute, study.Track, study.Report],
}


WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}
"""Types of JSON schemas."""


def settings_page() -> str:
    """Every settings class with its keys, defaults and meaning."""
    settings = _Settings([part for parts in PARTS.values() for part in parts])
    lines = [HEAD, "# Settings", "", "Unknown keys are refused. A key without a default must be given.", ""]
    lines += ["Text stays as it is written: `no`, `010` and `12:30` need no quotes; `true`, `false` and `null` do.", ""]
    lines += [
        "In a study file `recipe` is the name of a file in `config/recipes/`, or `{use, label, set}`; a model is",
        "the name of a file in `config/models/`, nothing where that is its label, or `{use, set, sweep, maps}`:",
        "without `use` the file that is called like the label is meant, and",
        "`maps` names further `map` settings for the same training; an ensemble is `{use: ensemble, of, by, weights}`",
        "with the labels of models; a postprocessing is the name of a file in `config/postprocessing/` or a list of",
        "operators. Editors can check a study file with the schema `config/study.schema.json`.",
    ]
    for title, classes in PARTS.items():
        lines += ["", f"## {title}"]
        for section in classes:
            lines += settings.described(settings.names[section])
    return "\n".join(lines) + "\n"


def columns_page() -> str:
    """Every column of the tables that evaluate writes, and the names of the metrics."""
    lines = [HEAD, "# Tables", "", "Tab-separated, numbers to six digits, in `results/<study>/evaluate/`."]
    for name in ("METRICS", "SCANS", "LESIONS", "COMPARISONS", "CURVES"):
        lines += ["", f"## {name.lower()}.tsv", "", "| column | meaning |", "| --- | --- |"]
        lines += [f"| `{column}` | {meaning} |" for column, meaning in getattr(tables, name).items()]
        further = tables.OF_SEQUENCES if name == "SCANS" else {}
        lines += [f"| `{column}` | {WITH_SEQUENCES}{meaning} |" for column, meaning in further.items()]
    lines += ["", "## missing.tsv", "", "Only where evaluations are missing from the tables beside it.", ""]
    lines += ["| column | meaning |", "| --- | --- |"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in missing.COLUMNS.items()]
    lines += ["", "## ceilings.tsv", "", "In `results/<study>/ceilings/<data set>/`.", ""]
    lines += ["| column | meaning |", "| --- | --- |"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in ceilings.COLUMNS.items()]
    lines += ["", "## multiverse.tsv", "", "In `results/<study>/multiverse/`, by `brainuad multiverse`.", ""]
    lines += ["| column | meaning |", "| --- | --- |"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in rescore.COLUMNS.items()]
    lines += ["", "## quality.tsv", "", "In `results/<study>/preprocess/<data set>/`.", ""]
    lines += ["| column | meaning |", "| --- | --- |"]
    lines += [f"| `{column}` | {meaning} |" for column, meaning in quality.COLUMNS.items()]
    lines += [f"| `{column}` | {WITH_SEQUENCES}{meaning} |" for column, meaning in quality.OF_SEQUENCES.items()]
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
            "of": {"type": "array", "items": name},
            "by": {"enum": list(get_args(Combination))},
            "weights": {"type": "object"},
        },
        "required": ["use"],
        "additionalProperties": False,
    }
    del properties["recipe_name"]
    properties["recipe"] = {"description": properties["recipe"].get("description", ""), "anyOf": [name, use]}
    beside = {key: value for key, value in use.items() if key != "required"}  # a model's `use` may be its label
    for key, own, whole in (("models", beside, {"type": "null"}), ("postprocessing", use, {"type": "array"})):
        described = {"description": properties[key].get("description", ""), "type": "object"}
        properties[key] = {**described, "additionalProperties": {"anyOf": [name, own, whole]}}
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
    return _with_table(ARCHITECTURE, "jobs", jobs_table())


def handled_table() -> str:
    """What is accepted, converted, warned of and refused: the rows that modules declare beside their code."""
    rows = [row for name in _modules_with("HANDLED") for row in import_module(name).HANDLED]
    rows.sort(key=lambda row: get_args(Topic).index(row.topic))
    lines = [f"| {row.topic} | {_one_line(row.case)} | {row.answer} | {_one_line(row.how)} |" for row in rows]
    return "\n".join(["| | input | | what is done |", "| --- | --- | --- | --- |", *lines]) + "\n"


def data_page() -> str:
    """The page as it is, with the table of what is accepted, converted and refused made anew between its marks."""
    return _with_table(Path("docs/data.md"), "handled", handled_table())


def model_schema() -> str:
    """JSON schema of a file in `config/models/`, of any family."""
    return json.dumps(models_schema(), indent=1, sort_keys=True) + "\n"


PAGES: dict[Path, Callable[[], str]] = {
    ARCHITECTURE: architecture_page,
    Path("docs/data.md"): data_page,
    Path("docs/settings.md"): settings_page,
    Path("docs/columns.md"): columns_page,
    Path("docs/models.md"): lambda: models_page(HEAD),
    Path("docs/datasets.md"): lambda: datasets_page(HEAD),
    Path("config/study.schema.json"): schema,
    Path("config/model.schema.json"): model_schema,
}


def _with_table(page: Path, name: str, table: str) -> str:
    """The page with another table between its marks of this name."""
    start, end = f"<!-- {name}: made from the code by `make docs` -->\n", f"<!-- end of {name} -->"
    before, rest = page.read_text(encoding="utf-8").split(start)
    return before + start + table + end + rest.partition(end)[2]


def _modules_with(constant: str) -> list[str]:
    """Modules of the package that define this constant, by name."""
    package = Path(brainuad.__file__).parent
    defines = re.compile(rf"^{constant}\b.*=", re.MULTILINE)
    paths = sorted(path for path in package.rglob("*.py") if defines.search(path.read_text(encoding="utf-8")))
    return [".".join(("brainuad", *path.relative_to(package).with_suffix("").parts)) for path in paths]


def _computing_functions(job: type[Job], stage: str) -> list[str]:
    """What a job's `run` imports and calls: functions of its stage, or of formats where it needs no more."""
    nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(job.run)))))
    imported = {
        name.name: f"{node.module}.{name.name}".removeprefix("brainuad.")
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }
    called: dict[str, None] = {}
    for call in (node.func for node in nodes if isinstance(node, ast.Call)):
        match call:
            case ast.Name(name) if name in imported and name.islower():
                called[imported[name]] = None
            case ast.Attribute(ast.Name(module), name) if module in imported and module.islower():
                called[f"{imported[module]}.{name}"] = None
    return [name for name in called if name.startswith(f"{stage}.")] or list(called)


class _Settings:
    """Settings classes as tables, from pydantic's JSON schemas."""

    def __init__(self, classes: list[type[Section]]):
        listed = [(section, "validation") for section in classes]
        names, schemas = models_json_schema(listed, ref_template="{model}")  # type: ignore[arg-type]
        self.sections: dict[str, Any] = schemas["$defs"]
        self.names: dict[type[Section], str] = {part: names[part, "validation"]["$ref"] for part in classes}
        self.headings = {name: section["title"] for name, section in self.sections.items()}
        self.headings |= {name: _heading(part) for part, name in self.names.items()}
        self.written = {name for name, section in self.sections.items() if not section.get("properties")}

    def described(self, name: str) -> Iterator[str]:
        """A section as a table, then those that its keys hold, each once."""
        if name in self.written:
            return
        self.written.add(name)
        section = self.sections[name]
        yield from ("", f"### {self.headings[name]}", "", _one_line(section.get("description")), "")
        yield from ("| key | takes | default | meaning |", "| --- | --- | --- | --- |")
        for key, field in section["properties"].items():
            default = "—" if key in section.get("required", ()) else _default(field)
            yield f"| `{key}` | {self.takes(field)} | {default} | {_one_line(field.get('description'))} |"
        for inner in _references(section):
            if inner not in self.names.values():
                yield from self.described(inner)

    def takes(self, field: dict[str, Any]) -> str:
        """The JSON schema of a value in words."""
        signs = {">": "exclusiveMinimum", "≥": "minimum", "<": "exclusiveMaximum", "≤": "maximum"}
        limits = [f"{sign} {field[name]:.10g}" for sign, name in signs.items() if name in field]
        return " ".join([self._type(field), *([" and ".join(limits)] if limits else [])])

    def _type(self, field: dict[str, Any]) -> str:
        match field:
            case {"$ref": name}:
                return self.headings[name]
            case {"enum": values}:
                return " \\| ".join(f"`{value}`" for value in values)
            case {"const": value}:
                return f"`{value}`"
            case {"anyOf": choices} | {"oneOf": choices}:
                return " or ".join(dict.fromkeys(map(self.takes, choices)))
            case {"prefixItems": parts}:
                return f"[{', '.join(map(self.takes, parts))}]"
            case {"type": "array"}:
                return f"list of {self.takes(field.get('items', {}))}"
            case {"type": "object"}:
                values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
                return f"label to {self.takes(values[0])}" if isinstance(values[0], dict) else "a section"
            case {"type": kind}:
                return WORDS[kind]
        return "anything"


def _heading(section: type[Section]) -> str:
    """The name of a family for its settings, which are all called `Settings`; else the name of the class."""
    if not issubclass(section, MethodSettings) or isabstract(section):
        return section.__name__
    return str(get_args(section.model_fields["family"].annotation)[0])


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if "default" not in field or (value and not isinstance(value, str) and _references(field)):
        return "its own defaults"
    return f"`{json.dumps(value)}`"


def _references(schema: dict[str, Any]) -> list[str]:
    """Names of the sections that a schema holds."""
    return re.findall(r'"\$ref": "(\w+)"', json.dumps(schema))


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()
