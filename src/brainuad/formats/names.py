"""Names of the files that leave the pipeline: BIDS derivatives, their sidecars, and what BIDS has no name for.

A folder that leaves the pipeline (preprocessed scans, maps, masks) is a BIDS derivative data set of its own. Images lie
in `sub-<label>/[ses-<label>/]anat/`; those of CT, for which BIDS has no suffix, in `ct/`. `.bidsignore` lists the rest.
Entities and suffixes: BIDS 1.10, "Derivatives", https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainuad import __version__
from brainuad.config import templates
from brainuad.errors import InputError
from brainuad.formats.files import atomic, write_json

BIDS_VERSION = "1.10.0"
ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "run", "echo", "part", "space", "label", "desc")
"""Keys of file names in the order of BIDS."""
OF_TRANSFORM = ("from", "to", "mode")
"""Keys that follow in the names of transforms, which BIDS proposes (BEP 14)."""
OF_IMAGE = ("ce", "space", "label", "desc", *OF_TRANSFORM)
"""Keys that the name of a scan does not have and the names of its files add."""
DATATYPES = ("anat", "ct")
MNI152 = "MNI152NLin2009aSym"
"""The BIDS name of nilearn's MNI152 template, whose files are `mni_icbm152_*_nlin_sym_09a`."""
DESCRIPTION, README, IGNORE = "dataset_description.json", "README.md", ".bidsignore"
IGNORED = (
    "# What BIDS 1.10 has no name for, and the records of the jobs.",
    "*_anomalymap.*",
    "*_xfm.json",
    "ct",
    "/sub-*_*",
    "sub-*/*.json",
    "sub-*/*.png",
    "batches",
    "/checksums.json",
    "/run.json",
    "/scores.tsv",
    "/thresholds.json",
    ".snakemake_timestamp",
    ".part-*",
)


@dataclass(frozen=True)
class Naming:
    """What the names of a data set's files say of its images.

    `modality`: BIDS suffix of the scans, `T1ce` (T1w with a contrast agent) or `ct`; `template`: of the recipe, without
    its folder; "" for files on the scans' own grids.
    """

    modality: str = "T1w"
    template: str = templates.BUNDLED

    @property
    def space(self) -> str:
        """BIDS label of the template's space: a standard one, or the name of the template's file."""
        return MNI152 if self.template == templates.BUNDLED else _label(self.template.partition(".")[0])

    @property
    def datatype(self) -> str:
        """The folder of the images."""
        return "ct" if self.modality == "ct" else "anat"

    @property
    def suffix(self) -> str:
        """The suffix of the scans."""
        return "T1w" if self.modality == "T1ce" else self.modality

    @property
    def reference(self) -> str:
        """The `SpatialReference` of sidecars: the template, or `orig` for a scan's own grid."""
        return "orig" if not self.template else MNI152 if self.template == templates.BUNDLED else self.template


def unprocessed(scan: str, naming: Naming) -> str:
    """The scan as it came. `naming`: without a template."""
    return _image(scan, naming, naming.suffix)


def preprocessed(scan: str, naming: Naming) -> str:
    """The preprocessed scan."""
    return _image(scan, naming, naming.suffix, desc="preproc")


def brain_mask(scan: str, naming: Naming) -> str:
    """The brain mask."""
    return _image(scan, naming, "mask", desc="brain")


def reference_mask(scan: str, naming: Naming, name: str) -> str:
    """The mask `name` that came with a scan: `mask` of its lesions, or `ignore`, what is not scored."""
    return _image(scan, naming, "mask", label={"mask": "lesion", "ignore": "ignored"}[name])


def transform(scan: str, naming: Naming) -> str:
    """The affine that resamples the scan to the template: from template to scan coordinates."""
    return _file(scan, naming, {"from": naming.suffix, "to": naming.space, "mode": "image"}, "xfm.json")


def anomaly_map(scan: str, naming: Naming, processed: bool = False) -> str:
    """The anomaly map of infer or, `processed`, that of postprocess."""
    return _image(scan, naming, "anomalymap", desc="postprocessed" if processed else "")


def reconstruction(scan: str, naming: Naming) -> str:
    """What a model makes of the scan."""
    return _image(scan, naming, naming.suffix, desc="reconstruction")


def predicted_mask(scan: str, naming: Naming, rule: str) -> str:
    """The mask that a threshold rule (its label) made of an anomaly map."""
    return _image(scan, naming, "mask", label="lesion", desc=rule_label(rule))


def rule_label(rule: str) -> str:
    """A threshold rule's label as BIDS label: `healthyQuantile0p98`."""
    return _label(rule.replace(".", "p"))


def find(folder: Path, scan: str, suffix: str = "", label: str = "", desc: str = "") -> Path | None:
    """The image of a scan with these entities in a data set's folder, whatever its space; None without one.

    An empty `suffix` stands for any. Raises InputError if there are several.
    """
    wanted = {"label": label, "desc": _described(scan, desc)}
    paths = [
        path
        for path in _images_and_transforms(folder, scan)
        if path.name.endswith(".nii.gz")
        and suffix in ("", path.name.removesuffix(".nii.gz").rpartition("_")[2])
        and all(_entities_of(path).get(key, "") == value for key, value in wanted.items())
    ]
    if len(paths) > 1:
        what, why = f"{scan} has several files where one is expected", " and ".join(sorted(path.name for path in paths))
        raise InputError(what, file=paths[0].parent, why=why, do="delete the folder and run again")
    return paths[0] if paths else None


