"""Reads a study file and the files that it names, applies overrides and sweeps, and explains mistakes."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from brainuad.config.datasets import AnyDataset
from brainuad.config.model import ENSEMBLE, MethodSettings, families, settings_class
from brainuad.config.postprocessing import POSTPROCESSING
from brainuad.config.recipe import Recipe
from brainuad.config.renamed import RENAMED_SOURCES, new_name
from brainuad.config.study import LABEL, Study
from brainuad.config.yaml_text import UNWRITTEN, WrittenFloat, WrittenInt, read_yaml
from brainuad.errors import ConfigError

SHIPPED = {"models": "model", "recipes": "recipe", "postprocessing": "postprocessing"}
"""Folders of files that a study names, and what one of them is called."""
TEXT_EXPECTED = ("string_type", "literal_error")
"""Errors of pydantic where it wants text."""
MOST_MODELS = 1000
MOST_NEAR = 3
"""Similar names that a message has."""
BESIDE_USE = ("use", "set", "sweep", "maps", "label")
OF_ENSEMBLES = ("of", "by", "weights")
"""Keys that stand beside `use` where the model is an ensemble: a short spelling of `set`."""
ON_THE_NODE = ("compute", "scratch")
"""The setting whose `${NAME}` is replaced by the job that reads it."""


def load_study(path: str | Path) -> Study:
    """Read and check a study file. Raises ConfigError for any mistake, before a job starts."""
    return build_study(read_yaml(Path(path)), path)


def study_content(files: Sequence[Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The content of study files laid on each other, and of `--config`, as Snakemake lays them.

    Snakemake's own reader takes `ses: 010` for session 8 and `no` for false, so the files are read again.
    """
    content: dict[str, Any] = {}
    for each in [*map(read_yaml, files), overrides]:
        content = _laid_on(content, each)
    return content


def build_study(raw: dict[str, Any], file: str | Path) -> Study:
    """Check the content of a study `file`; models, recipes and postprocessings are read from the `config/` near it."""
    folder = config_folder(Path(file))
    content = {key: value for key, value in raw.items() if not (key == "recipe" and isinstance(value, str))}
    if isinstance(name := raw.get("recipe"), str):
        content |= {"recipe_name": name, "recipe": _named(folder, "recipes", name, file)}
    elif isinstance(name, dict):
        if name.get("label") is None:
            do = "write recipe: {use: <name>, label: <own name>, set: {...}}"
            raise ConfigError("a changed recipe needs a label", file=file, do=do)
        content |= {"recipe_name": name["label"], "recipe": _resolved(folder, "recipes", name, file)}
    else:
        meant = None if "recipe" in raw else next((key for key in raw if _nearest(str(key), ["recipe"])), None)
        if meant:
            raise ConfigError(f"unknown key {meant}", file=file, do="did you mean recipe?")
        why = "it is " + _in_words(name) if "recipe" in raw else "there is none"
        do = "name one: there are " + ", ".join(shipped("recipes", folder))
        raise ConfigError("recipe must name a recipe", file=file, why=why, do=do)
    models: dict[str, Any] = {}
    for label, use in _mapping(raw, "models", file).items():
        for name, settings in _swept(folder, str(label), use, file):
            if name in models:
                raise ConfigError(f"two models are called {name}", file=file, do="give one another label")
            models[name] = settings
            if len(models) > MOST_MODELS:
                why = f"with all values of sweep there are more than {MOST_MODELS} models"
                raise ConfigError("there are too many models", file=file, why=why, do=f"shorten models.{label}.sweep")
    content["models"] = _with_members(folder, models, file)
    if "postprocessing" in raw:
        postprocessing = _mapping(raw, "postprocessing", file)
        content["postprocessing"] = {label: _operators(folder, use, file) for label, use in postprocessing.items()}
    _check_parts(content, file)
    _check_members(content["models"], file)
    content = _expanded(content, file)
    if isinstance(content.get("datasets"), dict):
        content["datasets"] = dict(_present(content["datasets"], file))
    return _validated(TypeAdapter(Study), content, file)


def shipped(part: str, folder: Path) -> list[str]:
    """Names of the model, recipe or chain files."""
    return sorted(path.stem for path in (folder / part).glob("*.yaml"))


