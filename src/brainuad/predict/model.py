"""A model file in use: from a scan to its anomaly map, masks, scores and doubts.

The arithmetic is the pipeline's own: `brainuad.load("x.brainuad").predict("scan.nii.gz")` gives the map that the study
made of that scan, bit by bit on the CPU (tests/pipeline/test_exports.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from brainuad.config.postprocessing import POSTPROCESSING, Postprocessing
from brainuad.config.recipe import Normalize, Preprocess
from brainuad.config.templates import BUNDLED
from brainuad.config.told import listed
from brainuad.errors import InputError
from brainuad.formats import bundle as bundles
from brainuad.formats import leftovers, model_file, volume
from brainuad.formats.array_cache import scaling_of
from brainuad.formats.coding import Coding
from brainuad.formats.model_file import FileThreshold, Manifest, ModelFile, Part
from brainuad.formats.raw import RawVolume, read_raw
from brainuad.formats.transform import Affine
from brainuad.formats.volume import Volume
from brainuad.images import template as templates
from brainuad.infer import maps
from brainuad.infer.maps import Prediction
from brainuad.methods import registry
from brainuad.methods.base import Method, Sign
from brainuad.metrics import conformal
from brainuad.normalize.caching import on_models_grid
from brainuad.normalize.grid import Window, window
from brainuad.normalize.intensity import Scaling
from brainuad.postprocess.apply import predicted_mask, process_map
from brainuad.predict import at_once, likeness, seeds, session
from brainuad.predict.found import Found, Given, Image, Mask, Options, Prepared
from brainuad.predict.in_options import in_options, told_in_options
from brainuad.predict.likeness import Cut
from brainuad.predict.record import ModelName
from brainuad.predict.session import Placed, Scan
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
        self._signs: dict[str, Sign] = {str(name): sign for name, sign in about.signs.items()}
        self._parts: dict[tuple[str, int], tuple[Part, Method]] = {}
        for part in about.parts:
            method = registry.load_method(file.bundles[part.bundle], part.map, self._signs)
            method.to(accelerator)
            self._parts[part.label, part.seed] = part, method
        registry.use_threads(threads or about.threads)
        self._members = {key: self._members_of(file, part) for key, (part, _) in self._parts.items()}
        self._sequences = {key: file.bundles[part.bundle].sequences for key, (part, _) in self._parts.items()}
        self._check_sequences()
        self._scalings = {name: self._scaling_of(file, name) for name in self.sequences}
        self._window = self._checked_window(file.bundles[about.parts[-1].bundle].about)
        self._coding = Coding(self.normalize.storage_dtype, self.normalize.intensity.clip)
        self._known = {name: array for name, array in file.arrays.items() if not name.startswith(bundles.SCALING)}
        self._cuts = {name: Cut(**each) for name, each in about.likeness.get("cuts", {}).items()}
        self._check_template()

    @property
    def sequences(self) -> list[str]:
        """What the model takes of a session: its modality, and the others that it sees."""
        return list(self.manifest.sequences) or [self.manifest.modality]

    @property
    def seen(self) -> set[str]:
        """Of `sequences` those that make the map; the first may be there for the registration alone."""
        own = {name for key, members in self._members.items() if not members for name in self._sequences[key]}
        return own if self.manifest.sequences else {*self.sequences}

    def predict(self, scan: Scan | Mapping[str, Scan], options: Options | None = None) -> Found:
        """All of one scan, a path or an image of nibabel; of a session with several sequences, these by modality.

        Further sequences may be missing, which the doubts say. Raises InputError for a file that cannot be used, a scan
        of another modality, and one that quality control refuses.
        """
        options = options or Options()
        thresholds = self.thresholds(options.thresholds)
        with leftovers.temporary_folder() as folder, told_in_options():
            files = session.files_of(scan, self.sequences, folder)
            session.require(files, self.sequences, self.seen)
            return self._predict(files, options.given, thresholds)

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

    def prepare(self, raw: RawVolume, given: Given, path: Path, further: Mapping[str, Path] | None = None) -> Prepared:
        """The scan on the template's grid; raises InputError where quality control refuses it.

        `further`: files of other sequences of its session, by modality, which are judged as well.
        """
        modality = self.manifest.modality
        if given.modality not in (None, modality):
            why = f"it is {given.modality}, and the model learnt from {modality}"
            do = f"use a model for {given.modality}, or say --modality {modality} if the name is wrong"
            raise InputError(f"{path.name} is of another modality than the model", file=path, why=why, do=do)
        try:
            found = self.measured(raw, given, further)
        except InputError as error:
            raise InputError(error.what, file=error.file or path, why=error.why, do=error.do or REMEDY) from None
        if found.failed:
            why = "; ".join(found.failed)
            raise InputError(f"{path.name} fails quality control", file=path, why=why, do=found.remedy)
        for name, why in found.refused.items():
            file = (further or {})[name]
            raise InputError(f"{file.name} cannot be used as {name}", file=file, why=why, do=session.UNUSABLE)
        return found

    def measured(self, raw: RawVolume, given: Given, further: Mapping[str, Path] | None = None) -> Prepared:
        """The scan on the template's grid, whatever quality control says of it. `further`: as in `prepare`."""
        scan, settings, modality = raw.volume, self.preprocess, self.manifest.modality
        told = Told(
            given.stripped,
            Affine(np.eye(4)) if given.registered else None,
            None if given.brain is None else _brain_of(scan, given.brain),
        )
        made = preprocess_volume(scan, modality, settings, told=told)
        judged = verdict.verdict(made.quality, settings.quality, modality)
        others = session.place(further, modality, made, raw.content, given, settings) if further else Placed()
        warned = [*judged.warned, *others.warned]
        remedies = [text for text in map(in_options, judged.remedies) if given.brain is None or "--mask" not in text]
        remedy = "; ".join(dict.fromkeys([*_check_of(given), *remedies, REMEDY]))
        registered = made.registered
        return Prepared(
            made.image,
            made.brain,
            registered.template.affine,
            registered.transform,
            made.stripped,
            made.quality,
            judged.failed,
            warned,
            remedy if judged.failed or warned else "",
            [in_options(note) for note in (*raw.notes, *made.notes, *others.notes)],
            raw.content,
            others.further,
            [name for name in self.sequences[1:] if name not in (further or {})],
            {name: in_options(why) for name, why in others.refused.items()},
        )

    def models_input(self, prepared: Prepared) -> tuple[Image, Mask]:
        """Scaled intensities and brain mask on the models' grid, as the array cache of the study would hold them.

        For a model that takes several sequences (x, y, z, c), in their order; one that is missing is 0.
        """
        first, *others = self.sequences
        image, brain = self._scaled(first, prepared.image, prepared.brain)
        if not others:
            return image, brain
        channels = [
            self._scaled(name, prepared.further[name].image, prepared.brain)[0]
            if name in prepared.further
            else np.zeros_like(image)
            for name in others
        ]
        return np.stack([image, *channels], axis=-1), brain

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

    def _predict(self, files: Mapping[str, Path], given: Given, thresholds: Mapping[str, float]) -> Found:
        path = files[self.sequences[0]]
        raw = read_raw(path, given.reading)
        prepared = self.prepare(raw, given, path, {name: files[name] for name in self.sequences[1:] if name in files})
        image, brain = self.models_input(prepared)
        made = self.map(image, brain)
        image = image[..., 0] if self.manifest.sequences else image
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
                *self._lacking(prepared),
                *([] if given.brain else self._stripped_otherwise(prepared)),
                *likeness.doubts(distances, self._cuts),
            ],
            distances=distances,
            shape=shape,
            own_affine=own_affine,
            from_mni=templates.load(self.preprocess.template, self.preprocess.spacing).from_mni,
            file=path.name,
            model=self.name,
            files=self._names(path, prepared),
        )

    def _names(self, first: Path, prepared: Prepared) -> dict[str, str]:
        """Of the files of a session, by modality; empty for a model that takes one sequence."""
        further = {name: each.file for name, each in prepared.further.items()}
        return {self.manifest.modality: first.name, **further} if self.manifest.sequences else {}

    def _scaled(self, sequence: str, image: Image, brain: Mask) -> tuple[Image, Mask]:
        scaling, settings = self._scalings[sequence], self.normalize.intensity
        scaled, inside = on_models_grid(image, brain, settings, scaling, self._window)
        return self._coding.decode(self._coding.encode(scaled, inside)), inside

    def _lacking(self, prepared: Prepared) -> list[str]:
        """A doubt where sequences that the model sees are not there."""
        if not prepared.missing:
            return []
        rest = [name for name in self.sequences if name in self.seen and name not in prepared.missing]
        last = self.manifest.parts[-1]
        if maps.nothing_to_map(last.map, self._sequences[last.label, last.seed], prepared.missing):
            why = "the model gives such a session a map of zeros"
        else:
            why = f"it is mapped by {listed(rest)}, and thresholds and p values rest on sessions with all sequences"
        return [f"it lacks {listed(prepared.missing)}: {why}"]

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
        rim, members, own = self.manifest.erode_voxels, self._members[key], self._sequences[key]
        seen = self._channels(image, own)
        if self.manifest.sequences and maps.nothing_to_map(part.map, own, self._constant(seen, own, brain)):
            made = Prediction(np.zeros(brain.shape, np.float32), None, 0.0)
        elif members:
            each = [self._mapped((member, part.seed), image, brain).anomaly for member in members]
            made = maps.combine(method, each, seen, brain, rim)
        else:
            sign = self._signs.get(own[0] if len(own) == 1 else "", self.manifest.lesion_sign)
            made = maps.predict(method, seen, brain, self.spacing, sign)
        return maps.in_own_units(method, made, seen, brain, rim) if part.map.get("per_scan") == "robust" else made

    @staticmethod
    def _constant(seen: Image, sequences: Sequence[str], brain: Mask) -> list[str]:
        """Those of `sequences` that do not vary in the brain, as one that is missing, which is 0."""
        constant = np.ptp(seen[brain].reshape(-1, len(sequences)), axis=0) == 0
        return [name for name, each in zip(sequences, constant, strict=True) if each]

    def _channels(self, image: Image, sequences: Sequence[str]) -> Image:
        """Of the model's image what a part sees, laid out in memory as in the study, so that sums are the same."""
        if not self.manifest.sequences:
            return image
        channels = [np.ascontiguousarray(image[..., self.sequences.index(name)]) for name in sequences]
        return channels[0] if len(channels) == 1 else np.stack(channels, axis=-1)

    def _scaling_of(self, file: ModelFile, sequence: str) -> Scaling:
        """What the scaling of a sequence learnt, by the bundles or, where no part sees it, by an array of the file."""
        if not self.manifest.sequences:
            return file.bundles[self.manifest.parts[0].bundle].scaling  # that of a member, which sees the sequence
        for bundle in file.bundles.values():
            if sequence in bundle.sequences:
                return scaling_of(bundle.scaling, sequence) if len(bundle.sequences) > 1 else bundle.scaling
        start = bundles.SCALING
        return scaling_of({k.removeprefix(start): v for k, v in file.arrays.items() if k.startswith(start)}, sequence)

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

    def _check_sequences(self) -> None:
        """Raises InputError unless the manifest names all sequences that parts see, the registered one first."""
        about = self.manifest
        of_parts = {name for each in self._sequences.values() for name in each}
        several = any(len(each) > 1 for each in self._sequences.values())
        sound = (
            about.sequences[0] == about.modality and of_parts <= {*about.sequences} if about.sequences else not several
        )
        if not sound:
            why = f"it names {listed(self.sequences)}, and its parts see {listed(sorted(of_parts))}"
            raise InputError(f"{self.path.name} names other sequences", file=self.path, why=why, do="export it again")

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
    if not brain.data.any():
        why, do = "no voxel of it is above 0.5", "give the mask of the brain, or leave it out"
        raise InputError("the brain mask is empty", file=mask, why=why, do=do)
    return brain.data


def _check_of(given: Given) -> list[str]:
    """What to check first of a scan that fails: what the user said of it."""
    said = {
        "--mask": given.brain is not None,
        "--registered": given.registered,
        "--stripped": given.stripped is True,
        "--with-skull": given.stripped is False,
    }
    options = [name for name, there in said.items() if there]
    return [f"check whether {listed(options)} fit this scan"] if options else []


REMEDY = "look at the scan and its header: is it a whole head, upright, of this modality?"
