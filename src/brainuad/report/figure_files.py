"""The figures of a report: on the page, and beside it as files for papers and slides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from brainuad.figures.plot import Plot, files, legend, svg
from brainuad.formats.files import atomic_folder

FOLDER = "figures"


class FigureFiles:
    """Draws plots for the page and keeps them, to write all at the end."""

    def __init__(self) -> None:
        self._plots: dict[str, Plot] = {}

    def charts(self, kind: str, plots: Mapping[str, Plot], with_legend: bool = True) -> dict[str, Markup]:
        """Each plot of a kind, by data set or model, as SVG for the page."""
        self._plots |= {f"{kind}_{label}": plot for label, plot in plots.items()}
        return {label: svg(plot) + (legend(plot.lines) if with_legend else "") for label, plot in plots.items()}

    def write(self, out: Path) -> None:
        """Write the folder `figures` into `out`: a PNG, an SVG and a TSV of each plot."""
        with atomic_folder(out / FOLDER) as part:
            for name, plot in self._plots.items():
                for ending, content in files(plot).items():
                    (part / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.{ending}").write_bytes(content)
