"""The numbers and claims of the papers, from `paper_results.yaml`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from brainuad.config.load import hint
from brainuad.config.section import Section
from brainuad.config.yaml_text import read_yaml
from brainuad.errors import ConfigError
from brainuad.metrics import map_metrics, mask_metrics, scan_metrics

FILE = Path(__file__).with_name("paper_results.yaml")
Evidence = Literal["paper", "figure", "inferred", "code", "other_text", "memory"]
DiceOver = Literal["pooled", "volume", "slice"]
Metric = Literal[
    "dice", "auprc", "auroc_scan", "mcc", "jaccard", "accuracy", "recall", "specificity", "seconds_per_slice"
]
OURS = {
    "auprc": map_metrics.auprc_pooled.name,
    "auroc_scan": scan_metrics.auroc_scan.name,
    "mcc": mask_metrics.mcc_volume.name,
    "jaccard": mask_metrics.jaccard_volume.name,
    "accuracy": scan_metrics.oracle_youden_accuracy.name,
    "recall": scan_metrics.oracle_youden_sensitivity.name,
    "specificity": scan_metrics.oracle_youden_specificity.name,
    "seconds_per_scan": "seconds_per_scan",
    "seconds_per_slice": "seconds_per_slice",
}
"""Names of ours by the paper's metric; a metric that is not here is not measured."""
OUR_DICE = {
    "pooled": mask_metrics.dice_pooled.name,
    "volume": mask_metrics.dice_volume.name,
    "slice": mask_metrics.dice_slice.name,
}
"""The same for Dice, by what it is taken over."""

SHOWN = {
    "figure": "~{}",
    "inferred": "{} (inferred)",
    "code": "{} (code)",
    "other_text": "{} (another text)",
    "memory": "{}†",
}
"""How a value is shown by its evidence; without any for `paper`."""


class Reported(Section):
    """One number of one system, or that the text has none."""

    system: str
    """Stable id; of a swept size its value is the suffix."""
    dataset: str
    """Id of the test data."""
    metric: Metric
    """What was measured."""
    dice_over: DiceOver | None = None
    """Whether Dice is of all voxels together, or the mean over volumes or slices; null where the paper does not say."""
    value: float | None
    """null: not in the text."""
    sd: float | None = None
    """As the paper gives it."""
    evidence: Evidence | None
    """Where the value is from: stated in the paper, read off a figure, inferred from the wording, the authors' code,
    another text, or memory."""
    source: str
    """Place in the paper."""

    @model_validator(mode="after")
    def _has_evidence(self) -> Reported:
        if (self.value is None) != (self.evidence is None):
            raise ValueError("a value needs evidence, and a null takes none")
        return self

    @property
    def ours(self) -> str | None:
        """The metric of ours that stands beside it, or None."""
        return our_metric(self.metric, self.dice_over)

    @property
    def name(self) -> str:
        """The metric in words."""
        return _words(self.metric) + (f" ({self.dice_over})" if self.dice_over else "")

    @property
    def shown(self) -> str:
        """The value with its evidence: `~` for read off a figure, a dagger for memory."""
        if self.value is None:
            return "not in text"
        text = f"{self.value:g}" + (f" ± {self.sd:g}" if self.sd is not None else "")
        return SHOWN.get(self.evidence or "paper", "{}").format(text)


