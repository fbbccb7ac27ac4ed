"""The figures of a report: on the page, and beside it as files for papers and slides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from markupsafe import Markup

from brainuad.figures.plot import Plot, files, legend, svg
from brainuad.figures.shapes import Picture
from brainuad.formats.files import atomic_folder

FOLDER = "figures"


class FigureFiles:
    """Draws plots and pictures for the page and keeps them, to write all at the end."""

    def __init__(self) -> None:
        self._files: dict[str, Callable[[], dict[str, bytes]]] = {}

    def charts(self, kind: str, plots: Mapping[str, Plot], with_legend: bool = True) -> dict[str, Markup]:
        """Each plot of a kind, by data set or model, as SVG for the page."""
        self._files |= {f"{kind}_{label}": partial(files, plot) for label, plot in plots.items()}
        return {label: svg(plot) + (legend(plot.lines) if with_legend else "") for label, plot in plots.items()}

    def pictures(self, kind: str, pictures: Mapping[str, Picture]) -> dict[str, Markup]:
        """Each picture of a kind, by data set, as SVG for the page."""
        self._files |= {f"{kind}_{label}": picture.files for label, picture in pictures.items()}
        return {label: picture.svg() for label, picture in pictures.items()}

    def write(self, out: Path) -> None:
        """Write the folder `figures` into `out`: a PNG, an SVG and a TSV of each."""
        with atomic_folder(out / FOLDER) as part:
            for name, content_by_ending in self._files.items():
                for ending, content in content_by_ending().items():
                    (part / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.{ending}").write_bytes(content)
