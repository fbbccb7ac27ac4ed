"""A model file in use: from a scan to its anomaly map, masks, scores and doubts.

The arithmetic is the pipeline's own: `brainuad.load("x.brainuad").predict("scan.nii.gz")` gives the map that the study
made of that scan, bit by bit on the CPU (tests/pipeline/test_failing_well.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Float

from brainuad.config.postprocessing import POSTPROCESSING, Postprocessing
from brainuad.config.recipe import Normalize, Preprocess
from brainuad.config.templates import BUNDLED
from brainuad.errors import InputError
from brainuad.formats import leftovers, model_file, volume
from brainuad.formats.coding import Coding
from brainuad.formats.model_file import FileThreshold, Manifest, ModelFile, Part
from brainuad.formats.raw import RawVolume, read_raw
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images import template as templates
from brainuad.infer import maps
from brainuad.infer.maps import Prediction
from brainuad.methods import registry
from brainuad.methods.base import Method
from brainuad.metrics import conformal
from brainuad.normalize.caching import on_models_grid
from brainuad.normalize.grid import Window, window
from brainuad.postprocess.apply import predicted_mask, process_map
from brainuad.predict import at_once, likeness, seeds
from brainuad.predict.found import Found, Given, Image, Mask, Options, Prepared
from brainuad.predict.in_options import in_options, told_in_options
from brainuad.predict.likeness import Cut
from brainuad.predict.record import ModelName
from brainuad.preprocess.pipeline import Told, preprocess_volume
from brainuad.preprocess.quality import verdict

PREFERRED = ("conformal", "healthy_quantile", "burden", "components")
"""Threshold rules, the one first that makes the list of findings where the user names none: by healthy scans alone."""
FIXED = "fixed:"
"""Before a value that a user gives as threshold."""


class Model:
    """A model file that is loaded. One object maps many scans; memory does not grow with them."""

    def __init__(
        self,
        file: ModelFile,
        path: Path,
        accelerator: str = "cpu",
        threads: int | None = None,
        batch: int | None = None,
    ):
        """`batch`: slices that networks take at once; as many as in a study if None."""
        self._batch = batch or at_once.of_a_study()
        self.manifest: Manifest = file.manifest
        self.path, self.sha256, self.texts = path, file.sha256, file.texts
        about = self.manifest
        try:
            self.preprocess = Preprocess.model_validate(about.recipe["preprocess"])
            self.normalize = Normalize.model_validate(about.recipe["normalize"])
            self.postprocessing: Postprocessing = POSTPROCESSING.validate_python(
                {"operators": about.postprocessing["operators"]}
            )
        except (KeyError, ValueError) as error:
            what = f"{path.name} is of another version of brainuad"
            why = f"its recipe does not fit this one: {str(error).splitlines()[0]}"
            raise InputError(what, file=path, why=why, do=model_file.UPDATE) from None
        self._parts: dict[tuple[str, int], tuple[Part, Method]] = {}
        for part in about.parts:
            method = registry.load_method(file.bundles[part.bundle], part.map)
            method.to(accelerator)
            self._parts[part.label, part.seed] = part, method
        registry.use_threads(threads or about.threads)
        main = file.bundles[about.parts[-1].bundle]
        self._members = {key: self._members_of(file, part) for key, (part, _) in self._parts.items()}
        self._scaling, self._window = main.scaling, self._checked_window(main.about)
        self._coding = Coding(self.normalize.storage_dtype, self.normalize.intensity.clip)
        self._known = file.arrays
        self._cuts = {name: Cut(**each) for name, each in about.likeness.get("cuts", {}).items()}
        self._check_template()

    def predict(self, scan: str | Path | nib.Nifti1Image, options: Options | None = None) -> Found:
        """All of one scan: a path, or an image of nibabel.

        Raises InputError for a file that cannot be used, a scan of another modality, and one that quality control
        refuses.
        """
        options = options or Options()
        thresholds = self.thresholds(options.thresholds)
        if isinstance(scan, str | Path):
            with told_in_options():
                return self._predict(Path(scan), options.given, thresholds)
        with leftovers.temporary_folder() as folder:
            path = folder / "scan.nii"
            nib.save(scan, path)
            return self.predict(path, options)

    def thresholds(self, wanted: Sequence[str] | None = None) -> dict[str, float]:
        """Thresholds by label, for `Options.thresholds`; of all the preferred one first.

        Raises InputError for one that the file does not have.
        """
        known = {rule: self.manifest.thresholds[rule].value for rule in preferred(self.manifest.thresholds)}
        found: dict[str, float] = {}
        for label in known if wanted is None else wanted:
            if label.startswith(FIXED):
                found[label] = _number(label)
            elif label in known:
                found[label] = known[label]
            else:
                do = f"use one of {', '.join(known) or 'none'}, or {FIXED}<value>"
                raise InputError(f"the model has no threshold {label}", file=self.path, do=do)
        return found

    def prepare(self, raw: RawVolume, given: Given, path: Path) -> Prepared:
        """The scan on the template's grid; raises InputError where quality control refuses it."""
        modality = self.manifest.modality
        if given.modality not in (None, modality):
            why = f"it is {given.modality}, and the model learnt from {modality}"
            do = f"use a model for {given.modality}, or say --modality {modality} if the name is wrong"
            raise InputError(f"{path.name} is of another modality than the model", file=path, why=why, do=do)
        try:
            found = self.measured(raw, given)
        except InputError as error:
            raise InputError(error.what, file=error.file or path, why=error.why, do=error.do or REMEDY) from None
        if found.failed:
            why = "; ".join(found.failed)
            raise InputError(f"{path.name} fails quality control", file=path, why=why, do=found.remedy)
        return found

    def measured(self, raw: RawVolume, given: Given) -> Prepared:
        """The scan on the template's grid, whatever quality control says of it."""
        scan, settings, modality = raw.volume, self.preprocess, self.manifest.modality
        told = Told(
            given.stripped,
            Affine(np.eye(4)) if given.registered else None,
            None if given.brain is None else _brain_of(scan, given.brain),
        )
        made = preprocess_volume(scan, modality, settings, told=told)
        judged = verdict.verdict(made.quality, settings.quality, modality)
        remedy = in_options("; ".join(dict.fromkeys([*judged.remedies, REMEDY])))
        registered = made.registered
        return Prepared(
            made.image,
            made.brain,
            registered.template.affine,
            registered.transform,
            made.stripped,
            made.quality,
            judged.failed,
            judged.warned,
            remedy if judged.failed or judged.warned else "",
            [in_options(note) for note in (*raw.notes, *made.notes)],
            raw.content,
        )

    def models_input(self, prepared: Prepared) -> tuple[Image, Mask]:
        """Scaled intensities and brain mask on the models' grid, as the array cache of the study would hold them."""
        image, brain = on_models_grid(
            prepared.image, prepared.brain, self.normalize.intensity, self._scaling, self._window
        )
        return self._coding.decode(self._coding.encode(image, brain)), brain

    def map(self, image: Image, brain: Mask) -> Prediction:
        """Anomaly map, reconstruction and score; `image`, `brain`: as from `models_input`.

        Where the memory of a GPU does not suffice, networks take fewer slices at once from then on.
        """
        label = self.manifest.parts[-1].label

        def mapped() -> Prediction:
            return seeds.mean([self._mapped((label, seed), image, brain) for seed in self.manifest.seeds])

        made, self._batch = at_once.in_parts(mapped, self._batch)
        return made

    @property
    def name(self) -> ModelName:
        """The model file, as records name it."""
        about = self.manifest
        return ModelName(name=about.name, study=about.study, label=about.label, sha256=self.sha256)

    @property
    def affine(self) -> Float[np.ndarray, "4 4"]:
        """Of the models' grid: voxel index to the template's mm."""
        return self._window.grid[1]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the models' grid, in mm."""
        x, y, z = Volume(np.zeros((0, 0, 0)), self.affine).spacing
        return float(x), float(y), float(z)

    def _predict(self, path: Path, given: Given, thresholds: Mapping[str, float]) -> Found:
        raw = read_raw(path, given.reading)
        prepared = self.prepare(raw, given, path)
        image, brain = self.models_input(prepared)
        made = self.map(image, brain)
        if not (math.isfinite(made.score) and np.isfinite(made.anomaly).all()):
            do = "look at the scan: are its intensities numbers, and its brain mask on the brain?"
            raise InputError(f"the model gives {path.name} no finite map or score", file=path, do=do)
        on_map, on_mask = self.postprocessing.on_map(), self.postprocessing.on_mask()
        processed = process_map(made.anomaly, image, brain, self.spacing, on_map) if on_map else made.anomaly
        masks = {
            label: predicted_mask(processed, brain, self.spacing, value, on_mask) for label, value in thresholds.items()
        }
        distances = {}
        if self._known:
            outline = likeness.outline(image, brain, self.spacing, made.anomaly)
            distances = likeness.distances(outline, self._known)
        healthy = np.array(self.manifest.healthy_scores)
        known = len(healthy) > 0
        shape, own_affine = volume.read_grid(path)
        return Found(
            scan=raw.volume,
            prepared=prepared,
            image=image,
            brain=brain,
            anomaly=made.anomaly,
            reconstruction=made.reconstruction,
            processed=processed,
            masks=masks,
            thresholds=dict(thresholds),
            affine=self.affine,
            score=made.score,
            p_healthy=float(conformal.p_values(healthy, np.array([made.score]))[0]) if known else float("nan"),
            p_smallest=1 / (len(healthy) + 1) if known else float("nan"),
            doubts=[
                *([] if given.brain else self._stripped_otherwise(prepared)),
                *likeness.doubts(distances, self._cuts),
            ],
            distances=distances,
            shape=shape,
            own_affine=own_affine,
            from_mni=templates.load(self.preprocess.template, self.preprocess.spacing).from_mni,
            file=path.name,
            model=self.name,
        )

    def _stripped_otherwise(self, prepared: Prepared) -> list[str]:
        """A doubt where all scans of the training had their skull and this one has not, or the other way round."""
        known = self.manifest.likeness.get("stripped")
        if known is None or known == prepared.stripped:
            return []
        are = {True: "skull-stripped", False: "a whole head"}
        return [f"it is {are[prepared.stripped]}, and every scan of the training was {are[known]}"]

    def _mapped(self, key: tuple[str, int], image: Image, brain: Mask) -> Prediction:
        """By one of the parts, which `key` names by label and seed."""
        part, method = self._parts[key]
        rim, members = self.manifest.erode_voxels, self._members[key]
        if members:
            each = [self._mapped((member, part.seed), image, brain).anomaly for member in members]
            made = maps.combine(method, each, image, brain, rim)
        else:
            made = maps.predict(method, image, brain, self.spacing, self.manifest.lesion_sign)
        return maps.in_own_units(method, made, image, brain, rim) if part.map.get("per_scan") == "robust" else made

    def _members_of(self, file: ModelFile, part: Part) -> list[str]:
        members: list[str] = file.bundles[part.bundle].about["model"].get("of", [])
        if missing := [label for label in members if (label, part.seed) not in self._parts]:
            raise InputError(f"{self.path.name} lacks the member {missing[0]}", file=self.path, do="export it again")
        return members

    def _checked_window(self, trained: Mapping[str, Any]) -> Window:
        grid = self.manifest.grid
        found = window(grid.shape, np.array(grid.affine), self.normalize)
        shape, affine = found.grid
        if list(shape) != list(trained["shape"]) or not np.allclose(affine, trained["affine"], atol=1e-3):
            why = f"it gives {shape} voxels, the training had {tuple(trained['shape'])}"
            raise InputError("the recipe does not fit the model", file=self.path, why=why, do="export it again")
        return found

    def _check_template(self) -> None:
        about = self.manifest.template
        if self.preprocess.template != BUNDLED:
            why = f"it names {self.preprocess.template}, and a model file may name {BUNDLED} alone"
            raise InputError(f"{self.path.name} has a template of its own", file=self.path, why=why)
        if templates.fingerprint(self.preprocess.template) != about["sha256"]:
            why = f"the {about['name']} that is installed has other voxels than the one of the training"
            do = "install the version of nilearn that the model's card names"
            raise InputError("the template is another one", file=self.path, why=why, do=do)


