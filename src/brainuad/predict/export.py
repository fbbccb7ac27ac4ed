"""`brainuad export`: a trained model of a finished study as one file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad.config import templates
from brainuad.config.load import hint, load_study
from brainuad.config.study import Study
from brainuad.errors import InputError
from brainuad.evaluate.collect import scores_of_people
from brainuad.formats import bundle as bundles
from brainuad.formats import checksums, maps, model_file, run, tensors, thresholds
from brainuad.formats.files import read_json
from brainuad.formats.model_file import FileThreshold, Grid, Manifest, Part
from brainuad.images.template import fingerprint
from brainuad.layout import Layout
from brainuad.metrics.conformal import highest_of_each
from brainuad.normalize.scaling import AFFINE, SHAPE
from brainuad.resources.recording import versions
from brainuad.sharing import NAME as SOURCES

BEST, ENSEMBLE = "best-of-validation", "ensemble"
RERUN = "run the study again, so that its results fit its file"


@dataclass(frozen=True)
class Wanted:
    """What is exported of a study."""

    model: str
    seed: str | None = None
    """None: the study's first seed."""
    postprocessing: str | None = None
    """Label; None: the study's first."""
    licence: Path | None = None
    """File with the text of the licence under which the model may be used."""


def export(file: Path, folder: Path, wanted: Wanted, out: Path) -> list[str]:
    """Write the model file `out`; what to show.

    `file`: of the study; `folder`: its results, wherever they lie now. Raises InputError for a model, seed or
    postprocessing that the study does not have, and for results that are missing, altered or do not fit the study.
    """
    study = load_study(file)
    layout = _layout(study, folder)
    model = _known("model", wanted.model, list(study.models))
    seed = int(_known("seed", wanted.seed or str(study.seeds[0]), [str(each) for each in study.seeds]))
    label = _known("postprocessing", wanted.postprocessing or next(iter(study.postprocessing)), [*study.postprocessing])
    reference = layout.training_sets()[0]
    parts = [_part(layout, each, seed, reference) for each in _with_members(study, model)]
    with tempfile.TemporaryDirectory(prefix="brainuad-") as place:
        members = Path(place)
        for name in dict.fromkeys(part.bundle for part in parts):
            bundles.write(members / model_file.MODELS / name, bundles.read(layout.folder / "train" / name))
        main = bundles.read(layout.folder / "train" / parts[-1].bundle)
        manifest = Manifest(
            name=out.name.removesuffix(model_file.SUFFIX),
            study=study.study,
            label=model,
            seeds=[seed],
            modality=study.scan_sets()[reference].modality,
            lesion_sign=study.lesion_sign,
            parts=parts,
            recipe=_recipe(layout, reference),
            template={"name": study.recipe.preprocess.template, "sha256": fingerprint(templates.BUNDLED)},
            grid=_grid(layout),
            postprocessing=_postprocessing(layout, (model, seed, reference), label),
            thresholds=_thresholds(layout, (model, seed, reference), label),
            healthy_scores=_healthy_scores(layout, model, seed, reference),
            healthy_scans=_healthy_in_words(layout, reference),
            erode_voxels=study.evaluate.erode_voxels,
            training=main.about["training"]["labels"],
            versions=versions(),
            threads=study.compute.threads,
            licence=_licence(wanted.licence),
        )
        model_file.write(out, manifest, members)
    return [f"wrote {out}"]


def _layout(study: Study, folder: Path) -> Layout:
    """The layout of results that may have moved; refuses those of another study, or of an earlier version of it."""
    folder = folder.resolve()
    if folder.name != study.study:
        why = f"the study file is that of {study.study}"
        raise InputError(
            f"{folder.name} is not the folder of this study", why=why, do="name its study file with --study"
        )
    if study.recipe.preprocess.template != templates.BUNDLED:
        why = f"its recipe uses {Path(study.recipe.preprocess.template).name}, which is not part of brainuad"
        raise InputError("a model with a template of your own cannot be exported", why=why, do="use mni152")
    return Layout(study.model_copy(update={"results": str(folder.parent)}))


