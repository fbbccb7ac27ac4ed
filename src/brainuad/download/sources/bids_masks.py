"""Which lesion masks belong to a scan of a BIDS data set."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os.path import commonprefix
from pathlib import Path

from brainuad.config.datasets import Bids, Masks
from brainuad.config.paths import misread
from brainuad.download.sources import bids_names as names
from brainuad.errors import InputError
from brainuad.formats.handling import Handling
from brainuad.formats.pointers import content_missing
from brainuad.formats.scans import MASK_SEPARATOR

MATCHED_ENTITIES = ("ses", "acq", "ce", "rec", "run", "echo", "part", "space", "res")
"""Entities that mask and scan must share where both have them."""
NAMING_ENTITIES = ("label", "desc", "seg")
"""Entities that say what a mask is of."""
NO_LESION = re.compile("(brain|head|skull|face|preproc|tissues?|gm|wm|csf)(mask|only)?")
"""Parts of names that say of a mask that it is one of something else."""
NOT_THE_LESION = re.compile(
    "(non?|not|without|outside|peri|contra|mirror(ed)?|inverted|inverse)-?lesion|lesions?-?(free|fill|inpaint|inver|remov)"
)
"""Parts of names of masks of what lies around lesions, or of scans in which they were painted over."""
TEMPLATE_SPACE = re.compile("(mni|icbm|talairach|fsaverage|fslr|oasis|nki|colin|sri24|uncinfant|nihpd)", re.IGNORECASE)
"""How values of `space` begin that are no scan's own."""
RATER = re.compile("rater|reader|observer|annotator|expert")
"""Parts of names that distinguish raters of the same lesions."""
HANDLED = (
    Handling("mask", "a mask of the brain, head or tissue beside the scan", "accepted", "not taken as a lesion mask"),
    Handling(
        "mask",
        "a file named after what surrounds or replaces a lesion (`perilesion`, `nonlesion`, `lesionfilled`)",
        "accepted",
        "not taken as a lesion mask, unless the pattern names it",
    ),
    Handling(
        "mask",
        "`Lesion_Mask`, in other case than the default pattern",
        "accepted",
        "upper and lower case count as equal",
    ),
    Handling(
        "mask",
        "a mask with `space-` of a template in its name, where the scan's name has none",
        "refused",
        "the patient counts as without a mask, unless the setting `mask` names the space",
    ),
    Handling("mask", "`lesion` in the id of a subject or session", "accepted", "ids are not compared with the pattern"),
    Handling(
        "mask",
        "several masks of a scan whose names differ in `label`, `run` or a number alone",
        "converted",
        "joined to one mask, with a note of the volume of each",
    ),
    Handling(
        "mask",
        "masks of several raters, or masks whose names differ otherwise and resemble the scan's name equally",
        "refused",
        "remedy: name one with the setting `mask`",
    ),
    Handling(
        "mask",
        "a broken link, a pointer of git-annex or Git LFS",
        "refused",
        "the reason names the command: `datalad get` or `git lfs pull`",
    ),
)


@dataclass(frozen=True)
class ScanLocation:
    """Subject, session and folder of a scan."""

    subject: str
    session: str
    """Empty if the subject has none."""
    folder: Path


