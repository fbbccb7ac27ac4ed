"""`brainuad export`: a trained model of a finished study as one file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from brainuad.config import templates
from brainuad.config.datasets import Modality, Sign
from brainuad.config.load import hint, load_study
from brainuad.config.model import validate
from brainuad.config.section import flat
from brainuad.config.study import Study
from brainuad.config.told import listed
from brainuad.errors import InputError
from brainuad.evaluate.collect import scores_of_people
from brainuad.formats import array_cache, checksums, leftovers, maps, model_file, quality, run, tensors, thresholds
from brainuad.formats import bundle as bundles
from brainuad.formats.array_cache import scaling_by_sequence
from brainuad.formats.bundle import Bundle
from brainuad.formats.files import read_json
from brainuad.formats.model_file import FileThreshold, Grid, Manifest, ModelFile, Part
from brainuad.images.template import fingerprint
from brainuad.layout import Layout
from brainuad.methods import registry
from brainuad.metrics.conformal import highest_of_each
from brainuad.normalize.scaling import AFFINE, SHAPE
from brainuad.predict import card, likeness, selftest
from brainuad.predict import seeds as all_seeds
from brainuad.predict.likeness import Outline
from brainuad.predict.model import Model
from brainuad.resources.recording import versions
from brainuad.sharing import NAME as SOURCES
from brainuad.units import format_size

BEST, BEST_LOSS = "best-of-validation", "best_validation_loss"
"""A choice of seed, and the fact of the run record that decides it."""
ALL = "ensemble"
"""In place of a seed: the mean of the maps of all."""
MOST = 200
"""Training scans that likeness rests on."""
READING_THE_SCAN = {"hyperintensity_prior"}
"""Operators that read the scan, which in a study is the first sequence."""
RERUN = "run the study again, so that its results fit its file"


@dataclass(frozen=True)
class Wanted:
    """What is exported of a study."""

    model: str
    seed: str | None = None
    """A number, `BEST` or `ALL`; None: the study's first seed."""
    postprocessing: str | None = None
    """Label; None: the study's first."""
    licence: Path | None = None
    """File with the text of the licence under which the model may be used."""


@dataclass(frozen=True)
class _Chosen:
    """What is exported. `dataset`: the training set behind thresholds; `maps`: infer's folder by data set."""

    layout: Layout
    model: str
    seeds: Sequence[int]
    dataset: str
    postprocessing: str
    maps: Mapping[str, Path]
    takes: Sequence[str]
    """Sequences that the model takes of a session, the registered one first; none where a scan is one sequence."""

    @property
    def of_all_seeds(self) -> bool:
        """Whether it is the mean of several seeds."""
        return len(self.seeds) > 1


def export(file: Path, folder: Path, wanted: Wanted, out: Path) -> list[str]:
    """Write the model file `out`; what to show.

    `file`: of the study; `folder`: its results, wherever they lie now. Raises InputError for a model, seed or
    postprocessing that the study does not have, for results that are missing, altered or do not fit the study, and
    where `out` is another kind of file.
    """
    model_file.require_replaceable(out)
    return export_study(load_study(file), folder, wanted, out)


def export_study(study: Study, folder: Path, wanted: Wanted, out: Path) -> list[str]:
    """As `export`, of a study that was read already."""
    layout = _layout(study, folder)
    _known("model", wanted.model, list(study.models))
    label = _known("postprocessing", wanted.postprocessing or next(iter(study.postprocessing)), [*study.postprocessing])
    seeds, dataset = _seeds(layout, wanted), layout.training_sets()[0]
    with leftovers.temporary_folder() as place:
        made, takes = _maps(layout, wanted.model, seeds, place), sequences_taken(study, wanted.model)
        chosen = _Chosen(layout, wanted.model, seeds, dataset, label, made, takes)
        _require_own_image(chosen)
        manifest = _write(chosen, wanted, place / "members", out)
    rules = ", ".join(f"{rule} ({each.value:.4g})" for rule, each in manifest.thresholds.items())
    what = f"{wanted.model}, {all_seeds.in_words(seeds)}, of {study.study}"
    return [
        f"wrote {out} ({format_size(out.stat().st_size)}): {what}",
        f"for {listed(manifest.sequences or [manifest.modality])}; thresholds: {rules or 'none'}; "
        f"p from {len(manifest.healthy_scores)} healthy people",
        f"`brainuad verify {out}` checks it; `brainuad predict -i SCAN -o OUT -m {out}` uses it",
    ]