def _known(what: str, name: str, names: list[str]) -> str:
    if name not in names:
        raise InputError(f"the study has no {what} {name}", why=f"it has {', '.join(names)}", do=hint(name, names))
    return name


def _with_members(study: Study, model: str) -> Iterator[str]:
    """The models that a model is made of, and itself, last."""
    for member in study.models[model].member_labels():
        yield from _with_members(study, member)
    yield model


def _part(layout: Layout, label: str, seed: int, dataset: str) -> Part:
    """A model as its maps were made; refuses a training or maps with other settings than the study file has."""
    study = layout.study
    record, settings = run.read(layout.maps(label, seed, dataset) / run.NAME), study.models[label]
    place = layout.bundle(label, seed)
    trained, stated = bundles.read(place).about["model"], settings.pinned().model_dump(mode="json")
    _require_equal(f"training of {label}", trained, {key: stated[key] for key in stated if key not in ("map", "cite")})
    _require_equal(f"map of {label}", record["settings"]["map"], stated["map"])
    return Part(label=label, bundle=f"{place.parent.name}/{place.name}", map=record["settings"]["map"])


def _require_equal(what: str, done: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Raises InputError unless results were made with the settings of the study file."""
    ours = json.loads(json.dumps(stated))
    keys = [key for key in sorted(done.keys() | ours.keys()) if key != "cite" and done.get(key) != ours.get(key)]
    if keys:
        why = f"{keys[0]} was {done.get(keys[0])}, and is {ours.get(keys[0])} in the study file"
        raise InputError(f"the {what} is of an earlier version of the study", why=why, do=RERUN)


def _recipe(layout: Layout, dataset: str) -> dict[str, Any]:
    recipe = layout.study.recipe.model_dump(mode="json")
    done = run.read(layout.array_cache(dataset) / run.NAME)["settings"]
    _require_equal("array cache", done, recipe["normalize"])
    claimed = read_json(layout.folder / SOURCES)["preprocess"]
    _require_equal("preprocessing", claimed, {k: v for k, v in recipe["preprocess"].items() if k != "quality"})
    return {"preprocess": recipe["preprocess"], "normalize": recipe["normalize"]}


def _grid(layout: Layout) -> Grid:
    arrays = tensors.read(layout.scaling(), RERUN)
    x, y, z = arrays[SHAPE].tolist()
    return Grid(shape=(x, y, z), affine=arrays[AFFINE].tolist())


def _postprocessing(layout: Layout, job: tuple[str, int, str], label: str) -> dict[str, Any]:
    done = run.read(layout.predicted(*job, label) / run.NAME)["settings"]["postprocessing"]
    _require_equal("postprocessing", done, layout.study.postprocessing[label].model_dump(mode="json"))
    return {"label": label, "operators": done["operators"]}


def _thresholds(layout: Layout, job: tuple[str, int, str], label: str) -> dict[str, FileThreshold]:
    folder = layout.predicted(*job, label)
    same = {"model": job[0], "seed": str(job[1]), "dataset": job[2], "postprocessing": label}
    maps.checked(folder, same, maps=checksums.read(layout.maps(*job)).seal)
    return {
        rule: FileThreshold(value=each.value, source=each.source, scans=len(each.scans))
        for rule, each in thresholds.read(folder).items()
        if each.value is not None
    }


def _healthy_scores(layout: Layout, model: str, seed: int, dataset: str) -> list[float]:
    role = layout.calibration_role(dataset)
    scores = [
        score
        for label in layout.calibration_sets(dataset)
        for score in scores_of_people(layout.maps(model, seed, label), layout.array_cache(label), role, healthy=True)
    ]
    return [float(score) for score in highest_of_each(scores)]


def _healthy_in_words(layout: Layout, dataset: str) -> str:
    return f"{layout.calibration_role(dataset)} scans of {', '.join(layout.calibration_sets(dataset))}"


def _licence(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError("cannot read the licence", file=path, why=str(error), do="name a text file") from None