def native_path(path: Path, folder: Path) -> Path:
    """Where in the data set's `folder` the image `path` of the template's grid lies once it is on the scan's own."""
    name = native_name(path.name)
    return folder.joinpath(*_places(name.partition(".")[0]), path.parent.name, name)


def native_name(name: str) -> str:
    """The name of an image of the template's grid once it is on the scan's own grid."""
    return re.sub(r"_space-[^_]+", "", name)


def sidecar(path: Path) -> Path:
    """The JSON file that describes an image."""
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def write_sidecar(path: Path, naming: Naming, about: Mapping[str, Any]) -> None:
    """Write the sidecar of the image `path`; `about`: what it holds beside its space."""
    write_json(sidecar(path), {"SpatialReference": naming.reference, **about})


def describe_dataset(folder: Path, content: str, tags: Mapping[str, str] | None = None) -> None:
    """Write what makes `folder` a BIDS derivative data set: `content` in words, and the `tags` of the job.

    Equal files are left alone, for several jobs share a folder.
    """
    name = ", ".join([content, *(f"{key} {value}" for key, value in (tags or {}).items())])
    made_by = {"Name": "brainuad", "Version": __version__}
    about = {"Name": name, "BIDSVersion": BIDS_VERSION, "DatasetType": "derivative", "GeneratedBy": [made_by]}
    texts = {
        DESCRIPTION: json.dumps(about, indent=2) + "\n",
        README: f"# {name}\n\nMade by brainuad {__version__}. Names of files: BIDS {BIDS_VERSION}, derivatives.\n",
        IGNORE: "\n".join(IGNORED) + "\n",
    }
    for file, text in texts.items():
        if not _holds(folder / file, text):
            with atomic(folder / file) as part:
                part.write_text(text, encoding="utf-8")


def is_described(folder: Path, content: str) -> bool:
    """Whether `describe_dataset` wrote this content into `folder`, with whatever tags."""
    try:
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    name = about.get("Name") if isinstance(about, dict) else None
    return isinstance(name, str) and (name == content or name.startswith(f"{content}, "))


def remove(folder: Path, scan: str) -> None:
    """Remove the images of a scan, their sidecars and its transform from a data set's folder."""
    for path in _images_and_transforms(folder, scan):
        path.unlink(missing_ok=True)


def _images_and_transforms(folder: Path, scan: str) -> list[Path]:
    """The files that bear the name of a scan, and sidecars."""
    own = dict(pair.split("-", 1) for pair in _entities(scan))
    paths = [path for datatype in DATATYPES for path in folder.joinpath(*_places(scan), datatype).glob("sub-*")]
    return [path for path in paths if {k: v for k, v in _entities_of(path).items() if k not in OF_IMAGE} == own]


def _entities_of(path: Path) -> dict[str, str]:
    pairs = path.name.partition(".")[0].split("_")[:-1]
    return {key: value for key, _, value in (pair.partition("-") for pair in pairs)}


def _image(scan: str, naming: Naming, suffix: str, label: str = "", desc: str = "") -> str:
    space = naming.space if naming.template else ""
    own = {"space": space, "label": label, "desc": _described(scan, desc)}
    return _file(scan, naming, own, f"{suffix}.nii.gz")


def _file(scan: str, naming: Naming, entities: Mapping[str, str], end: str) -> str:
    """The path of a scan's file in its data set's folder. `end`: suffix and extension."""
    contrast = {"ce": "contrast"} if naming.modality == "T1ce" else {}
    pairs = _entities(scan) + [f"{key}-{value}" for key, value in {**contrast, **entities}.items() if value]
    order = ENTITIES + OF_TRANSFORM
    pairs.sort(key=lambda pair: order.index(pair.partition("-")[0]))
    return "/".join([*_places(scan), naming.datatype, "_".join([*pairs, end])])


def _entities(scan: str) -> list[str]:
    """The entities of a scan's name that BIDS has: `sub-01_ses-2`."""
    return [f"{key}-{_label(value)}" for key, value in _pairs(scan) if key in ENTITIES]


def _described(scan: str, desc: str) -> str:
    """The label of `desc`, with what else the scan's name says, such as `draw-1`: `anomalyDraw1`."""
    words = [desc, *(key + _label(value) for key, value in _pairs(scan) if key not in ENTITIES)]
    first, *rest = [word for word in words if word] or [""]
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def _pairs(scan: str) -> list[tuple[str, str]]:
    pairs = (part.partition("-") for part in scan.split("_"))
    return [(key, value) for key, _, value in pairs]


def _places(scan: str) -> list[str]:
    """The folders of a scan's person and session."""
    return [entity for entity in _entities(scan) if entity.startswith(("sub-", "ses-"))]


def _label(text: str) -> str:
    """A text as BIDS label, of letters and digits; other signs go, and a digest keeps two such texts apart."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    plain = "".join([*words[:1], *(word[0].upper() + word[1:] for word in words[1:])])
    lost = re.search(r"[^A-Za-z0-9_]", text)
    return plain + (hashlib.sha256(text.encode()).hexdigest()[:4] if lost else "")


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
