"""The files of one scan, under BIDS derivative names, all or none."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brainuad.errors import InputError
from brainuad.formats import names, status, transform, volume
from brainuad.formats.files import atomic
from brainuad.formats.names import Naming
from brainuad.formats.status import Status
from brainuad.images.native import to_native
from brainuad.predict import record as records
from brainuad.predict.asked import Input
from brainuad.predict.found import Found
from brainuad.predict.record import Record

Space = Literal["native", "mni", "both"]
SHEETS = "contact_sheets"
CONTENT = "Anomaly maps of new scans"
"""How the name of the data set begins that an output folder is."""
IGNORED = ("/*_view.html", "/*_preview.png", "/volumes.tsv", SHEETS)
"""What BIDS has no name for, beside `names.IGNORED`."""


@dataclass(frozen=True)
class Kept:
    """What is written of a scan beside its maps and masks. `template`: of the recipe, without its folder."""

    space: Space = "native"
    reconstruction: bool = False
    modality: str = "T1w"
    template: str = "mni152"


def page_path(out: Path, scan: str) -> Path:
    """The viewer of a scan."""
    return out / f"{scan}_view.html"


def preview_path(out: Path, scan: str) -> Path:
    """The preview of a scan."""
    return out / f"{scan}_preview.png"


def describe(out: Path, model: str) -> None:
    """Write what makes the output folder a BIDS derivative data set."""
    names.describe_dataset(out, CONTENT, {"model": model})
    lines = [*names.IGNORED, *IGNORED]
    with atomic(out / names.IGNORE) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def folder_of_person(out: Path, scan: str) -> Path:
    """The folder that all results of a person lie in, beside their records."""
    return out / scan.partition("_")[0]


def foreign(out: Path, scans: Collection[str]) -> list[str]:
    """Names in the output folder that results of these scans would replace; none if it was made for results."""
    shared = (names.DESCRIPTION, names.README, names.IGNORE, records.TABLE, SHEETS)
    own = {place.name for scan in scans for place in (folder_of_person(out, scan), out / scan)}
    there = [name for name in (*shared, *sorted(own)) if (out / name).exists()]
    # read after that: another part writes the description first
    return there if there and not names.is_described(out, CONTENT) else []


def write(out: Path, item: Input, found: Found, record: Record, kept: Kept) -> dict[str, str]:
    """Write maps, masks, transform and status of a scan into `out`; their paths in it, by what they are.

    To be used inside `status.replaced`, which gives `out`.
    """
    writer = _Writer(out, item, found, record, kept)
    if kept.space in ("native", "both"):
        writer.native()
    if kept.space in ("mni", "both"):
        writer.on_template()
    writer.transform()
    if item.converted:
        writer.scan()
    prepared = found.prepared
    state = Status(
        scan=item.scan,
        modality=kept.modality,
        state="warned" if prepared.reasons else "ok",
        reasons=prepared.reasons,
        notes=prepared.notes,
        stripped=prepared.stripped,
        remedy=prepared.remedy or None,
        template=kept.template,
        content=prepared.content,
        quality=prepared.quality,
        provenance={
            "inputs": {name: {"file": path.name} for name, path in _raw(item, kept).items()},
            "versions": record.versions,
        },
        sequences={name: each.told for name, each in prepared.further.items()},
    )
    status.write(out / item.scan / status.NAME, state)
    return writer.written


def _raw(item: Input, kept: Kept) -> dict[str, Path]:
    """The files behind a result, by modality."""
    return {kept.modality: item.image, **item.further}


def write_failed(out: Path, record: Record, modality: str) -> None:
    """Replace whatever is there of a scan by the record of why it failed."""
    with status.replaced(out / record.scan, record.scan) as part:
        folder = part / record.scan
        for path in (page_path(out, record.scan), preview_path(out, record.scan)):
            path.unlink(missing_ok=True)
        records.write(folder / records.NAME, record)
        reasons, remedy = record.remarks, record.remedy or None
        about = Status(scan=record.scan, modality=modality, state="failed", reasons=reasons, remedy=remedy)
        status.write(folder / status.NAME, about)


def is_there(out: Path, scan: str) -> bool:
    """Whether an earlier prediction of this scan is complete, and did not fail. Raises InputError if it is broken."""
    place = out / scan
    if not (place / status.NAME).is_file() or not (place / records.NAME).is_file():
        return False
    return records.read(place / records.NAME).state != "failed"


def is_usable(out: Path, scan: str) -> bool:
    """Whether an earlier prediction of this scan is complete, did not fail, and can be read."""
    try:
        return is_there(out, scan)
    except InputError:
        return False


@dataclass
class _Writer:
    """Writes the images of one scan. `written`: their paths, by what they are."""

    out: Path
    item: Input
    found: Found
    record: Record
    kept: Kept

    def __post_init__(self) -> None:
        self.written: dict[str, str] = {}

    def native(self) -> None:
        """On the voxels of the scan's file, bit by bit its affine."""
        found, naming = self.found, Naming(self.kept.modality, "")
        own = found.own
        matrix, at = found.prepared.transform.matrix, (found.shape, found.own_affine)
        images = {"anomaly_map": own.anomaly, "brain_mask": own.brain}
        if found.processed is not found.anomaly:
            images["processed_map"] = to_native(found.processed, found.affine, *at, matrix)
        if self.kept.reconstruction and found.reconstruction is not None:
            images["reconstruction"] = to_native(found.reconstruction, found.affine, *at, matrix)
        self._all(naming, images, own.masks, lambda path, data: volume.write_like(path, data, self.item.image))

    def on_template(self) -> None:
        """On the models' grid, in the space of the template; the scan and its brain mask on the template's grid."""
        found, naming = self.found, Naming(self.kept.modality, self.kept.template)
        prepared = found.prepared
        images = {"anomaly_map": found.anomaly}
        if found.processed is not found.anomaly:
            images["processed_map"] = found.processed
        if self.kept.reconstruction and found.reconstruction is not None:
            images["reconstruction"] = found.reconstruction
        self._all(naming, images, found.masks, lambda path, data: volume.write(path, data, found.affine))
        whole = {"brain_mask": prepared.brain, "preprocessed_scan": prepared.image}
        self._all(naming, whole, {}, lambda path, data: volume.write(path, data, prepared.affine))
        for modality, each in prepared.further.items():
            own, about = Naming(modality, naming.template), _SIDECARS["preprocessed_scan"]
            name = names.preprocessed(self.item.scan, own)
            self._one(name, each.image, lambda path, data: volume.write(path, data, prepared.affine), own, about)
            self.written[f"preprocessed_scan_{modality}_template"] = name

    def transform(self) -> None:
        """The affines between template and scan, and between template and further sequences."""
        prepared, modality = self.found.prepared, self.kept.modality
        others = {(name, f"transform_{name}"): each.transform for name, each in prepared.further.items()}
        for (own, key), affine in {(modality, "transform"): prepared.transform, **others}.items():
            name = names.transform(self.item.scan, Naming(own, self.kept.template))
            transform.write(self.out / name, affine)
            self.written[key] = name

    def scan(self) -> None:
        """The scan that was made from DICOM files, which maps and masks lie over; and further ones of its session."""
        for modality, path in _raw(self.item, self.kept).items():
            name = names.unprocessed(self.item.scan, Naming(modality, ""))
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, self.out / name)
            self.written["scan" if modality == self.kept.modality else f"scan_{modality}"] = name

    def _all(
        self, naming: Naming, images: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray], save: Any
    ) -> None:
        scan, suffix = self.item.scan, "_template" if naming.template else ""
        for kind, data in images.items():
            name, about = _NAMES[kind](scan, naming), _SIDECARS[kind]
            self._one(name, data, save, naming, about)
            self.written[f"{kind}{suffix}"] = name
        for label, data in masks.items():
            name = names.predicted_mask(scan, naming, label)
            value = self.found.thresholds[label]
            about = {"Description": "Predicted mask of lesions", "Type": "Lesion", "ThresholdRule": label}
            self._one(name, data, save, naming, {**about, "Threshold": value})
            self.written[f"mask_{label}{suffix}"] = name

    def _one(self, name: str, data: np.ndarray, save: Any, naming: Naming, about: Mapping[str, Any]) -> None:
        path = self.out / name
        save(path, data)
        model = self.record.model.name
        files = _raw(self.item, self.kept)
        of_one = [files[naming.modality].name] if naming.modality != self.kept.modality else []
        sources = of_one or [each.name for each in files.values()]
        names.write_sidecar(path, naming, {**about, "Model": model, "Use": records.USE, "RawSources": sources})


_NAMES = {
    "anomaly_map": names.anomaly_map,
    "processed_map": lambda scan, naming: names.anomaly_map(scan, naming, processed=True),
    "brain_mask": names.brain_mask,
    "reconstruction": names.reconstruction,
    "preprocessed_scan": names.preprocessed,
}
_UNITS = {"Units": "arbitrary; higher is more abnormal, 0 outside the brain"}
_SIDECARS: dict[str, dict[str, Any]] = {
    "anomaly_map": {"Description": "Anomaly map", **_UNITS},
    "processed_map": {"Description": "Anomaly map after map operators, which thresholds apply to", **_UNITS},
    "brain_mask": {"Description": "Brain mask", "Type": "Brain"},
    "reconstruction": {"Description": "Reconstruction by the model, in normalised intensities", "SkullStripped": True},
    "preprocessed_scan": {"Description": "Preprocessed scan", "SkullStripped": True},
}