@dataclass
class MaskFinder:
    """Finds lesion masks; reads each folder once. Raises InputError if the folder of masks does not exist."""

    label: str
    settings: Bids
    subjects: frozenset[str] = frozenset()
    """Names of the subjects' folders, by which labels with `_` are known in names of masks."""
    _by_folder: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mask = self.settings.mask
        parts = self._above() if isinstance(mask, Masks) else Path(mask).parent.parts
        fixed = [part for part in parts if "*" not in part]
        top = Path(self.settings.root).joinpath(
            *fixed[: next((i for i, p in enumerate(parts) if "*" in p), len(parts))]
        )
        if parts and not top.is_dir():
            raise InputError(
                f"{self.label} has no folder of lesion masks", file=top, do=f"correct datasets.{self.label}.mask"
            )

    def masks(self, place: ScanLocation) -> list[Path]:
        """The masks of a session, of any of its scans; also those whose data is not there."""
        for folder in self._folders(place):
            names_of = self._names(folder)
            own = names_of.get(place.subject, [])
            if place.subject in folder.parts:
                own = own + names_of.get("", [])
            if masks := [
                folder / name
                for name in own
                if self._is_mask(name, place) and _session(name, place) in ("", place.session)
            ]:
                return masks
        return []

    def _above(self) -> tuple[str, ...]:
        mask = self.settings.mask
        derivatives = mask.derivatives if isinstance(mask, Masks) else None
        return ("derivatives", *Path(derivatives).parts) if derivatives else ()

    def _folders(self, place: ScanLocation) -> list[Path]:
        root, mask = Path(self.settings.root), self.settings.mask
        if isinstance(mask, Masks) and mask.derivatives:
            top = root.joinpath(*self._above(), place.subject)
            sessions = [place.session, ""] if place.session else [""]
            return [top / session / place.folder.name for session in sessions]
        parts = Path(mask).parent.parts if isinstance(mask, str) else ()
        own = {"sub-*": place.subject, "ses-*": place.session}
        return [root.joinpath(*(own.get(part, part) for part in parts))] if parts else [place.folder]

    def _names(self, folder: Path) -> dict[str, list[str]]:
        """The NIfTI files of a folder by the subject that their names say."""
        if folder not in self._by_folder:
            by_subject = defaultdict(list)
            for name in names.nifti_files(str(folder)):
                by_subject[names.subject_of(name, self.subjects)].append(name)
            self._by_folder[folder] = by_subject
        return self._by_folder[folder]

    def _is_mask(self, name: str, place: ScanLocation) -> bool:
        mask = self.settings.mask
        if isinstance(mask, Masks):
            matches = names.suffix(name) == mask.suffix and names.matches(names.entities(name), mask.entities)
            return matches and (bool({*NAMING_ENTITIES} & {*mask.entities}) or not _is_no_lesion(name))
        pattern = Path(mask).name
        without_ids = name.replace(place.subject, "sub-").replace(place.session or "ses-", "ses-")
        if mask == Bids.model_fields["mask"].default:
            name, without_ids = name.lower(), without_ids.lower()
        if not fnmatchcase(name, pattern) or ("brain" not in pattern and _is_no_lesion(name)):
            return False
        if NOT_THE_LESION.search(without_ids.lower()) and not NOT_THE_LESION.search(pattern.lower()):
            return False
        return bool(re.search("(sub|ses)-[^*?]", pattern)) or fnmatchcase(without_ids, pattern)

    def chosen(self, masks: list[Path], image: str) -> ChosenMasks:
        """Those of `masks_of_scan` that are taken for the scan with this file name; see `choose`."""
        found = choose(masks, image, self.settings.healthy)
        if misnamed := [path.name for path in found.masks if misread(path.name) or MASK_SEPARATOR in path.name]:
            return ChosenMasks(note=f"its lesion mask {misnamed[0]} must be renamed: Snakemake or we would misread it")
        space = names.entities(found.masks[0].name).get("space", "") if found.masks else ""
        own_space = "space" in names.entities(image) or "space" in str(self.settings.mask)
        if own_space or not TEMPLATE_SPACE.match(space):
            return found
        why = f"is in the space of a template, {space}, and the scan's name is not"
        return ChosenMasks(note=f"{found.masks[0].name} {why}: resample it to the scan, or name its space in `mask`")

    def similar(self, folder: Path) -> list[str]:
        """Files beside a scan that may be lesion masks by their names, although the settings do not say so."""
        there = [name for name in names.nifti_files(str(folder)) if re.search("lesion|mask|roi|seg", name.lower())]
        return [name for name in there if not (_is_no_lesion(name) or NOT_THE_LESION.search(name.lower()))]


