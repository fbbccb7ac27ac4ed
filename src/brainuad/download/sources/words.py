"""What words in names of files, and sidecars beside them, say of scans that are in no BIDS order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from brainuad.config.datasets import Modality
from brainuad.download.sources import bids_names as names

MODALITIES: tuple[str, ...] = get_args(Modality)
NOT_A_SCAN = re.compile(
    r"(brain|head|skull|lesion|tumou?r)?masks?|dseg|probseg|a?seg|segmentation|labels?|lesions?|rois?"
    r"|anomalymap|xfm|bold|dwi|epi"
)
"""Last part of the names of files that are no structural scan."""
AGENT = (
    r"(ce|c|gd|gad|km|contrast|post(?!.?op))([^a-z]|$)|.*[^a-z](ce|gd|gad|km|post(?!.?op))([^a-z]|$)"
    r"|.*(post|with).?(contrast|gad|gd|km)|.*gadolin|.*(?<!un)(?<!non)(?<!non.)enhanced"
)
"""After `t1` in the names of scans with contrast agent."""
WORDS = {
    "FLAIR": r"flair|dark.?fluid|(^|[^a-z])t2f([^a-z]|$)",
    "T1ce": rf"(^|[^a-z])t1(?!\d)w?[^a-z0-9]?({AGENT})|(mp.?rage|bravo|spgr)[^a-z0-9]?({AGENT})",
    "T2w": r"(^|[^a-z])t2(?!\d|.?star|\*)",
    "T1w": r"(^|[^a-z])t1(?!\d)|mp.?rage|bravo|spgr",
    "PDw": r"(^|[^a-z])pdw?([^a-z]|$)|proton.?dens",
    "ct": r"(^|[^a-z])ct([^a-z]|$)",
}
"""In names of files and series in small letters, by modality; the first that fits counts."""


def modality_of(name: str) -> str | None:
    """The modality that a BIDS suffix names; None for other names."""
    suffix = names.suffix(name)
    if suffix == "T1w" and "ce" in names.entities(name):
        return "T1ce"
    return suffix if suffix in MODALITIES else None


def modality_in_words(path: Path) -> str | None:
    """The modality by a BIDS suffix, by the converter's sidecar, or by words in the name; None if nothing says it."""
    if modality := modality_of(path.name):
        return modality
    about = _sidecar(path)
    if about.get("Modality") == "CT":
        return "ct"
    texts = (_of_sidecar(about), names.nifti_stem(path.name) or "")
    found = (
        modality for text in texts for modality, pattern in WORDS.items() if text and re.search(pattern, text.lower())
    )
    return next(found, None)


def is_no_scan(name: str) -> bool:
    """Whether the name is that of a mask, map or functional image, by its last part."""
    last = re.split(r"[_\-\s]", names.nifti_stem(name) or "")[-1]
    return NOT_A_SCAN.fullmatch(last.lower()) is not None


def is_scout(path: Path) -> bool:
    """Whether it is a localizer, by its name or sidecar."""
    text = f"{_of_sidecar(_sidecar(path))}_{names.nifti_stem(path.name)}".lower().replace(" ", "_")
    return names.SCOUT.search(text) is not None


def _of_sidecar(about: Mapping[str, Any]) -> str:
    return " ".join(str(about[key]) for key in ("SeriesDescription", "ProtocolName") if key in about)


def _sidecar(path: Path) -> dict[str, Any]:
    """What the converter writes beside a scan; empty if it is not there."""
    try:
        about = json.loads(path.with_name(f"{names.nifti_stem(path.name)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}