def _write(chosen: _Chosen, wanted: Wanted, members: Path, out: Path) -> Manifest:
    """Write the model file by way of the new folder `members`."""
    layout, dataset = chosen.layout, chosen.dataset
    study = layout.study
    labels = list(_with_members(study, chosen.model))
    parts = [_part(layout, each, seed, dataset) for seed in chosen.seeds for each in labels]
    trained = {part.bundle: bundles.read(layout.folder / "train" / part.bundle) for part in parts}
    if chosen.of_all_seeds:
        _require_other_seeds(parts, trained, chosen)
    trained = {name: _used(each, [part for part in parts if part.bundle == name]) for name, each in trained.items()}
    arrays, about = _likeness(chosen)
    several = len(chosen.takes) > 1
    seen = {name for bundle in trained.values() for name in bundle.sequences}
    if several and chosen.takes[0] not in seen:  # it is there for the registration alone
        arrays |= {bundles.SCALING + name: array for name, array in _scaling(chosen).items()}
    manifest = Manifest(
        name=out.name.removesuffix(model_file.SUFFIX),
        study=study.study,
        label=chosen.model,
        seeds=list(chosen.seeds),
        modality=_modality(chosen),
        lesion_sign=_sign(chosen),
        sequences=list(chosen.takes) if several else [],
        signs={name: study.sign_of(name) for name in chosen.takes} if several else {},
        parts=parts,
        recipe=_recipe(layout, dataset),
        template={"name": study.recipe.preprocess.template, "sha256": fingerprint(study.recipe.preprocess.template)},
        grid=_grid(layout),
        postprocessing=_postprocessing(chosen),
        thresholds=_thresholds(chosen),
        healthy_scores=_healthy_scores(chosen),
        healthy_scans=f"{layout.calibration_role(dataset)} scans of {', '.join(layout.calibration_sets(dataset))}",
        erode_voxels=study.evaluate.erode_voxels,
        training=trained[parts[-1].bundle].about["training"]["labels"],
        likeness=about,
        versions=versions(),
        threads=study.compute.threads,
        licence=_licence(wanted.licence),
    )
    content = card.blocks(manifest, layout, dataset)
    texts = {model_file.CARD: card.as_markdown(manifest, content), model_file.PAGE: card.as_html(manifest, content)}
    checked = selftest.make(Model(ModelFile(manifest, trained, {}, arrays, ""), out))
    if checked is not None:
        texts[model_file.SELF_TEST_FILE] = json.dumps(checked, indent=2, sort_keys=True) + "\n"
    for name, bundle in trained.items():
        bundles.write(members / model_file.MODELS / name, bundle)
    tensors.write(members / model_file.LIKENESS, arrays)
    for name, text in texts.items():
        (members / name).parent.mkdir(exist_ok=True)
        (members / name).write_text(text, encoding="utf-8")
    model_file.write(out, manifest, members)
    return manifest


def _used(bundle: Bundle, parts: Sequence[Part]) -> Bundle:
    """A bundle without the arrays that none of the models made of it reads: a training serves any `map` section."""
    names = {name for part in parts for name in registry.load_method(bundle, part.map).state()}
    read = {name: each for name, each in bundle.arrays.items() if name in names or name.startswith(bundles.SCALING)}
    return replace(bundle, arrays=read)


def sequences_taken(study: Study, model: str) -> list[str]:
    """What a model, or its members, take of a session; none where a scan is one sequence."""
    there = study.sequences()
    leaves = [label for label in _with_members(study, model) if not study.models[label].member_labels()]
    seen = {name for label in leaves for name in study.sequences_of(label)}
    return [name for i, name in enumerate(there) if name in seen or (i == 0 and len(seen) > 1)]


def _modality(chosen: _Chosen) -> Modality:
    """Of the scans that a model takes, or the first sequence of their sessions."""
    study = chosen.layout.study
    return next((name for name in study.modalities if name in chosen.takes), study.scan_sets()[chosen.dataset].modality)


def _sign(chosen: _Chosen) -> Sign:
    """Of lesions where a model takes one sequence; for several the signs of each count."""
    study = chosen.layout.study
    if len(chosen.takes) > 1:
        return study.lesion_sign if isinstance(study.lesion_sign, str) else "both"
    return study.sign_of(_modality(chosen))


