"""What the papers report and claim: `paper_results.yaml`, checked."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from brainuad.config.load import hint, read_yaml
from brainuad.config.section import Section
from brainuad.errors import ConfigError
from brainuad.metrics import map_metrics, mask_metrics, scan_metrics

FILE = Path(__file__).with_name("paper_results.yaml")
Mark = Literal["paper", "fig", "inf", "ref", "txt", "lit"]
Metric = Literal[
    "dice", "auprc", "auroc_scan", "mcc", "jaccard", "accuracy", "recall", "specificity", "seconds_per_slice"
]
OURS = {
    "auprc": map_metrics.auprc_pooled.name,
    "auroc_scan": scan_metrics.auroc_scan.name,
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


class Reported(Section):
    """One number of one system, or that the text has none."""

    system: str
    """Stable id; of a swept size its value is the suffix."""
    dataset: str
    """Id of the test data."""
    metric: Metric
    """What was measured."""
    dice_kind: Literal["pooled", "volume", "slice"] | None = None
    """Over what Dice is taken; null where the paper does not say."""
    value: float | None
    """null: not in the text."""
    sd: float | None = None
    """As the paper gives it."""
    mark: Mark | None
    """Where the value is from: stated, read off a figure, inferred, authors' code, another text, memory."""
    source: str
    """Place in the paper."""

    @model_validator(mode="after")
    def _marked(self) -> Reported:
        if (self.value is None) != (self.mark is None):
            raise ValueError("a value has a mark, and a null has none")
        return self

    @property
    def ours(self) -> str | None:
        """The metric of ours that stands beside it, or None."""
        return our_metric(self.metric, self.dice_kind)

    @property
    def name(self) -> str:
        """The metric in words."""
        return _words(self.metric) + (f" ({self.dice_kind})" if self.dice_kind else "")

    @property
    def shown(self) -> str:
        """The value with its mark: `~` read off a figure, a dagger from memory."""
        if self.value is None:
            return "not in text"
        text = f"{self.value:g}" + (f" ± {self.sd:g}" if self.sd is not None else "")
        around = {"fig": "~{}", "lit": "{}†", "inf": "{} (inferred)", "ref": "{} (code)", "txt": "{} (another text)"}
        return around.get(self.mark or "", "{}").format(text)


class Claim(Section):
    """A sentence of a paper and how it is checked."""

    claim: str
    """In words."""
    kind: Literal["above", "tied", "bound", "beats_chance", "mostly_false", "orders_differ"]
    """`above`: each of `systems` above each of `others`. `tied`: the intervals of each pair overlap. `bound`: at least
    `at_least`. `beats_chance`: pooled Dice above that of marking the whole brain. `mostly_false`: more than half of
    what is marked is no lesion. `orders_differ`: Dice and AUPRC rank the systems differently."""
    metric: Metric | Literal["seconds_per_scan"] = "dice"
    """What is compared."""
    dice_kind: Literal["pooled", "volume", "slice"] | None = None
    """Over what Dice is taken."""
    systems: list[str] = Field(min_length=1)
    """Systems that the claim is about."""
    others: list[str] = []
    """Systems that they are held against."""
    by: float = Field(1.0, ge=1)
    """How many times as large (`above`)."""
    at_least: float | None = None
    """The bound."""
    modality: str | None = None
    """Scans that the claim is about; on others it is not tested."""
    dataset: str | None = None
    """Label of the data set that it is tested on; any with lesions if none."""

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        if (self.kind in ("above", "tied")) != bool(self.others):
            raise ValueError("above and tied need others, and no other kind takes them")
        if self.kind == "tied" and len(self.systems) != len(self.others):
            raise ValueError("tied needs as many others as systems")
        if (self.kind == "bound") != (self.at_least is not None):
            raise ValueError("bound needs at_least, and no other kind takes it")
        return self


class Paper(Section):
    """A paper: its data, its way from map to mask, its numbers and its claims."""

    training: list[str]
    """Ids of the training data."""
    postprocessing: str
    """Our file of its post-processing chain."""
    rule: str | None
    """Label of its threshold rule; null where the text names none that we have."""
    standing: list[str] = []
    """Differences between the paper and every study of ours."""
    results: list[Reported] = Field(min_length=1)
    """Its numbers."""
    claims: list[Claim] = []
    """What its text claims at least."""

    @model_validator(mode="after")
    def _known(self) -> Paper:
        for claim in self.claims:
            for system in (*claim.systems, *claim.others):
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
        """The rows of a system; raises ConfigError for one that the paper has not."""
        if system not in self.systems:
            raise ConfigError(f"the paper has no system {system}", file=FILE, do=hint(system, self.systems))
        return [row for row in self.results if row.system == system]


def read(content: Any, file: Path = FILE) -> dict[str, Paper]:
    """The papers by key; raises ConfigError for whatever is wrong."""
    try:
        return {str(key): Paper.model_validate(paper) for key, paper in content["papers"].items()}
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{place}: {message}" if place else message, file=file) from None


@cache
def papers() -> dict[str, Paper]:
    """The papers that ship with the program, by key."""
    return read(read_yaml(FILE))


def paper(key: str) -> Paper:
    """A paper; raises ConfigError for a key that is not there."""
    if key not in papers():
        raise ConfigError(f"there are no reported results of a paper {key}", file=FILE, do=hint(key, list(papers())))
    return papers()[key]


def our_metric(metric: str, dice_kind: str | None) -> str | None:
    """Name in `metrics.tsv` of a paper's metric, or None. Dice of unknown kind is held against the mean of scans."""
    return OUR_DICE[dice_kind or "volume"] if metric == "dice" else OURS.get(metric)


def _words(metric: str) -> str:
    words = {"auprc": "AUPRC", "auroc_scan": "scan AUROC", "mcc": "MCC", "dice": "Dice", "jaccard": "Jaccard"}
    return words.get(metric, metric.replace("_", " "))