def hint(name: str, names: list[str]) -> str:
    """A remedy for a name that is not among these: the most similar one, or the list."""
    near = _nearest(name, names)
    return f"did you mean {near}?" if near else f"there {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def config_folder(file: Path) -> Path:
    """The nearest `config/` with models and recipes, upwards from the study file, from here, or from the code."""
    for start in (file.resolve().parent, Path.cwd(), Path(__file__).parent):
        for parent in (start, *start.parents):
            for folder in (parent, parent / "config"):
                if (folder / "models").is_dir() and (folder / "recipes").is_dir():
                    return folder
    raise ConfigError("no folder with models and recipes", file=file, do="run from a clone of brainuad")


def _mapping(raw: dict[str, Any], key: str, file: str | Path) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        do = f"write `{key}:` and below it `  <label>: ...` lines"
        raise ConfigError(f"{key} must map labels to settings", file=file, why="it is " + _in_words(value), do=do)
    return value


def _in_words(value: Any) -> str:
    """What kind of thing stands in a file where another was wanted."""
    kinds: list[tuple[type, str]] = [(type(None), "empty"), (list, "a list"), (dict, "a mapping")]
    kinds += [(bool, "true or false"), (int, "a number"), (float, "a number")]
    return next((word for kind, word in kinds if isinstance(value, kind)), f"the text {str(value)[:40]}")


def _named(folder: Path, part: str, name: Any, file: str | Path) -> dict[str, Any]:
    names = shipped(part, folder)
    if name not in names:
        why = f"{folder / part} has no {name}.yaml"
        raise ConfigError(f"there is no {SHIPPED[part]} {name}", file=file, why=why, do=hint(str(name), names))
    return read_yaml(folder / part / f"{name}.yaml")


def _resolved(folder: Path, part: str, use: Any, file: str | Path) -> dict[str, Any]:
    """The content of `{use: name, set: {...}}`, or of a bare name."""
    if isinstance(use, str):
        return _named(folder, part, use, file)
    if not isinstance(use, dict) or "use" not in use:
        do = "`brainuad models` lists them" if part == "models" else "there are " + ", ".join(shipped(part, folder))
        raise ConfigError(f"a {SHIPPED[part]} needs `use: <name>`", file=file, why=_without_use(use), do=do)
    named = _named(folder, part, use["use"], file)
    short = OF_ENSEMBLES if named.get("family") == ENSEMBLE else ()
    for key in use:
        if key not in (*BESIDE_USE, *short):
            near = _nearest(str(key), [*BESIDE_USE, *short])
            where = f"write it below set: `set: {{{key}: ...}}`" if key in named else near and f"did you mean {near}?"
            raise ConfigError(f"unknown key {key} beside use: {use['use']}", file=file, do=where)
    over = use.get("set") or {}
    if not isinstance(over, dict):
        raise ConfigError(f"set beside use: {use['use']} must map keys to values", file=file, why=f"it is {over!r}")
    if isinstance(members := named.get("members"), dict):
        named = {**named, "members": {name: _as_use(each) for name, each in members.items()}}
    settings = _merged(named, over)
    of = {key: use[key] for key in short if key in use}
    return _merged(settings, _of_ensemble(of)) if of else settings


def _without_use(use: Any) -> str:
    return "there is none" if isinstance(use, dict) else "it is " + _in_words(use)


def _of_label(folder: Path, place: str, label: str, use: Any, file: str | Path) -> Any:
    """What a model uses: without `use`, the file that is called like its label. `place`: of the label, in the study."""
    if use is not None and not (isinstance(use, dict) and use.get("use") is None):
        return use
    names = shipped("models", folder)
    if use is None or label in names:
        return label if use is None else {**use, "use": label}
    close = difflib.get_close_matches(label, names, n=MOST_NEAR)
    do = f"{f'did you mean {_or(close)}? Else write' if close else 'write'} `{label}: {{use: <name>, ...}}`"
    why = f"without `use` it is the model {label}, and there is none"
    raise ConfigError(
        f"{place}{label} names no model", file=file, why=why, do=f"{do}; `brainuad models` lists the names"
    )