def _is_no_lesion(name: str) -> bool:
    parts = [part.partition("-") for part in (names.nifti_stem(name) or "").lower().split("_")]
    return any(NO_LESION.fullmatch(value or key) for key, _, value in parts if not value or key in NAMING_ENTITIES)


@dataclass(frozen=True)
class ChosenMasks:
    """The masks of a scan, to be united. `note`: what was chosen, or why none can be.

    `missing`: sentences on masks without data, as in a clone without its data; then there are no `masks`.
    """

    masks: list[Path] = field(default_factory=list)
    note: str = ""
    missing: list[str] = field(default_factory=list)


def choose(masks: list[Path], image: str, healthy: bool) -> ChosenMasks:
    """Which of `masks_of_scan` belong to the scan with this file name.

    Parts of one mask are united, of others the most similar name is taken. It is a problem if no name is the most
    similar, unless the subject is `healthy`: then every mask must be empty, and all are read.
    """
    if not masks:
        return ChosenMasks()
    parts = _parts_of_one(masks)
    best = next(group for group in parts if masks[0] in group)
    likeness = _likeness(masks[0], image)
    rivals = [group[0] for group in parts if group is not best and _likeness(group[0], image) >= likeness]
    if any(RATER.search(part) for part in _differing(best)):
        rivals = best[1:]
    if rivals and healthy:
        best = masks
    elif rivals:
        listed = ", ".join(path.name for path in sorted([best[0], *rivals]))
        return ChosenMasks(note=f"which lesion mask is meant is not clear: {listed}")
    if missing := [f"its lesion mask {path.name} {why}" for path in best if (why := content_missing(path))]:
        return ChosenMasks(missing=missing)
    if len(best) > 1:
        note = f"{len(best)} masks are one: {', '.join(path.name for path in best)}"
    else:
        note = f"{best[0].name} of {len(masks)} files" if len(masks) > 1 else ""
    return ChosenMasks(best, note)


def _parts_of_one(masks: list[Path]) -> list[list[Path]]:
    """Masks in groups that belong together: their names differ in `label`, `run`, the side or a number at the end."""
    groups: dict[tuple[str, ...], list[Path]] = {}
    for path in masks:
        rest = [part for part in _name_parts(path.name) if not part.startswith(("label-", "run-", "hemi-", "chunk-"))]
        numbered = (part.partition("-")[0] in MATCHED_ENTITIES for part in rest)
        key = [part if own else re.sub(r"-?\d+$", "", part) for part, own in zip(rest, numbered, strict=True)]
        groups.setdefault(tuple(filter(None, key)), []).append(path)
    return [sorted(group) for group in groups.values()]


def _differing(masks: list[Path]) -> set[str]:
    counts = Counter(part for path in masks for part in set(_name_parts(path.name)))
    return {part for part, count in counts.items() if count < len(masks)}


def _name_parts(name: str) -> list[str]:
    return (names.nifti_stem(name) or "").lower().split("_")


def _likeness(mask: Path, image: str) -> tuple[bool, int]:
    """Of a mask's name and a scan's: whether both are of one space, and how many parts they share."""
    own, other = (set(_name_parts(name)) for name in (mask.name, image))
    return names.entities(mask.name).get("space") == names.entities(image).get("space"), len(own & other)


def masks_of_scan(masks: list[Path], image: str) -> list[Path]:
    """Those masks of a session that can belong to the scan with this file name, the most similar name first."""
    own = names.entities(image)

    def dissimilarity(mask: Path) -> tuple[bool, int, str]:
        other_space = names.entities(mask.name).get("space") != own.get("space")
        return other_space, -len(commonprefix([mask.name, image])), mask.name  # noqa: RUF071 - compares letters, not path parts

    def can_belong(mask: Path) -> bool:
        other = names.entities(mask.name)
        return all(own[key] == other[key] for key in MATCHED_ENTITIES if key in own and key in other)

    return sorted(filter(can_belong, masks), key=dissimilarity)


def _session(name: str, place: ScanLocation) -> str:
    session = names.entities_of(name, place.subject, place.session).get("ses", "")
    return f"ses-{session}" if session else ""