def _require_own_image(chosen: _Chosen) -> None:
    """Raises InputError where the postprocessing reads the first sequence, and the model takes another alone."""
    study, takes = chosen.layout.study, chosen.takes
    operators = {each.op for each in study.postprocessing[chosen.postprocessing].operators}
    if len(takes) == 1 and takes[0] != study.modalities[0] and operators & READING_THE_SCAN:
        why = (
            f"{sorted(operators & READING_THE_SCAN)[0]} reads the {study.modalities[0]}, and the model {takes[0]} alone"
        )
        do = "export it with another --postprocessing of the study"
        raise InputError(f"{chosen.model} cannot be exported with {chosen.postprocessing}", why=why, do=do)


def _scaling(chosen: _Chosen) -> dict[str, np.ndarray]:
    """What the scaling of the first sequence learnt, by names of it."""
    first = chosen.takes[0]
    return scaling_by_sequence({first: array_cache.read(chosen.layout.array_cache(chosen.dataset), [first]).scaling})


def _maps(layout: Layout, model: str, seeds: Sequence[int], place: Path) -> dict[str, Path]:
    """Folders with maps of the healthy scans, and of those that set thresholds, by data set.

    `place`: for means of several seeds.
    """
    dataset = layout.training_sets()[0]
    labels = [*layout.training_sets(), *layout.calibration_sets(dataset), *layout.study.threshold_sets(dataset)]
    if len(seeds) == 1:
        return {label: layout.maps(model, seeds[0], label) for label in labels}
    return {label: all_seeds.write_means(layout, model, label, place / label) for label in dict.fromkeys(labels)}


def _require_other_seeds(parts: Sequence[Part], trained: Mapping[str, Bundle], chosen: _Chosen) -> None:
    """Raises InputError where every seed gave the same weights: their mean is the map of one."""
    by_seed = [[trained[each.bundle].arrays for each in parts if each.seed == seed] for seed in chosen.seeds]
    first, *others = by_seed
    if all(_same(a, b) for other in others for a, b in zip(first, other, strict=True)):
        why, do = "each seed learnt the same, so that their mean is the map of one", "leave out --seed"
        raise InputError(f"{chosen.model} does not depend on the seed", why=why, do=do)