def _or(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _as_use(name: Any) -> Any:
    """`{use: name}` of a bare name, so that `set` can be laid on it."""
    return {"use": name} if isinstance(name, str) else name


def _of_ensemble(short: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the keys in `OF_ENSEMBLES` stand for."""
    of = {"of": short["of"]} if "of" in short else {}
    return {**of, "map": {key: value for key, value in short.items() if key != "of"}}


def _swept(folder: Path, label: str, use: Any, file: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """One model, or one per combination of swept values; `latent: [32, 64]` gives `<label>_latent32`, ...

    Each is followed by its `maps`: the same model with other `map` settings, as `<label>_<name of the map>`.
    """
    base = _resolved(folder, "models", _of_label(folder, "models.", label, use, file), file)
    sweep, maps = ((use.get(key) or {}) if isinstance(use, dict) else {} for key in ("sweep", "maps"))
    if not isinstance(maps, dict) or not all(isinstance(over, dict) for over in maps.values()):
        raise ConfigError(f"models.{label}.maps must map names to settings of map", file=file, why=f"it is {maps!r}")
    if not isinstance(sweep, dict):
        why = "it is " + _in_words(sweep)
        raise ConfigError(f"models.{label}.sweep must map keys to lists of values", file=file, why=why)
    for key, values in sweep.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"models.{label}.sweep.{key} must be a list of values", file=file, why=f"it is {values!r}"
            )
    for values in itertools.product(*sweep.values()):
        settings, suffix = base, ""
        for key, value in zip(sweep, values, strict=True):
            *parents, last = str(key).split(".")
            nested: Any = {last: value}
            for parent in reversed(parents):
                nested = {parent: nested}
            settings = _merged(settings, nested)
            suffix += "_" + re.sub(r"[^a-z0-9]+", "_", f"{last}{value}".lower()).strip("_")
        yield label + suffix, settings
        for name, over in maps.items():
            yield f"{label}{suffix}_{name}", _merged(settings, {"map": over})


def _with_members(folder: Path, models: dict[str, dict[str, Any]], file: str | Path) -> dict[str, dict[str, Any]]:
    """The models, each one that is made of `members` followed by these, as `<label>_<name>`.

    A member that is a model of the study already, with the same settings, is that model.
    """
    known, found = dict(models), {}
    for label, settings in models.items():
        for name, each in _composed(folder, label, settings, known, file):
            found[name] = each
            if len(found) > MOST_MODELS:
                raise ConfigError("there are too many models", file=file, why=f"{label} is made of itself")
    return found


def _composed(
    folder: Path, label: str, model: dict[str, Any], known: dict[str, dict[str, Any]], file: str | Path
) -> Iterator[tuple[str, dict[str, Any]]]:
    """An ensemble whose `of` names its members, then those of them that are not `known`; any other model alone.

    Sequences that the ensemble is to see are those of its members.
    """
    members = model.get("members")
    if not isinstance(members, dict) or not members:
        yield label, model
        return
    seen = {"modalities": model["modalities"]} if model.get("modalities") else {}
    labels: dict[str, str] = {}
    new: dict[str, dict[str, Any]] = {}
    for name, use in members.items():
        if use is None:
            continue
        if isinstance(use, dict) and (odd := [key for key in use if key not in ("use", "set", *OF_ENSEMBLES)]):
            raise ConfigError(f"models.{label}.members.{name}: unknown key {odd[0]}", file=file, do="use and set alone")
        use = _of_label(folder, f"models.{label}.members.", name, use, file)
        settings = {**seen, **_resolved(folder, "models", use, file)}
        same = next((other for other, each in known.items() if other != label and each == settings), None)
        labels[name] = same or f"{label}_{name}"
        if same is None:
            if labels[name] in known:
                why = f"{label} has a member {name}"
                raise ConfigError(f"two models are called {labels[name]}", file=file, why=why, do="rename the other")
            known[labels[name]] = new[labels[name]] = settings
    made = {key: value for key, value in model.items() if key not in ("members", "modalities")}
    for key in ("weights", "alone"):
        if isinstance(how := made.get("map"), dict) and isinstance(named := how.get(key), dict):
            kept = {name: value for name, value in named.items() if members.get(name, "") is not None}
            made["map"] = {**how, key: {labels.get(name, name): value for name, value in kept.items()}}
    yield label, {**made, "of": [*made.get("of", []), *labels.values()]}
    for name, settings in new.items():
        yield from _composed(folder, name, settings, known, file)


def _check_members(models: Mapping[str, dict[str, Any]], file: str | Path) -> None:
    """Raise ConfigError for an ensemble of nothing, of a model that is not there, or of itself."""
    ensembles = {label: model.get("of", []) for label, model in models.items() if model["family"] == ENSEMBLE}
    for label, members in ensembles.items():
        if not members:
            do = f"write of: [...] with labels of the study: {', '.join(name for name in models if name != label)}"
            raise ConfigError(f"models.{label}.of: an ensemble needs its members", file=file, do=do)
        for name in members:
            if name not in models:
                do = hint(name, [other for other in models if other != label])
                raise ConfigError(f"models.{label}.of: the study has no model {name}", file=file, do=do)
    try:
        TopologicalSorter(ensembles).prepare()
    except CycleError as error:
        circle = " of ".join(reversed(error.args[1]))
        raise ConfigError("an ensemble is made of itself", file=file, why=circle, do="take one out of `of`") from None


def _operators(folder: Path, use: Any, file: str | Path) -> dict[str, Any]:
    return {"operators": use} if isinstance(use, list) else _named(folder, "postprocessing", use, file)


def _present(datasets: dict[str, Any], file: str | Path) -> Iterator[tuple[str, Any]]:
    """The data sets without those that are optional and not there, which are nobody's controls either."""
    there = dict(_without_absent(datasets, file))
    for label, settings in there.items():
        if isinstance(settings, dict) and isinstance(controls := settings.get("controls"), list):
            kept = [name for name in controls if name in there or name not in datasets]
            yield label, {**settings, "controls": kept}
        else:
            yield label, settings


def _without_absent(datasets: dict[str, Any], file: str | Path) -> Iterator[tuple[str, Any]]:
    """Faults of the settings of optional data sets are reported first."""
    for label, settings in datasets.items():
        if isinstance(settings, dict) and settings.get("optional"):
            checked = _validated(TypeAdapter(AnyDataset), settings, file, f"datasets.{label}")
            if checked.optional and not (place := checked.location).exists():
                print(f"note: {label} is left out, there is no {place}", file=sys.stderr)  # noqa: T201
                continue
        yield label, settings


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; giving `epochs` or `steps` replaces the other."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    for key, other in (("epochs", "steps"), ("steps", "epochs")):
        if over.get(key) is not None and other not in over:
            merged.pop(other, None)
    return merged


def _laid_on(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(base)
    for key, value in over.items():
        old = laid.get(key)
        laid[key] = _laid_on(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return laid


def _expanded(content: Any, file: str | Path, place: tuple[str, ...] = ()) -> Any:
    """Replace `${NAME}` by the environment, but `ON_THE_NODE`; raises ConfigError if it is not set.

    `place`: the keys that lead to `content`.
    """
    if isinstance(content, dict):
        return {key: _expanded(value, file, (*place, key)) for key, value in content.items()}
    if isinstance(content, list):
        return [_expanded(value, file, (*place, "")) for value in content]
    if not isinstance(content, str) or place == ON_THE_NODE:
        return content

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if not os.environ.get(name):
            do = f"export {name}=/folder/of/the/data, then run the same command again"
            raise ConfigError(f"the environment variable {name} is not set", file=file, do=do)
        return os.environ[name]

    return re.sub(r"\$\{(\w+)\}", value, content)


def _check_parts(content: dict[str, Any], file: str | Path) -> None:
    """Check recipe, models and chains on their own, so that the message names the part."""
    if isinstance(content.get("recipe"), dict):
        _validated(TypeAdapter(Recipe), content["recipe"], file, "recipe")
    for label, model in content["models"].items():
        _validated(TypeAdapter(_settings_of(model, file, label)), model, file, f"models.{label}")
    for label, postprocessing in content.get("postprocessing", {}).items():
        _validated(POSTPROCESSING, postprocessing, file, f"postprocessing.{label}")


def _settings_of(model: dict[str, Any], file: str | Path, label: str) -> type[MethodSettings]:
    """The settings class of a model's family."""
    family, names = model.get("family"), families()
    if family not in names:
        what = f"there is no family {family}" if family else "a model needs its family"
        raise ConfigError(f"models.{label}.family: {what}", file=file, do=hint(str(family), names))
    return settings_class(family)


def _validated(adapter: TypeAdapter[Any], content: Any, file: str | Path, prefix: str = "") -> Any:
    """The settings. A number where text is asked for becomes the text that was written."""
    texts: dict[int, str] = {}
    while True:
        try:
            return adapter.validate_python(_with_texts(content, texts) if texts else content)
        except ValidationError as error:
            given = [each["input"] for each in error.errors(include_url=False) if each["type"] in TEXT_EXPECTED]
            numbers = {id(value): value.text for value in given if isinstance(value, WrittenInt | WrittenFloat)}
            if not numbers:
                raise _explained(error, adapter, content, file, prefix) from None
            texts |= numbers


def _with_texts(content: Any, texts: Mapping[int, str]) -> Any:
    """The content with other values for the objects with these ids."""
    if isinstance(content, dict):
        return {key: _with_texts(value, texts) for key, value in content.items()}
    if isinstance(content, list):
        return [_with_texts(value, texts) for value in content]
    return texts.get(id(content), content)


def _explained(
    error: ValidationError, adapter: TypeAdapter[Any], content: Any, file: str | Path, prefix: str
) -> ConfigError:
    """The first mistake as `what`, the number of further ones as `why`; unknown keys get the nearest valid name."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: (e["type"] != "extra_forbidden", e["type"] != "union_tag_invalid"))
    place = ".".join([prefix] * bool(prefix) + _written(first["loc"], content, first["type"] == "missing"))
    others = len(errors) - 1
    more = None if others == 0 else "there is 1 more fault" if others == 1 else f"there are {others} more faults"
    if first["type"] == "extra_forbidden" and (new := new_name(place)):
        gone = new.startswith("gone")
        what, do = (f"{place} is {new}", "delete the key") if gone else (f"{place} is now {new}", "write the new name")
        return ConfigError(what, file=file, why=more, do=do)
    if first["type"] == "union_tag_invalid" and (tag := RENAMED_SOURCES.get(first["ctx"]["tag"])):
        what = f"{place}: source: {first['ctx']['tag']} is now source: {tag}"
        return ConfigError(what, file=file, why=more, do="write the new name")
    if first["type"] == "extra_forbidden":
        near = _nearest(str(first["loc"][-1]), _keys(adapter.json_schema()))
        return ConfigError(
            f"unknown key {place}", file=file, why=more, do=f"did you mean {near}?" if near else "remove it"
        )
    if first["type"] == "union_tag_invalid" and first["ctx"]["discriminator"] == "'source'":
        tag, tags = first["ctx"]["tag"], re.findall("'([^']+)'", first["ctx"]["expected_tags"])
        return ConfigError(f"{place}: there is no source {tag}", file=file, why=more, do=hint(tag, tags))
    message = first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] in ("missing", "value_error") else f" (it is {str(first['input'])[:60]!r})"
    what = f"{place}: {message}{given}" if place else message
    do = "docs/settings.md says what each key takes"
    if first["type"] in TEXT_EXPECTED and isinstance(first["input"], UNWRITTEN):
        do = "write it in quotes"
    if first["input"] is None and first["type"] != "missing":
        do = "write a value, or remove the key; the text null must be in quotes"
    if first["type"] == "string_pattern_mismatch" and first["ctx"]["pattern"] == LABEL:
        do = "use small letters, digits and _"
    return ConfigError(what, file=file, why=more, do=do)


def _written(place: tuple[str | int, ...], content: Any, missing: bool) -> list[str]:
    """The keys of a place that the user's file has; pydantic adds the kinds of data sets, models and operators."""
    kept = []
    for key in place:
        if key in content if isinstance(content, Mapping) else isinstance(content, list):
            kept.append(str(key))
            content = content[key]
    return kept + [str(key) for key in place[-1:] if missing]


def _keys(schema: Any) -> list[str]:
    """Every property name in a JSON schema."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", {}))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema)
    return sorted(found)


def _nearest(name: str, names: list[str]) -> str | None:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return close[0] if close else None
