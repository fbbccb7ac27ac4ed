"""What reporting guidelines ask for, what a study fills in of it, and what its authors must write: `checklist.md`.

Item numbers are those of TRIPOD+AI (Collins 2024). CLAIM (Mongan 2020, update Tejani 2024) is grouped by its sections,
since its numbers differ between editions. The wording is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainuad.bibliography import REFERENCES
from brainuad.config.study import Study
from brainuad.config.told import count, listed, modality_in_words
from brainuad.formats.files import atomic
from brainuad.report.methods_section.blocks import Facts
from brainuad.report.methods_section.participants import ROLES, Group, ages
from brainuad.report.missed import Missed
from brainuad.report.subgroups import Subgroup

NAME = "checklist.md"
AUTHORS_ALONE = "–"


@dataclass(frozen=True)
class Item:
    """`filled`: what the study says, with names of `facts` in braces; empty where only the authors know."""

    tripod: str
    claim: str
    asks: str
    filled: str
    authors: str


SECTIONS: Mapping[str, Sequence[Item]] = {
    "Title and abstract": (
        Item("1", "title", "name the kind of study, population, outcome and kind of AI", "", "the title"),
        Item("2", "abstract", "a structured summary", "", "the abstract"),
    ),
    "Introduction": (
        Item("3a", "introduction", "clinical context, and methods that exist", "", "the context"),
        Item("3b", "introduction", "intended patients, use and users", "", "who would use it, where in care"),
        Item("3c", "", "known inequalities in health between groups", "", "what is known of them"),
        Item("4", "introduction", "aims: development, evaluation or both", "{aims}", "hypotheses"),
    ),
    "Methods: data": (
        Item("5a", "methods: data", "sources of data, and how far they represent the patients", "{data}",
             "why these data; how far they represent the intended patients"),
        Item("5b", "methods: design", "dates; prospective or retrospective", "", "dates of examinations, design"),
        Item("6a", "methods: data", "setting, number and place of centres", "{sites}", "setting and centres"),
        Item("6b", "methods: data", "who was eligible, who was excluded", "{exclusions}", "criteria of the data sets"),
        Item("6c", "", "treatments before the examination", "", "whether lesions were treated"),
        Item("7", "methods: data", "preparation and quality control of data", "{preprocessing}",
             "de-identification; whether quality differs between groups of people"),
        Item("8a", "methods: ground truth", "the outcome: how the reference was made", "{reference}",
             "protocol of the annotation, why this reference"),
        Item("8b", "methods: ground truth", "who annotated, with which training and tools", "",
             "annotators, their experience, tools, agreement between them"),
        Item("8c", "methods: ground truth", "whether annotators knew the results of models", "",
             "whether masks were drawn without sight of any map"),
        Item("9a to 9c", "methods: data", "predictors: what the model sees, and how it was chosen", "{inputs}",
             "scanners, sequences and their parameters"),
        Item("10", "methods: data", "how the size of the study came about", "{sizes}", "why this number is enough"),
        Item("11", "methods: data", "missing data", "{missing}", "scans that were never there"),
    ),
    "Methods: models": (
        Item("12a", "methods: partitions", "use of the data: training, validation, test; disjoint at which level",
             "{split}", "whether people are in several data sets under other names"),
        Item("12b", "methods: data", "how predictors were handled", "{scaling}", "–"),
        Item("12c", "methods: model, training", "kind of model, its building, tuning and selection", "{models}",
             "how settings that are not a paper's were chosen, and on which data"),
        Item("12d", "methods: evaluation", "differences between clusters, such as sites", "{clusters}", "–"),
        Item("12e", "methods: evaluation", "measures of performance, uncertainty and comparison", "{metrics}",
             "which one was primary before the results were seen"),
        Item("12f", "", "updating of the model after evaluation", "none was done", "–"),
        Item("12g", "methods: evaluation", "how outputs were computed in evaluation", "{evaluation}", "–"),
        Item("13", "", "handling of imbalanced classes",
             "training sees healthy scans alone; AUPRC is given with its level of chance", "–"),
        Item("14", "", "fairness", "{subgroups}", "which differences would matter"),
        Item("15", "methods: model", "the output, and thresholds with their reasons", "{thresholds}",
             "why these rates of false positives"),
        Item("16", "methods: partitions", "differences between development and evaluation data", "{difference}",
             "scanners, protocols and populations of both"),
        Item("17", "other information", "ethics approval and consent", "", "approval, consent or exemption"),
    ),
    "Open science": (
        Item("18a", "other information", "funding", "", "funders and their part"),
        Item("18b", "", "conflicts of interest", "", "a declaration"),
        Item("18c, 18d", "other information", "protocol and registration", "", "where they are, or that there is none"),
        Item("18e", "other information", "availability of data", "{licences}", "how to get data of your own"),
        Item("18f", "methods: model; other information", "availability of code", "{software}", "where this version is"),
        Item("19", "", "involvement of patients and the public", "", "what there was, or that there was none"),
    ),
    "Results": (
        Item("20a", "results: data", "flow of participants", "{flow}", "what happened before scans were listed"),
        Item("20b", "results: data", "characteristics, by partition", "{people}", "diseases, their severity"),
        Item("20c", "results: data", "comparison with the development data", "{difference}", "–"),
        Item("21", "results: data", "numbers in each analysis", "column `n` of `metrics.tsv` and of the report", "–"),
        Item("22", "", "the model in full", "weights and settings of each training in `train/`, settings in the report",
             "where others get the weights"),
        Item("23a", "results: model performance", "performance with intervals, subgroups included", "{performance}",
             "–"),
        Item("23b", "results: model performance", "heterogeneity between clusters", "{clusters}", "–"),
        Item("24", "", "results of updating", "none was done", "–"),
        Item("", "methods: evaluation", "robustness and sensitivity analyses", "{sensitivity}", "–"),
        Item("", "results: model performance", "analysis of failures",
             "the report shows scans from the best to the worst, chosen by rank",
             "what the missed lesions and the false positives have in common"),
    ),
    "Discussion": (
        Item("25", "discussion", "interpretation, with earlier studies", "", "the interpretation"),
        Item("26", "discussion", "limitations, bias, generalisability", "{limits}", "limitations"),
        Item("27a", "", "poor or missing input in use", "scans beyond limits of quality are refused, with the reason",
             "what should happen to these patients"),
        Item("27b", "", "what users must do and know", "", "tasks and expertise of users"),
        Item("27c", "discussion", "next steps", "", "next steps"),
    ),
}  # fmt: skip
"""Items by section of a paper."""


def facts(
    study: Study, groups: Sequence[Group], missed: Sequence[Missed], subgroups: Sequence[Subgroup]
) -> dict[str, str]:
    """What the study fills in, by the names in `Item.filled`."""
    used = [scan for group in groups for scan in group.used if not group.made]
    people = {scan.person: scan for scan in used}.values()
    by_role = {role: sum(len(g.used) for g in groups if g.role == role and not g.made) for role in filter(None, ROLES)}
    failed, excluded = (sum(len(getattr(g, key)) for g in groups if not g.made) for key in ("failed", "excluded"))
    sites = {scan.site for scan in people if scan.site}
    attributes = list(dict.fromkeys(each.attribute for each in subgroups))
    learning = [label for label, model in study.models.items() if model.learns]
    training = [label for label, d in study.scan_sets().items() if d.split and d.split.train]
    other = [label for label in study.scored_sets() if label not in training]
    known = {name: sum(bool(getattr(each, name)) for each in people) for name in ("sex", "site")}
    known["age"] = len(ages(people))
    inputs = [name for each in study.scan_sets().values() for name in (each.modality, *each.sequences)]
    return {
        "aims": f"{count(len(study.models), 'model')}, developed and evaluated here ({len(learning)} trained)",
        "data": f"data sets {listed([f'`{label}`' for label in study.datasets])}: Data",
        "sites": f"{count(len(sites), 'site')} in the tables of participants" if sites else AUTHORS_ALONE,
        "exclusions": f"{failed} scans failed, {excluded} were excluded by a person, each with its reason in "
        "failures.tsv",
        "preprocessing": "Preprocessing, with each limit of quality",
        "reference": "lesion masks: table of lesions under Data",
        "inputs": f"{listed(sorted({modality_in_words(name) for name in inputs}))} scans: Input of the models",
        "sizes": f"scans: {', '.join(f'{number} {ROLES[role]}' for role, number in by_role.items() if number)}",
        "missing": f"known of {len(people)} subjects: age {known['age']}, sex {known['sex']}, site {known['site']}; "
        "nothing was imputed",
        "split": "by subject; Data",
        "scaling": "Input of the models",
        "models": f"Models; seeds {listed([str(seed) for seed in study.seeds])}",
        "clusters": f"subgroups by {listed(attributes)} in the report"
        if "site" in attributes
        else "fewer than two sites are known",
        "metrics": "Evaluation, with each definition and setting; Statistics",
        "evaluation": "Predicted masks; Evaluation",
        "subgroups": f"AUPRC by {listed(attributes)} in the report"
        if attributes
        else "no attribute of patients is known",
        "thresholds": "Predicted masks, with the rate realised on healthy test scans",
        "difference": f"training data: {listed(training)}; other data: {listed(other) or 'none'}: table of "
        "participants",
        "licences": "page and licence of each published data set: Data",
        "software": "Software and computing",
        "flow": "table of participants",
        "people": "table of participants",
        "performance": "the report, and `metrics.tsv`, with 95 % intervals",
        "sensitivity": (listed([str(each) for each in missed]) + ": counted as missed in the report")
        if missed
        else "no scan with a lesion mask failed; settings of scoring can be varied",
        "limits": f"{count(by_role['test'], 'test scan')}, {count(len(study.seeds), 'seed')}",
    }


def table(section: str, filled: Mapping[str, str]) -> Facts:
    """The items of one section."""
    rows = [
        [item.tripod or "–", item.claim or "–", item.asks, item.filled.format(**filled) or AUTHORS_ALONE, item.authors]
        for item in SECTIONS[section]
    ]
    return Facts("", ["TRIPOD+AI", "CLAIM", "asks for", "this study fills in", "the authors write"], rows)


def write(study: Study, filled: Mapping[str, str], out: Path) -> None:
    """Write `checklist.md` into the folder `out`."""
    parts = [
        f"# Checklist of the study `{study.study}`",
        "Items of two reporting guidelines, in our own words; read the guidelines before you submit. Headings such as "
        "*Data* are those of `methods.md`. A study of lesion detection is not a clinical prediction model in every "
        "respect: some items of TRIPOD+AI may not apply.",
        f"- TRIPOD+AI: {REFERENCES['tripod_ai2024']}\n- CLAIM, grouped by its sections: {REFERENCES['claim2020']} "
        f"{REFERENCES['claim2024']}",
    ]
    for section in SECTIONS:
        parts += [f"## {section}", table(section, filled).markdown().strip()]
    with atomic(out / NAME) as part:
        part.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
