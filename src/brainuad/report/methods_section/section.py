"""The methods section as a whole: what the plan says, with what the results tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brainuad.bibliography import bibtex, number_citations
from brainuad.config.study import Study
from brainuad.config.told import listed
from brainuad.formats.files import atomic
from brainuad.report.methods_section import computing, cuts, lesions, participants, scoring
from brainuad.report.methods_section.blocks import Block, Facts, Section, markdown, texts
from brainuad.report.methods_section.participants import Group
from brainuad.report.missed import NUMBERS, Missed
from brainuad.report.study_results import StudyResults

TEXT, REFERENCES = "methods.md", "references.bib"
NOT_SAID = (
    "What only the authors know is not in it: ethics approval, how subjects were recruited, who drew the lesion masks "
)
NOT_SAID += "of data sets of their own, and why the study has its size. `checklist.md` lists it."


@dataclass(frozen=True)
class Found:
    """What the report has gathered already. `provenance`: versions, commits and machines."""

    groups: Sequence[Group]
    missed: Sequence[Missed]
    provenance: Mapping[str, Any]
    costs: pd.DataFrame


def methods_section(
    study: Study, planned: Mapping[str, Sequence[str]], results: StudyResults, folder: Path, found: Found
) -> Section:
    """Paragraphs and tables by heading. `planned`: of the plan; `folder`: `results/<study>`."""
    added: dict[str, list[Block]] = {"Data": [], "Predicted masks": [], "Evaluation": [], "Statistics": []}
    if found.groups:
        added["Data"] = [participants.sentences(found.groups), participants.table(found.groups)]
    added["Data"] += _there(lesions.table(study, results.scans, folder))
    added["Predicted masks"] = _there(cuts.table(study, results.metrics, folder))
    added["Evaluation"] = [*_there(scoring.metrics_table(results.metrics)), scoring.settings_table(study.evaluate)]
    added["Statistics"] = _missed(found)
    section: dict[str, list[Block]] = {
        heading: [*planned.get(heading, ()), *blocks] for heading, blocks in added.items()
    }
    ordered = {heading: section.get(heading, list(blocks)) for heading, blocks in planned.items()} | section
    software = computing.paragraph(study.compute, found.provenance, results.records, found.costs)
    return {**ordered, "Software and computing": software, "Not in this text": [NOT_SAID]}


def _there(table: Facts | None) -> list[Block]:
    return [] if table is None else [table]


def _missed(found: Found) -> list[Block]:
    """How test scans that failed bear on the results."""
    if not found.groups:
        return []
    if not found.missed:
        return ["No test scan with a lesion mask failed before scoring."]
    rows = [
        [each.dataset, model, postprocessing, *(f"{value:.3f}" for name in NUMBERS for value in numbers[name])]
        for each in found.missed
        for model, postprocessing, numbers in each.rows
    ]
    columns = ["data set", "model", "postprocessing"]
    columns += [text for name in NUMBERS.values() for text in (name, f"{name}, failed scans as missed")]
    number = listed([str(each) for each in found.missed])
    caption = "Sensitivity analysis: test scans that failed before scoring count as missed, with AUPRC and Dice 0."
    return [f"{number}; in a sensitivity analysis they count as missed.", Facts(caption, columns, rows, folded=True)]


def write(section: Section, study: Study, out: Path) -> None:
    """Write `methods.md` and `references.bib` into the folder `out`."""
    head = f"# Methods of the study `{study.study}`\n\nCitations are keys of `{REFERENCES}`, as Pandoc reads them.\n\n"
    text = head + markdown(section)
    for name, content in ((TEXT, text), (REFERENCES, bibtex(text))):
        with atomic(out / name) as part:
            part.write_text(content, encoding="utf-8")


def numbered(section: Section) -> tuple[dict[str, list[Block]], list[str]]:
    """The section with citations as numbers, and the references in their order."""
    text = number_citations(texts(section))
    sentences = iter(text.sentences)
    filled: dict[str, list[Block]] = {}
    for heading, blocks in section.items():
        filled[heading] = []
        for block in blocks:
            sentence = next(sentences)
            filled[heading].append(
                sentence if isinstance(block, str) else Facts(sentence, block.columns, block.rows, block.folded)
            )
    return filled, text.references
