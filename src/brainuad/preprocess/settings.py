"""What the preprocessing of a scan depends on, apart from its files and the code."""

from __future__ import annotations

from typing import Any

from brainuad.config.reading import Reading
from brainuad.config.recipe import Preprocess
from brainuad.config.section import Section


class ScanSettings(Section):
    """Settings that all scans of a data set share."""

    modality: str
    """BIDS suffix."""
    healthy: bool
    """Whether its subjects are."""
    register_with: str | None = None
    """Modality of another scan of the session that is registered in place of the scan."""
    reading: Reading = Reading()
    """How the files are read."""
    source: dict[str, Any] = {}
    """Settings of phantoms: with others, files of the same names hold other scans."""
    sequences: list[str] = []
    """Further sequences of each session."""
    aligned: bool = False
    """Whether these lie in one space by their headers."""
    recipe: dict[str, Any]
    """The recipe's `preprocess` section without the limits of quality, which are applied later."""

    def preprocess(self, template: str | None = None) -> Preprocess:
        """The recipe. `template`: the path of a template's file, of which the recipe here has only the name."""
        return Preprocess.model_validate({**self.recipe, "template": template or self.recipe["template"]})