def preferred(thresholds: Mapping[str, FileThreshold]) -> list[str]:
    """Labels of thresholds in the order of `PREFERRED`, of one kind the strictest first."""
    return sorted(thresholds, key=lambda label: (_preference(label), -thresholds[label].value))


def _preference(label: str) -> int:
    return next((i for i, rule in enumerate(PREFERRED) if label.startswith(rule)), len(PREFERRED))


def _number(label: str) -> float:
    """The value behind `fixed:`; raises InputError if it is no finite number."""
    try:
        value = float(label.removeprefix(FIXED))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        why, do = f"{label.removeprefix(FIXED)} is no number", f"write it as {FIXED}2.5"
        raise InputError(f"{label} is no threshold", why=why, do=do)
    return value


def _brain_of(scan: Volume, mask: Path) -> Mask:
    """A brain mask on the scan's grid; raises InputError for one on another."""
    brain = volume.read_mask(mask)
    if not volume.same_grid(scan, brain):
        why = f"it has {brain.data.shape} voxels, the scan {scan.data.shape}, or lies elsewhere"
        raise InputError("the brain mask is not on the scan's grid", file=mask, why=why, do="resample it to the scan")
    return brain.data


REMEDY = "look at the scan and its header: is it a whole head, upright, of this modality?"