def _same(one: Mapping[str, np.ndarray], two: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def _seeds(layout: Layout, wanted: Wanted) -> list[int]:
    """The seed that is asked for, or all."""
    seeds = layout.study.seeds
    if wanted.seed != ALL:
        return [_seed(layout, wanted)]
    if len(seeds) == 1:
        why, do = f"the study has the seed {seeds[0]} alone", "leave out --seed, or add seeds to the study and run it"
        raise InputError(f"there is no mean of the seeds of {wanted.model}", why=why, do=do)
    return list(seeds)


def _seed(layout: Layout, wanted: Wanted) -> int:
    """The seed that is asked for; the best of validation is that of the lowest loss of a network's validation."""
    seeds = layout.study.seeds
    if wanted.seed is None:
        return seeds[0]
    if wanted.seed != BEST:
        return int(_known("seed", wanted.seed, [*map(str, seeds), BEST]))
    records = {seed: run.read(layout.bundle(wanted.model, seed) / run.NAME)["facts"] for seed in seeds}
    if lacking := [seed for seed, facts in records.items() if BEST_LOSS not in facts]:
        why = f"the training with seed {lacking[0]} has no validation loss"
        raise InputError(
            f"{wanted.model} has no best seed", why=why, do=f"give one of --seed {' '.join(map(str, seeds))}"
        )
    return min(seeds, key=lambda seed: float(records[seed][BEST_LOSS]))


def _likeness(chosen: _Chosen) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What the healthy training and held-out scans of the study are like: arrays, and the cut of each distance."""
    layout = chosen.layout
    training: list[Outline] = []
    held_out: list[Outline] = []
    stripped: set[bool | None] = set()
    for label in layout.training_sets():
        opened, folder = array_cache.read(layout.array_cache(label), chosen.takes[:1]), chosen.maps[label]
        if chosen.takes[:1] == layout.study.sequences()[:1]:  # of further sequences it is not known
            stripped |= {row.stripped for row in quality.read(layout.quality(label))} - {None}
        rows = _spread([i for i, scan in enumerate(opened.scans) if scan.role == "train"])
        training += [likeness.outline(opened.image(row), opened.brain(row), opened.spacing) for row in rows]
        for row, scan in enumerate(opened.scans):
            if scan.role in ("validation", "calibration"):
                image, brain = opened.image(row), opened.brain(row)
                anomaly = maps.read_map(maps.anomaly_path(folder, scan.scan), brain.shape)
                held_out.append(likeness.outline(image, brain, opened.spacing, anomaly))
    found = {name: asdict(cut) for name, cut in likeness.cuts(training, held_out).items()}
    return likeness.reference(training, held_out), {
        "cuts": found,
        "stripped": stripped.pop() if len(stripped) == 1 else None,
    }


def _spread(rows: Sequence[int]) -> list[int]:
    """At most `MOST` of the rows, evenly spread."""
    return (
        [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, MOST).astype(int))] if len(rows) > MOST else [*rows]
    )


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
        raise InputError(f"the study has no {what} {name}", do=hint(name, names))
    return name


def _with_members(study: Study, model: str) -> Iterator[str]:
    """The models that a model is made of, and itself, last."""
    for member in study.models[model].member_labels():
        yield from _with_members(study, member)
    yield model


def _part(layout: Layout, label: str, seed: int, dataset: str) -> Part:
    """A model as its maps were made; refuses a training or maps with other settings than the study file has."""
    place = layout.bundle(label, seed)
    recorded = run.read(layout.maps(label, seed, dataset) / run.NAME)["settings"]["map"]
    trained = bundles.read(place)
    try:
        done = validate({**trained.about["model"], "map": recorded})
    except ValueError as error:
        why = str(error).replace("\n", " ")
        raise InputError(f"{label} was trained by another version of brainuad", file=place, why=why, do=RERUN) from None
    stated, seen = layout.study.models[label].pinned(), layout.study.sequences_of(label)
    told = [each.model_dump(mode="json", exclude={"modalities"}) for each in (done, stated)]
    theirs, ours = ({**each, "modalities": own} for each, own in zip(told, (trained.sequences, seen), strict=True))
    _require_equal(f"model {label}", theirs, ours)
    return Part(label=label, bundle=f"{place.parent.name}/{place.name}", map=recorded)


def _require_equal(what: str, done: Mapping[str, Any], stated: Mapping[str, Any]) -> None:
    """Raises InputError unless results were made with the settings of the study file."""
    theirs, ours = (flat(json.loads(json.dumps(each))) for each in (done, stated))
    keys = [key for key in sorted(theirs.keys() | ours.keys()) if key != "cite" and theirs.get(key) != ours.get(key)]
    if keys:
        why = f"{keys[0]} was {theirs.get(keys[0])}, and is {ours.get(keys[0])} in the study file"
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


def _postprocessing(chosen: _Chosen) -> dict[str, Any]:
    layout, label = chosen.layout, chosen.postprocessing
    for seed in chosen.seeds:
        folder = layout.predicted(chosen.model, seed, chosen.dataset, label)
        done = run.read(folder / run.NAME)["settings"]["postprocessing"]
        _require_equal("postprocessing", done, layout.study.postprocessing[label].model_dump(mode="json"))
    return {"label": label, "operators": done["operators"]}


def _thresholds(chosen: _Chosen) -> dict[str, FileThreshold]:
    layout, dataset, label = chosen.layout, chosen.dataset, chosen.postprocessing
    if chosen.of_all_seeds:
        found = all_seeds.thresholds_of(layout, chosen.maps, dataset, label)
    else:
        job = (chosen.model, chosen.seeds[0], dataset)
        folder = layout.predicted(*job, label)
        same = {"model": job[0], "seed": str(job[1]), "dataset": dataset, "postprocessing": label}
        maps.checked(folder, same, maps=checksums.read(layout.maps(*job)).seal)
        found = thresholds.read(folder)
    return {
        rule: FileThreshold(value=each.value, source=each.source, scans=len(each.scans))
        for rule, each in found.items()
        if each.value is not None
    }


def _healthy_scores(chosen: _Chosen) -> list[float]:
    layout = chosen.layout
    role = layout.calibration_role(chosen.dataset)
    scores = [
        score
        for label in layout.calibration_sets(chosen.dataset)
        for score in scores_of_people(chosen.maps[label], layout.array_cache(label), role, healthy=True)
    ]
    return [float(score) for score in highest_of_each(scores)]


def _licence(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError("cannot read the licence", file=path, why=str(error), do="name a text file") from None