class Claim(Section):
    """A claim of a paper and how it is checked."""

    claim: str
    """In words."""
    check: Literal["above", "equal", "at_least", "above_chance", "mostly_false_positive", "orders_differ"]
    """`above`: the number of each of `systems` is above that of each of `references`. `equal`: each pair differs by
    `margin` at most. `at_least`: the number is `bound` or more. `above_chance`: Dice is above that of predicting the
    whole brain. `mostly_false_positive`: more than half of the predicted volume is no lesion. `orders_differ`: Dice
    and AUPRC rank some systems differently."""
    metric: Metric | Literal["seconds_per_scan"] = "dice"
    """What is compared."""
    dice_over: DiceOver | None = None
    """As in `Reported`."""
    systems: list[str] = Field(min_length=1)
    """Systems that the claim is about."""
    references: list[str] = []
    """Systems that they are compared with."""
    factor: float = Field(1.0, ge=1)
    """How many times as large the number must be (`above`)."""
    bound: float | None = None
    """The least number (`at_least`)."""
    margin: float | None = Field(None, gt=0)
    """Largest difference that is none (`equal`); null: that of a close number."""
    modality: str | None = None
    """Scans that the claim is about; on others it is not tested."""
    dataset: str | None = None
    """Label of the data set that it is tested on; null: every data set with lesions."""

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if (self.check in ("above", "equal")) != bool(self.references):
            raise ValueError("above and equal need references, and no other check takes them")
        if self.check == "equal" and len(self.systems) != len(self.references):
            raise ValueError("equal needs as many references as systems")
        if self.margin is not None and self.check != "equal":
            raise ValueError("no check but equal takes a margin")
        if (self.check == "at_least") != (self.bound is not None):
            raise ValueError("at_least needs a bound, and no other check takes one")
        return self


class Paper(Section):
    """A paper: its data, postprocessing and threshold rule, its numbers and its claims."""

    training: list[str]
    """Ids of the training data."""
    postprocessing: str
    """Our file of its postprocessing."""
    threshold_rule: str | None
    """Label of its threshold rule; null where the text names none that we have."""
    template: str | None = None
    """Template of its scans; null: the MNI152 template, or not said."""
    deviations: list[str] = []
    """Deviations of every study of ours from the paper."""
    results: list[Reported] = Field(min_length=1)
    """Its numbers."""
    claims: list[Claim] = []
    """The claims of its text that are checked."""

    @model_validator(mode="after")
    def _known(self) -> Paper:
        for claim in self.claims:
            for system in (*claim.systems, *claim.references):
                if system not in self.systems:
                    raise ValueError(f"the claim {claim.claim!r} is about {system}, which has no row in results")
        return self

    @property
    def systems(self) -> list[str]:
        """Ids of its systems, in order."""
        return list(dict.fromkeys(row.system for row in self.results))

    @property
    def tests(self) -> list[str]:
        """Ids of its test data."""
        return list(dict.fromkeys(row.dataset for row in self.results))

    def of(self, system: str) -> list[Reported]:
        """The numbers of a system; raises ConfigError for an unknown one."""
        if system not in self.systems:
            raise ConfigError(f"the paper has no system {system}", file=FILE, do=hint(system, self.systems))
        return [row for row in self.results if row.system == system]


def read(content: Any, file: Path = FILE) -> dict[str, Paper]:
    """The papers by key; raises ConfigError for wrong content."""
    try:
        return {str(key): Paper.model_validate(paper) for key, paper in content["papers"].items()}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{place}: {message}" if place else message, file=file) from None


@cache
def papers() -> dict[str, Paper]:
    """The shipped papers by key."""
    return read(read_yaml(FILE))


def paper(key: str) -> Paper:
    """A shipped paper; raises ConfigError for an unknown key."""
    if key not in papers():
        raise ConfigError(f"there are no reported results of a paper {key}", file=FILE, do=hint(key, list(papers())))
    return papers()[key]


def our_metric(metric: str, dice_over: str | None) -> str | None:
    """Name in `metrics.tsv` of a paper's metric, or None. Dice of unknown kind is taken as the mean over volumes."""
    return OUR_DICE[dice_over or "volume"] if metric == "dice" else OURS.get(metric)


def _words(metric: str) -> str:
    words = {"auprc": "AUPRC", "auroc_scan": "scan AUROC", "mcc": "MCC", "dice": "Dice", "jaccard": "Jaccard"}
    return words.get(metric, metric.replace("_", " "))
