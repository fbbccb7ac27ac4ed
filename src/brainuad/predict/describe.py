"""What is said of a scan that was mapped: its record, its findings, its viewer."""

from __future__ import annotations

import html
import math
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainuad.formats import leftovers
from brainuad.predict import page
from brainuad.predict.findings import Finding, findings
from brainuad.predict.record import Record
from brainuad.resources.recording import versions

if TYPE_CHECKING:
    from brainuad.predict.found import Found

NOTEBOOK = "ipykernel"
"""The module that runs in a notebook's process."""
FRAME_PIXELS = 760
"""Height of the viewer in a notebook."""


def findings_of(found: Found, threshold: str | None = None) -> list[Finding]:
    """The components of the mask of a threshold, highest peak first; by default that of `found.threshold`."""
    label = found.threshold if threshold is None else threshold
    return findings(found.processed, found.masks[label], found.places) if label else []


def record_of(found: Found, listed: Sequence[Finding]) -> Record:
    """The record of a scan, without what the command line knows of it. `listed`: as from `findings_of`."""
    prepared, places, label = found.prepared, found.places, found.threshold
    scale = abs(float(np.linalg.det(prepared.transform.matrix[:3, :3] @ prepared.affine[:3, :3]))) / 1000
    remarks = [*found.doubts, *prepared.reasons]
    return Record(
        scan=found.label,
        file=found.file,
        sequences=found.files,
        model=found.model,
        state="doubtful" if remarks else "alike",
        remarks=remarks,
        remedy=prepared.remedy,
        score=found.score,
        p_healthy=None if math.isnan(found.p_healthy) else found.p_healthy,
        p_smallest=None if math.isnan(found.p_smallest) else found.p_smallest,
        threshold=label,
        thresholds=found.thresholds,
        findings=[each.as_dict() for each in listed],
        marked_ml=float(found.masks[label].sum()) * places.voxel_ml if label else None,
        brain_ml=float(prepared.brain.sum()) * scale,
        quality=prepared.quality,
        notes=prepared.notes,
        stripped=prepared.stripped,
        content=prepared.content,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )


def viewer(found: Found) -> str:
    """The page of a scan, which needs no other file."""
    listed = findings_of(found)
    return page.write(found, record_of(found, listed), listed, found.places)


def in_notebook(found: Found) -> str:
    """The viewer in a frame, so that its styles and scripts stay apart from those of a notebook."""
    content = html.escape(viewer(found), quote=True)
    return f'<iframe srcdoc="{content}" width="100%" height="{FRAME_PIXELS}" style="border:0" sandbox="allow-scripts">'


def show(found: Found) -> Path | None:
    """Open the viewer: in the notebook, else in a browser, of which the page is returned.

    The page lies in a temporary folder that a later brainuad process removes.
    """
    if NOTEBOOK in sys.modules:
        import_module("IPython.display").display(found)
        return None
    path = leftovers.make_temporary_folder(Path(tempfile.gettempdir())) / f"{found.label}_view.html"
    path.write_text(viewer(found), encoding="utf-8")
    webbrowser.open(path.as_uri())
    return path
