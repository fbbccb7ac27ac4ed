"""What papers report and claim against small tables whose numbers are known."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from brainuad import cli
from brainuad.config.load import build_study, load_study
from brainuad.config.network import GRID
from brainuad.errors import ConfigError, InputError
from brainuad.evaluate.comparisons import compare
from brainuad.formats import ceilings, missing, run, tables
from brainuad.formats.missing import Missing
from brainuad.methods import registry
from brainuad.metrics import statistics
from brainuad.papers import page, reported
from brainuad.papers.catalogue import rows, shipped_models
from brainuad.papers.claims import Evidence, Verdict, decide, examine, holm, paired
from brainuad.papers.comparison import agreement
from brainuad.papers.finished_study import Number, flatness, read_finished_study
from brainuad.papers.reported import Claim, Reported
from brainuad.papers.systems import origin, system_of
from brainuad.plan import Plan
from brainuad.resources import recording

REPOSITORY = Path(__file__).parents[2]
MODELS = shipped_models(REPOSITORY / "config")
PAPERS = reported.papers()
OURS = Number(0.40, 0.36, 0.44)
WIDE = Number(0.40, 0.20, 0.60)
NAN = float("nan")


def claim(check: str, **given: Any) -> Claim:
    return Claim.model_validate({"claim": "c", "check": check, **given})


# Agreement


@pytest.mark.parametrize(
    ("paper", "ours", "expected"),
    [
        (0.37, OURS, "reproduced"),
        (0.449, OURS, "reproduced"),
        (0.35, OURS, "reproduced"),
        (0.37, WIDE, "close"),
        (0.41, Number(0.40, NAN, NAN), "close"),
        (0.55, WIDE, "undecided"),
        (0.60, OURS, "differs"),
        (0.60, Number(0.40, NAN, NAN), "undecided"),
        (None, OURS, "not in text"),
    ],
)
def test_a_wide_interval_neither_reproduces_a_number_nor_refutes_it(paper, ours, expected):
    assert agreement(paper, ours, unlike="") == expected


@pytest.mark.parametrize("unlike", ["data", "size", "map", "postprocessing"])
@pytest.mark.parametrize("paper", [0.40, 0.36, 0.90, None])
def test_a_number_of_another_system_or_data_set_is_never_comparable(paper, unlike):
    assert agreement(paper, OURS, unlike) == "not comparable"


@pytest.mark.parametrize(
    ("value", "evidence", "sd", "shown"),
    [
        (0.526, "figure", None, "~0.526"),
        (0.833, "memory", None, "0.833†"),
        (0.27, "paper", None, "0.27"),
        (0.463, "inferred", None, "0.463 (inferred)"),
        (0.642, "other_text", 0.101, "0.642 ± 0.101 (another text)"),
        (None, None, None, "not in text"),
    ],
)
def test_a_value_shows_its_evidence(value, evidence, sd, shown):
    row = {
        "system": "s",
        "dataset": "d",
        "metric": "dice",
        "value": value,
        "sd": sd,
        "evidence": evidence,
        "source": "x",
    }
    assert Reported.model_validate(row).shown == shown


# Claims

SYSTEMS = ("paolini_ae", "paolini_ceae", "paolini_vae1")


def verdicts(folder: Path, claims: list[Claim], labels=None, **made: Any) -> list[Verdict]:
    done = read_finished_study(finished_study(folder, **made), MODELS)
    names = dict(zip(SYSTEMS, SYSTEMS, strict=True)) if labels is None else labels
    return decide([examine(each, done, "mets", names) for each in claims])


def above(system: str = "paolini_ceae", reference: str = "paolini_ae", **more: Any) -> Claim:
    dice = {"metric": "dice", "dice_over": "slice"}
    return claim("above", **dice | more, systems=[system], references=[reference])


@pytest.mark.parametrize(
    ("gain", "made", "outcome", "says"),
    [
        (0.30, {}, "supported", "p under 0.001 over 20 patients"),
        (-0.30, {}, "contradicted", "over 20 patients"),
        (0.005, {}, "open", "over 20 patients"),
        (0.30, {"patients": 8}, "open", "8 patients are too few"),
        (0.30, {"seeds": [0]}, "not tested", "1 of 3 trainings"),
        (
            0.30,
            {"explained": {"paolini_ceae": -1.2}},
            "not tested",
            "explains none of the variance of healthy scans (below -1)",
        ),
    ],
    ids=["above", "below", "no difference", "few patients", "one seed", "rebuilds nothing"],
)
def test_a_claim_of_order(tmp_path, gain, made, outcome, says):
    dice = {"paolini_ae": 0.3, "paolini_ceae": 0.3 + gain}
    (found,) = verdicts(tmp_path, [above()], dice=dice, **made)
    assert found.outcome == outcome
    assert says in found.why


def test_one_lucky_training_among_three_supports_nothing(tmp_path):
    (found,) = verdicts(tmp_path, [above()], dice={"paolini_ae": 0.3, "paolini_ceae": 0.3}, lucky=0.4)
    assert found.outcome == "open"


def test_three_trainings_say_little_of_a_fourth_however_many_patients_there_are():
    patients = np.random.default_rng(0).normal(0, 0.1, (50, 1))
    apart, alike = np.add(patients, [[0.02, 0.05, 0.07]]), np.add(patients, [[0.05, 0.051, 0.052]])
    assert statistics.paired(apart).p < 0.05 < paired(apart).p
    assert paired(alike).p < 0.01
    assert paired(alike[:, :1]).seeds == 1


def test_a_claim_about_the_best_needs_every_pair_and_every_system(tmp_path):
    dice = {"paolini_ae": 0.30, "paolini_ceae": 0.60, "paolini_vae1": 0.598}
    best = above().model_copy(update={"references": ["paolini_ae", "paolini_vae1"]})
    (found,) = verdicts(tmp_path, [best], dice=dice)
    assert found.outcome == "open", "a tie with one of them"
    (lacking,) = verdicts(
        tmp_path / "b", [best], {"paolini_ae": "paolini_ae", "paolini_ceae": "paolini_ceae"}, dice=dice
    )
    assert (lacking.outcome, lacking.why) == ("not tested", "not run: paolini_vae1")


@pytest.mark.parametrize(
    ("gain", "noise", "outcome"),
    [(0.01, 0.01, "supported"), (0.02, 0.3, "open"), (0.20, 0.01, "contradicted")],
    ids=["within the margin", "not significant", "outside"],
)
def test_no_difference_is_a_claim_with_a_margin(tmp_path, gain, noise, outcome):
    equal = claim("equal", metric="dice", systems=["paolini_ceae"], references=["paolini_ae"])
    dice = {"paolini_ae": 0.4, "paolini_ceae": 0.4 + gain}
    (found,) = verdicts(tmp_path, [equal], dice=dice, noise=noise)
    assert found.outcome == outcome


def test_many_claims_on_one_page_are_corrected_together():
    one = Evidence(0.03, 1.0, 20, ())
    assert decide([one])[0].outcome == "supported"
    assert {each.outcome for each in decide([one, *[Evidence(0.9, 1.0, 20, ())] * 9])} == {"open"}
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.parametrize(
    ("value", "half", "outcome"),
    [(0.80, 0.08, "supported"), (0.75, 0.08, "open"), (0.60, 0.08, "contradicted"), (0.75, NAN, "open")],
)
def test_a_bound_needs_the_interval_of_every_training_above_it(tmp_path, value, half, outcome):
    bound = claim("at_least", metric="auroc_scan", bound=0.7, systems=["paolini_ae"])
    (found,) = verdicts(tmp_path, [bound], auroc={"paolini_ae": (value, half)})
    assert found.outcome == outcome
    assert len(found.numbers) == 3
    paired = claim("above", metric="auroc_scan", systems=["paolini_ae"], references=["paolini_ceae"])
    (without,) = verdicts(tmp_path / "b", [paired], auroc={"paolini_ae": (value, half)})
    assert (without.outcome, "no paired test" in without.why) == ("open", True)


def test_scans_of_a_person_do_not_make_a_bound_decided(tmp_path):
    bound = claim("at_least", metric="auroc_scan", bound=0.7, systems=["paolini_ae"])
    (found,) = verdicts(tmp_path, [bound], auroc={"paolini_ae": (0.8, 0.08)}, patients=18, sessions=2)
    assert (found.outcome, found.why.split()[0]) == ("open", "9")


@pytest.mark.parametrize(
    ("dice", "predicted", "chance", "false"),
    [(0.6, 2.0, "supported", "contradicted"), (0.001, 60.0, "contradicted", "supported")],
)
def test_chance_and_false_positives_are_tested_scan_by_scan(tmp_path, dice, predicted, chance, false):
    claims = [claim("above_chance", systems=["paolini_ae"]), claim("mostly_false_positive", systems=["paolini_ae"])]
    found = verdicts(tmp_path, claims, dice={"paolini_ae": dice}, predicted=predicted, noise=0.0005)
    assert [each.outcome for each in found] == [chance, false]


@pytest.mark.parametrize(("gain", "outcome"), [(0.2, "contradicted"), (-0.2, "supported"), (0.0, "open")])
def test_orders_differ_where_a_pair_is_significantly_in_both_orders(tmp_path, gain, outcome):
    differ = claim("orders_differ", systems=["paolini_ae", "paolini_ceae"])
    auprc = {"paolini_ae": 0.4, "paolini_ceae": 0.4 + gain}
    (found,) = verdicts(tmp_path, [differ], dice={"paolini_ae": 0.3, "paolini_ceae": 0.5}, auprc=auprc)
    assert found.outcome == outcome


@pytest.mark.parametrize(("seconds", "outcome"), [(12.0, "supported"), (9.0, "contradicted"), (10.02, "open")])
def test_times_are_compared_training_by_training(tmp_path, seconds, outcome):
    slow = claim("above", metric="seconds_per_scan", factor=10, systems=["paolini_ceae"], references=["paolini_ae"])
    (found,) = verdicts(tmp_path, [slow], seconds={"paolini_ae": 1.0, "paolini_ceae": seconds})
    assert found.outcome == outcome


# What ships


def test_the_five_papers_report_what_their_texts_say():
    (proposed,) = PAPERS["chatterjee"].of("chatterjee_vae")
    assert (proposed.value, proposed.dataset) == (0.27, "brats2019")
    dice = {system: PAPERS["paolini"].of(system)[0].value for system in PAPERS["paolini"].systems}
    assert dice["paolini_cevae1"] == max(dice.values()) == 0.463
    assert dice["paolini_cevqvae"] == min(dice.values()) == 0.083
    assert len(PAPERS["kuznetsov"].systems) == 25
    assert {row.evidence for row in PAPERS["kuznetsov"].results} == {"figure"}
    shares = [row for row in PAPERS["baur2018"].results if row.metric != "seconds_per_slice"]
    assert len(shares) == 18
    assert all(row.value is None for row in shares), "the body of table 1 is not in the text"
    assert PAPERS["simarro2020"].of("fanogan3d")[0].value == 0.75


def test_the_claims_of_order_are_those_of_the_papers_own_numbers():
    for key in ("paolini", "kuznetsov"):
        numbers = {
            (row.system, row.ours): row.value for row in PAPERS[key].results if row.ours and row.value is not None
        }
        for each in PAPERS[key].claims:
            name = reported.our_metric(each.metric, each.dice_over)
            lowest = min(numbers[system, name] for system in each.systems)
            assert lowest > max(numbers[reference, name] for reference in each.references), each.claim


def test_the_highest_of_a_paper_is_compared_with_all_its_systems():
    claims = {each.claim: each for each in PAPERS["baur2018"].claims}
    (highest,) = [each for text, each in claims.items() if "highest" in text]
    assert {*highest.systems, *highest.references} == set(PAPERS["baur2018"].systems)


def test_an_unknown_system_or_paper_is_refused_in_one_sentence():
    with pytest.raises(ConfigError) as caught:
        PAPERS["baur2018"].of("baur_dea")
    assert caught.value.what == "the paper has no system baur_dea"
    assert caught.value.do == "did you mean baur_dae?"
    with pytest.raises(ConfigError, match="there are no reported results of a paper baur2081") as caught:
        reported.paper("baur2081")
    assert caught.value.do == "did you mean baur2018?"
    content = yaml.safe_load(reported.FILE.read_text())
    content["papers"]["paolini"]["claims"][0]["references"] = ["paolini_xae"]
    with pytest.raises(ConfigError, match="is about paolini_xae, which has no row in results"):
        reported.read(content)
    content["papers"]["paolini"]["results"][0]["evidence"] = None
    with pytest.raises(ConfigError, match="a value needs evidence"):
        reported.read({"papers": {"paolini": content["papers"]["paolini"]}})


@pytest.mark.parametrize(
    ("label", "key", "system"),
    [
        ("baur_dae", "baur2018", "baur_dae"),
        ("baur_dae_small_std", "baur2018", "baur_dae"),
        ("kuz_vae", "kuznetsov", "kuz_vae_32"),
        ("kuz_vae_latent64_ours", "kuznetsov", "kuz_vae_64"),
        ("baur_dae", "paolini", None),
        ("zscore_atlas", "baur2018", None),
    ],
)
def test_a_label_stands_for_a_system(label, key, system):
    name = next(name for name in sorted(MODELS, key=len, reverse=True) if label.startswith(name))
    raw = MODELS[name].model_dump()
    if "latent64" in label:
        raw["network"]["latent"] = 64
    model = registry.validate(raw)
    assert system_of(label, model, PAPERS[key]) == system
    if label == "kuz_vae_latent64_ours":
        assert not origin(label, model, PAPERS[key], MODELS).deviations, "a size that the paper sweeps is none"


def test_deviations_are_the_settings_that_differ_from_the_papers_file():
    raw = MODELS["baur_dae"].model_dump()
    raw["train"] |= {"epochs": None, "steps": 400}
    raw["map"]["standardise"] = True
    known = origin("baur_dae_x", registry.validate(raw), PAPERS["baur2018"], MODELS)
    assert not known.own_map
    assert not known.reduced
    assert known.deviations == [
        "`train.epochs` none (the paper's file: 150)",
        "`train.steps` 400 (the paper's file: none)",
    ]
    small = origin("baur_dae_small", MODELS["baur_dae_small"], PAPERS["baur2018"], MODELS)
    assert small.reduced


def test_every_model_file_has_a_row_with_its_parameters():
    found = {row.name: row for row in rows(MODELS)}
    assert found.keys() == MODELS.keys()
    assert found["baur_dae"].parameters == "5,562,865"
    assert found["baur_dae"].reported == "not in text"
    assert found["kuz_vae"].reported == "Dice ~0.526 (brats2020); AUPRC ~0.342 (brats2020)"
    assert found["baur_dae_small"].paper == "ours, after baur2018"
    assert found["baur_dae_small"].reported == "—"
    assert found["zscore_atlas"].parameters == "none"


# Training


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([5, 4, 3, 2, 1.0, 1.0], "flat (+0.0 %)"),
        ([5, 4, 3, 2, 1.0], "still falling (+50.0 %)"),
        ([5, 4, 3, 2, 2.5], "flat (-25.0 %)"),
        ([5, 4], "too few checks (2)"),
    ],
)
def test_a_loss_is_flat_when_its_last_fifth_gains_less_than_one_percent(values, text):
    training = pd.DataFrame([{"step": 10 * i, "name": "validation_loss", "value": v} for i, v in enumerate(values)])
    assert flatness(training) == text


def test_each_stage_of_a_training_is_judged():
    names = ["validation_loss"] * 5 + ["encoder_validation_loss"] * 2 + ["train_loss"] * 9
    training = pd.DataFrame([{"step": i, "name": name, "value": 1.0} for i, name in enumerate(names)])
    assert flatness(training) == "flat (+0.0 %); encoder: too few checks (2)"


# Pages


def study_content(folder: Path, **more: Any) -> dict[str, Any]:
    own = {"source": "folder", "root": str(folder / "scans"), "modality": "FLAIR"}
    return {
        "study": "mets",
        "paper": "paolini",
        "results": str(folder / "results"),
        "datasets": {
            "clean": {**own, "healthy": True, "split": {"train": 0.8, "validation": 0.2}},
            "mets": {**own, "healthy": False},
        },
        "recipe": "mri_2mm",
        "models": {
            "zscore_atlas": None,
            "paolini_ae": None,
            "paolini_ae_ours": {"use": "paolini_ae", "set": {"map": {"standardise": True}}},
            "paolini_ceae": None,
            "paolini_vae1": None,
        },
        "postprocessing": {"paolini": "paolini", "none": "none"},
        **more,
    }


def finished_study(folder: Path, **given: Any) -> Path:
    """A study file, and the tables that its jobs would leave: CE-AE above AE, and AE under the baseline.

    `dice`, `auprc`: mean over the scans, by model; `noise`: sd over scans; `lucky`: what the last training of the CE-AE
    has more; `explained`, `seconds`: by model, of the run records of infer.
    """
    made = {name: given.pop(name, value) for name, value in MADE.items()}
    content = study_content(folder, **{"seeds": [0, 1, 2], **given})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mets.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    lines, scans = [], []
    for number, model in enumerate(content["models"]):
        dice = made["dice"].get(model, 0.1)
        rng = np.random.default_rng(number)
        of_scans = rng.normal(0, made["noise"], made["patients"])
        of_scans -= of_scans.mean()
        for seed in content["seeds"]:
            lucky = made["lucky"] * (model == "paolini_ceae" and seed == 2)
            shift = 0.01 * dice * (seed - 1) + lucky
            for postprocessing in ("paolini", "none"):
                at = {"model": model, "seed": seed, "dataset": "mets", "postprocessing": postprocessing}
                lines += metric_rows({**at, "n": made["patients"]}, dice + shift, made["auroc"].get(model))
                auprc = made["auprc"].get(model, dice)
                scans += [
                    {**at, "scan": f"sub-{i:02d}", "subject": f"sub-{i // made['sessions']:02d}", "healthy": 0}
                    | {
                        "brain_ml": 1200.0,
                        "lesion_ml": 2.0,
                        "predicted_ml": made["predicted"],
                        "threshold_rule": "healthy_quantile_0.98",
                    }
                    | {"false_ml": made["predicted"] - (dice + each + shift) * (made["predicted"] + 2.0) / 2}
                    | {"dice": dice + each + shift, "auprc": auprc + each + shift}
                    for i, each in enumerate(of_scans)
                ]
    results = folder / "results" / "mets"
    (results / "evaluate").mkdir(parents=True)
    for name, content_of, columns in (("metrics", lines, tables.METRICS), ("scans", scans, tables.SCANS)):
        tables.write(results / "evaluate" / f"{name}.tsv", pd.DataFrame(content_of, columns=list(columns)), columns)
    (results / "track.json").write_text(json.dumps({"paolini_ae/seed-0": {"run": "abc123", "hash": "h"}}))
    for model in {**made["explained"], **made["seconds"]}:
        for seed in content["seeds"]:
            inferred(results, model, seed, made)
    return path


MADE: dict[str, Any] = {
    "dice": {"zscore_atlas": 0.35, "paolini_ae": 0.29, "paolini_ae_ours": 0.45, "paolini_ceae": 0.60},
    "auprc": {},
    "auroc": {},
    "noise": 0.05,
    "lucky": 0.0,
    "patients": 20,
    "sessions": 1,
    "predicted": 2.0,
    "explained": {},
    "seconds": {},
}


def metric_rows(at: dict[str, Any], dice: float, auroc: tuple[float, float] | None) -> list[dict[str, Any]]:
    ends = {"value": dice, "ci_low": dice - 0.03, "ci_high": dice + 0.03}
    rows = [
        {**at, **ends, "threshold_rule": "healthy_quantile_0.98", "metric": "dice_slice"},
        {**at, "value": 0.11, "threshold_rule": "fixed_0.118", "metric": "dice_slice"},
        {**at, **ends, "threshold_rule": "none", "metric": "auprc_scan"},
        {**at, "value": 0.9, "threshold_rule": "oracle", "metric": "dice_slice"},
        {**at, "value": 0.02, "threshold_rule": "none", "metric": "prevalence"},
    ]
    if auroc:
        ends = {"value": auroc[0], "ci_low": auroc[0] - auroc[1], "ci_high": auroc[0] + auroc[1]}
        rows.append({**at, **ends, "threshold_rule": "none", "metric": "auroc_scan"})
    return rows


def inferred(results: Path, model: str, seed: int, made: dict[str, Any]) -> None:
    """The run record of infer on the healthy data set."""
    tags = {"model": model, "seed": str(seed), "dataset": "clean"}
    place = results / "infer" / model / f"seed-{seed}" / "clean"
    with recording.recorded(place, run.Record("infer", tags, {}, seed)) as record:
        record.facts = {"scans": 1}
        if model in made["explained"]:
            explained = made["explained"][model]
            record.facts |= {"reconstruction_explained_variance": explained, "reconstruction_correlation": 0.5}
    if model in made["seconds"]:
        content = json.loads((place / run.NAME).read_text())
        content["seconds"] = made["seconds"][model] * (1 - 0.003 * seed)
        (place / run.NAME).write_text(json.dumps(content))


def made(path: Path) -> str:
    return page.page("paolini", [read_finished_study(path, MODELS)])


def row_of(text: str, *cells: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("|") and all(cell in line for cell in cells)]
    return line


OWN = {"own_data": {"clean": "brainmetshare", "mets": "brainmetshare"}}


def test_a_page_on_stand_ins_says_so_and_calls_nothing_reproduced(tmp_path):
    text = made(finished_study(tmp_path))
    rows = [line for line in text.split("## Claims")[0].splitlines() if line.startswith("| `paolini_")]
    assert rows
    assert all(line.endswith("| not comparable |") for line in rows)
    assert "`mets` (a stand-in)" in text
    assert "other data than the paper's: `mets`" in text


@pytest.mark.parametrize("own", [{"mets": "brainmetshare"}, {"clean": "other", "mets": "brainmetshare"}])
def test_the_test_set_alone_does_not_make_it_the_papers_data(tmp_path, own):
    text = made(finished_study(tmp_path, own_data=own))
    assert "| reproduced |" not in text


@pytest.mark.parametrize(
    ("change", "agreed"),
    [
        ({}, "reproduced"),
        ({"postprocessing": {"none": "none"}}, "not comparable"),
        (
            {
                "models": {
                    "zscore_atlas": None,
                    "paolini_ae": {"use": "paolini_ae", "set": {"train": {"epochs": None, "steps": 9}}},
                }
            },
            "not comparable",
        ),
        (
            {"models": {"zscore_atlas": None, "paolini_ae": {"use": "paolini_ae", "set": {"network": {"latent": 9}}}}},
            "not comparable",
        ),
        (
            {
                "models": {
                    "zscore_atlas": None,
                    "paolini_ae_ours": {"use": "paolini_ae", "set": {"map": {"standardise": True}}},
                }
            },
            "not comparable",
        ),
    ],
    ids=["its own", "postprocessing", "training", "size", "map"],
)
def test_reproduced_needs_the_papers_own_system(tmp_path, change, agreed):
    dice = dict.fromkeys(("paolini_ae", "paolini_ae_ours"), 0.29)
    text = made(finished_study(tmp_path, **OWN, **change, dice=dice))
    assert row_of(text.split("## Claims")[0], "`paolini_ae` | `mets` | 0.302 |").endswith(f"| {agreed} |")


def test_a_page_begins_with_a_figure_and_a_short_table_and_folds_the_rest(tmp_path):
    path = finished_study(tmp_path, **OWN, deviations=["no crop"])
    (written,) = page.write_pages([read_finished_study(path, MODELS)], tmp_path)
    assert written == tmp_path / "paolini.md"
    text = written.read_text()
    order = ["paolini.svg", "| system |", "## Claims", "## Against", "## Deviations", "<details><summary>All numbers"]
    assert sorted(order, key=text.index) == order
    drawn = (tmp_path / "paolini.svg").read_text()
    assert drawn.startswith("<?xml")
    assert "paolini_ceae" in drawn
    assert max(map(len, text.splitlines())) < 160
    lines = [line for line in text.splitlines() if line.startswith(("| `", "- "))]
    assert len(lines) == len(set(lines)), "nothing is told twice"
    assert "- no crop" in text
    assert "0.900" not in text, "the oracle is not shown"
    assert "not measured" not in text.lower().replace("not measured:", "")


def test_a_ceiling_that_cuts_numbers_down_stands_beside_them(tmp_path):
    at_scan, smaller = {"map": {"residual_at": "scan"}}, {"network": {"size": 192}}
    models = {"zscore_atlas": None, "paolini_ae": None, "paolini_ceae": {"use": "paolini_ceae", "set": at_scan}}
    path = finished_study(tmp_path, models={**models, "paolini_vae1": {"use": "paolini_vae1", "set": smaller}})
    assert "ceiling" not in made(path).split("## Claims")[0]
    given = MODELS["paolini_ae"].network_input()
    rows = [
        {"dataset": "mets", "postprocessing": postprocessing, "input": name, "kind": kind, "n": 20}
        | {"metric": metric, "value": value}
        for postprocessing in ("paolini", "none")
        for name, kind, metric, value in (
            (given.of_perfect_map, "ceiling", "dice_volume", 0.145),
            (given.of_perfect_map, "ceiling", "auprc_scan", 0.09),
            (given.name, "floor", "auprc_scan", 0.01),
            (GRID, "ceiling", "dice_volume", 0.95),
        )
    ]
    ceilings.write(tmp_path / "results/mets/ceilings/mets", rows)
    text = made(path).split("## Claims")[0]
    assert "| **0.145** |" in row_of(text, "| `paolini_ae` |")
    assert "| 0.950 |" in row_of(text, "| `paolini_ceae` |")
    assert "| — |" in row_of(text, "| `paolini_vae1` |")


@pytest.mark.parametrize("name", ["baur_sae3", "paolini_vqvae", "chatterjee_vae"])
def test_a_network_that_resizes_where_the_paper_pads_is_a_deviation(name):
    raw = MODELS[name].model_dump()
    raw["network"] |= {"fit": "resize", "size": 64}
    known = origin(f"{name}_small", registry.validate(raw), PAPERS[raw["cite"]], MODELS)
    assert "`network.fit` resize (the paper's file: pad)" in known.deviations


def test_settings_that_differ_alike_are_told_once(tmp_path):
    small = {"set": {"train": {"epochs": None, "steps": 9}}}
    models = {name: {"use": name, **small} for name in ("paolini_ae", "paolini_ceae")}
    text = made(finished_study(tmp_path, models={"zscore_atlas": None, **models}))
    assert text.count("`train.steps` 9") == 1
    assert "`train.steps` 9 (the paper's file: none): all networks" in text
    assert "not run: `paolini_vae1`" in text


@pytest.mark.parametrize(("template", "told"), [("sri24", True), ("mni152", False)])
def test_a_template_is_a_deviation_only_where_it_is_another(tmp_path, template, told):
    done = read_finished_study(finished_study(tmp_path), MODELS)
    paper = done.paper.model_copy(update={"template": template if told else None})
    text = page.page("paolini", [dataclasses.replace(done, paper=paper)])
    assert ("(the paper: sri24)" in text) == told


def test_a_page_names_verdicts_the_best_baseline_and_runs(tmp_path):
    text = made(finished_study(tmp_path, explained={"paolini_vae1": -1.2, "paolini_ae": 0.8}))
    assert "| `mets` | the paper's | **supported** | p under 0.001" in row_of(text, "helps the AE", "the paper's")
    assert "**not tested** | not run: paolini_cevae1" in row_of(text, "helps the larger VAE", "the paper's |")
    assert re.search(r"paolini_ceae - paolini_ae, \w+ of each scan: \+0\.310 \[", " ".join(text.split()))
    assert "| 0.80, r 0.50 |" in row_of(text, "| `paolini_ae` | 0 |")
    assert "**below -1, r 0.50**" in row_of(text, "| `paolini_vae1` | 0 |")
    assert "paolini_ae/seed-0: abc123" in text
    assert "snakemake --profile profiles/local --configfile" in text


def test_networks_are_counted_once_and_held_against_the_best_baseline_over_all_postprocessings(tmp_path):
    done = read_finished_study(finished_study(tmp_path), MODELS)
    spoiled = (done.scans["postprocessing"] == "paolini") & (done.scans["model"] == "zscore_atlas")
    done.scans.loc[spoiled, "auprc"] *= 0.1  # the paper's chain ruins the baseline
    done = dataclasses.replace(done, comparisons=compare(done.scans, ["zscore_atlas"]))
    text = " ".join(page.page("paolini", [done]).split())
    assert "2 of 3 networks lie above `zscore_atlas` after `none` (0.350)" in text
    assert "Better: `paolini_ceae` after `none` (0.600), `paolini_ae_ours` after `none` (0.450)." in text
    assert "Worse: `paolini_vae1` after `none` (0.100)." in text


def test_the_page_calls_nothing_better_that_the_table_of_comparisons_does_not(tmp_path):
    done = read_finished_study(finished_study(tmp_path), MODELS)
    table = compare(done.scans, ["zscore_atlas"])
    undecided = dataclasses.replace(done, comparisons=table.assign(verdict="undecided"))
    text = " ".join(page.page("paolini", [undecided]).split())
    assert "2 of 3 networks lie above" in text
    assert "Better: none. Worse: none." in text


def test_a_claim_is_checked_on_its_own_data_and_modality(tmp_path):
    done = read_finished_study(finished_study(tmp_path), MODELS)
    about = above(system="paolini_ceae")
    for each, cells in (
        (about, "| `mets` | the paper's | **supported** |"),
        (
            about.model_copy(update={"dataset": "corrupted"}),
            "| — | the paper's and ours | **not tested** | no data set",
        ),
        (about.model_copy(update={"modality": "ct"}), "| the paper's and ours | **not tested** | it is about ct"),
    ):
        paper = done.paper.model_copy(update={"claims": [each]})
        text = page.page("paolini", [dataclasses.replace(done, paper=paper)])
        assert cells in row_of(text, "| c |", cells.split("**")[1])


def test_a_constant_threshold_of_the_paper_is_for_its_own_map_alone(tmp_path):
    rules = [{"rule": "fixed", "value": 0.118}, {"rule": "healthy_quantile", "quantile": 0.98}]
    text = made(finished_study(tmp_path, thresholds=rules))
    assert "| fixed_0.118 | 0.302 | 0.110" in row_of(text, "| `paolini_ae` | `mets` |", "fixed")
    assert "| healthy_0.98 | 0.302 | 0.450" in row_of(text, "| `paolini_ae_ours` | `mets` |")


def test_seeds_give_a_mean_and_a_spread(tmp_path):
    text = made(finished_study(tmp_path, seeds=[0, 1, 2]))
    assert "0.290 ± 0.003 [" in row_of(text.split("All numbers")[1], "| `paolini_ae` | `mets` |")


def test_the_same_study_gives_the_same_page(tmp_path):
    path = finished_study(tmp_path)
    for name in ("a", "b"):
        page.write_pages([read_finished_study(path, MODELS)], tmp_path / name)
    for name in ("paolini.md", "paolini.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_study_without_paper_or_tables_is_refused(tmp_path, capsys):
    path = finished_study(tmp_path)
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if key != "paper"}))
    with pytest.raises(InputError, match="the study names no paper"):
        read_finished_study(path, MODELS)
    path.write_text(yaml.safe_dump({**content, "study": "another"}))
    assert cli.main(["compare-paper", str(path), "--docs", str(tmp_path)]) == 1
    assert "error: the study another was not evaluated yet" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(content))
    study = load_study(path)
    lacking = Missing(next(iter(study.models)), str(study.seeds[0]), study.scored_sets()[0], "train", "", "why", "")
    missing.write(Path(study.results) / study.study / "evaluate", [lacking])
    with pytest.raises(InputError, match="evaluations of the study"):
        read_finished_study(path, MODELS)


def test_the_keys_of_the_comparison_change_no_job():
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    plans = [
        Plan(build_study({**raw, **more}, REPOSITORY / "config.yaml"))
        for more in ({}, {"paper": "baur2018", "deviations": ["x"]})
    ]
    model, dataset = "zscore_atlas", "patients"
    jobs = {
        "list_scans": {"dataset": dataset},
        "preprocess": {"dataset": dataset, "scan": "sub-001"},
        "split": {"dataset": dataset},
        "scaling": {},
        "normalize": {"dataset": dataset},
        "train": {"model": model, "seed": "0"},
        "infer": {"model": model, "seed": "0", "dataset": dataset},
        "postprocess": {"model": model, "seed": "0", "dataset": dataset, "postprocessing": "none"},
        "evaluate": {"model": model, "seed": "0", "dataset": dataset},
        "summarise": {},
        "track": {},
        "report": {},
    }
    for stage, wildcards in jobs.items():
        assert plans[0].job(stage, **wildcards).tracked_json() == plans[1].job(stage, **wildcards).tracked_json(), stage


def test_phantoms_are_no_papers_data():
    raw = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    with pytest.raises(ConfigError, match="own_data: patients does not hold scans from files"):
        build_study({**raw, "own_data": {"patients": "baur_inhouse"}}, REPOSITORY / "config.yaml")
