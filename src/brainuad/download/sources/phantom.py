"""Synthesised heads as a source of scans. Imported while the Snakefile is parsed."""

from __future__ import annotations

from pathlib import Path

from brainuad.config.datasets import Phantoms
from brainuad.config.told import modality_in_words
from brainuad.download.sources.scan_source import ScanSource
from brainuad.formats.scans import Scan, changed


class PhantomSource(ScanSource[Phantoms]):
    """Subjects `sub-001`, `sub-002`, ..."""

    @property
    def makes_files(self) -> bool:
        """Always."""
        return True

    def describe(self) -> str:
        """Number and type of the heads."""
        settings = self.settings
        lesions = "healthy" if settings.healthy else f"with lesions ({settings.lesions})"
        heads = "1 synthesised head" if settings.subjects == 1 else f"{settings.subjects} synthesised heads"
        made = f"{heads} ({modality_in_words(settings.modality)}, {settings.spacing:g} mm)"
        return f"Data set `{self.label}`: {made}, {lesions}; no scans of real people."

    def find_scans(self) -> list[Scan]:
        """As in the base class."""
        return [scan for scan in self._scans() if scan.subject not in self.settings.exclude]

    def make_scans(self, folder: Path) -> list[Scan]:
        """As in the base class; excluded subjects are synthesised too, and the split excludes them."""
        from brainuad.download.sources.phantom_files import PhantomSet, make_dataset

        settings = self.settings
        contrast = "CT" if settings.modality == "ct" else settings.modality
        phantoms = PhantomSet(settings.subjects, settings.seed, contrast, settings.lesions, settings.spacing)
        make_dataset(folder, phantoms)
        return [self._with_paths(scan, folder) for scan in self._scans()]

    def _scans(self) -> list[Scan]:
        names = [f"sub-{number:03d}" for number in range(1, self.settings.subjects + 1)]
        return [Scan(name, name, self.label) for name in names]

    def _with_paths(self, scan: Scan, folder: Path) -> Scan:
        stem = folder / scan.scan / ("ct" if self.settings.modality == "ct" else "anat") / scan.scan
        mask = "" if self.settings.healthy else f"{stem}_desc-lesion_mask.nii.gz"
        return changed(scan, image=f"{stem}_{self.settings.modality}.nii.gz", mask=mask)
