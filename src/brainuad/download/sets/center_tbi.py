"""CENTER-TBI: head CT after trauma of many centres, read by an expert panel."""

from __future__ import annotations

import re
from pathlib import Path

from brainuad.config.datasets import Known
from brainuad.download.known.find_files import find_nifti, find_table, read_table
from brainuad.download.known.known_set import About, KnownSet
from brainuad.download.known.lesion_types import lesion_types_of
from brainuad.download.sources.content import SourceContent
from brainuad.errors import InputError
from brainuad.formats.scans import Scan, changed

TABLE = "findings.csv"
COLUMNS = ("scan", "subject", "site", "age", "sex", "types")
NAME = re.compile(r"[A-Za-z0-9-]+")


class CenterTbi(KnownSet):
    """What is delivered depends on the proposal, so the folder is laid out by the user, with one table."""

    about = About(
        title="CENTER-TBI, non-contrast head CT",
        licence="by agreement with the CENTER-TBI management committee",
        access="gated",
        page="https://www.center-tbi.eu/data",
        how_to_get="Send a study plan proposal to the CENTER-TBI management committee, and lay out what you are given.",
        layout=f"""{TABLE}   a row per scan: {", ".join(COLUMNS)}; types joined by `;`, none if nothing was found
ct/<scan>.nii.gz
masks/<scan>.nii.gz      (of scans with findings; any label above 0 is lesion)""",
        modalities=("ct",),
        deviations="No layout is published: this one is brainuad's. Simarro Viana 2020 used 637 scans without "
        "findings and 102 annotated ones; which ones is not published.",
    )
    converts = True

    def find_scans(self, label: str, settings: Known) -> SourceContent:
        """Scans without findings, or those with findings and a mask."""
        root = settings.folder
        path = find_table(root, TABLE)
        rows = read_table(path) if path else []
        if missing := [name for name in COLUMNS if not rows or name not in rows[0]]:
            what = f"has no column {', '.join(missing)}" if rows else "is missing or holds no row"
            return SourceContent([], [f"{TABLE} {what}"])
        scans, problems, without = {}, [], 0
        for row in rows:
            name, subject = row["scan"], row["subject"]
            try:
                lesion_type = lesion_types_of("center_tbi", [part for part in row["types"].split(";") if part.strip()])
            except InputError as error:
                problems.append(f"{TABLE}: {name}: {error.what}")
                continue
            if not (NAME.fullmatch(name) and NAME.fullmatch(subject)):
                problems.append(f"{TABLE}: {name!r} or {subject!r} is no label of letters and digits")
                continue
            if name in scans:
                problems.append(f"{TABLE}: {name} occurs twice")
            image, mask = find_nifti(root / "ct", name), find_nifti(root / "masks", name)
            if image is None:
                problems.append(f"ct/{name}.nii.gz is missing")
            if mask and not lesion_type:
                problems.append(f"masks/{mask.name} belongs to a scan without findings")
            without += bool(lesion_type and mask is None)
            about = {"lesion_type": lesion_type, **{key: row.get(key, "") for key in ("age", "sex", "site")}}
            scan = Scan(f"sub-{subject}_ses-{name}", f"sub-{subject}", label, str(image or ""), str(mask or ""))
            scans[name] = changed(scan, **about)
        chosen = [scan for scan in scans.values() if (not scan.lesion_type if settings.healthy else scan.mask)]
        notes = [f"scans with findings but no mask, left out: {without}"] if without else []
        return SourceContent(sorted(chosen, key=lambda scan: scan.scan), problems, notes)

    def convert(self, scan: Scan, folder: Path) -> Scan:  # noqa: ARG002
        """The files as they are; raises InputError for a scan that is not in Hounsfield units."""
        from brainuad.download.known.checks import require_hounsfield
        from brainuad.formats import volume

        require_hounsfield(volume.read(scan.image).data, scan.image)
        return scan


SET = CenterTbi
