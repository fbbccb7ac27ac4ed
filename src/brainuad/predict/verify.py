"""`brainuad verify`: whether a model file is what was exported, and computes here what it computed there."""

from __future__ import annotations

import json
from pathlib import Path

from brainuad.config.told import listed
from brainuad.errors import InputError
from brainuad.formats import model_file
from brainuad.formats.files import atomic
from brainuad.formats.model_file import Manifest
from brainuad.predict import selftest
from brainuad.predict.model import Model
from brainuad.predict.seeds import in_words

NO_SCRIPT = (
    "<!doctype html><head><meta http-equiv='Content-Security-Policy' "
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
"""Before a page that came with a file: its browser runs no script and asks no host."""


def verify(path: Path, card: Path | None = None) -> list[str]:
    """Check a model file; what to show. `card`: where to write its model card as HTML.

    Raises InputError for a file that is altered or unusable, and where the self-test gives other numbers.
    """
    model = Model(model_file.read(path), path)
    about = model.manifest
    shown = [
        f"{path.name}: the checksums of all parts fit ({model.sha256[:12]})",
        f"model         {about.label}, {in_words(about.seeds)}, of the study {about.study}",
        f"for           {_lesions(about)}; learnt from {len(about.training)} healthy scans",
        f"thresholds    {', '.join(f'{rule} ({each.value:.4g})' for rule, each in about.thresholds.items()) or 'none'}",
        f"whole scans   {_scores(len(about.healthy_scores))}",
        f"licence       {about.licence.strip().partition(chr(10))[0] or 'none was given'}",
    ]
    if model_file.SELF_TEST_FILE not in model.texts:
        shown.append(f"self-test     none: there are no phantoms of {about.modality}")
        return [*shown, *_write_card(model, card)]
    numbers = selftest.run(model, json.loads(model.texts[model_file.SELF_TEST_FILE]))
    if wrong := [each for each in numbers if not each.fits]:
        why = "; ".join(f"{each.name} is {each.found:.5g}, and was {each.stated:.5g}" for each in wrong)
        do = "install the versions that the model card names; compare on another machine"
        raise InputError("the self-test gives other numbers here", file=path, why=why, do=do)
    return [*shown, f"self-test     {len(numbers)} numbers of a phantom's map fit", *_write_card(model, card)]


def _lesions(about: Manifest) -> str:
    if not about.sequences:
        return f"{about.modality}, lesions {about.lesion_sign}"
    lesions = ", ".join(f"{name} {about.signs[name]}" for name in about.sequences)
    return f"sessions with {listed(about.sequences)}, lesions {lesions}"


def _write_card(model: Model, card: Path | None) -> list[str]:
    """Write the model card, in which no script may run; what to show."""
    if card is None:
        return []
    if (page := model.texts.get(model_file.PAGE)) is None:
        raise InputError(f"{model.path.name} has no model card", file=model.path, do="ask for a file that has one")
    with atomic(card) as part:
        part.write_text(NO_SCRIPT + page, encoding="utf-8")
    return [f"model card    {card}"]


def _scores(people: int) -> str:
    return f"compared with {people} healthy people, smallest p {1 / (people + 1):.3g}" if people else "no p values"
