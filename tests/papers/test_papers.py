"""What papers report and claim against small tables whose numbers are known."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from brainuad import cli
from brainuad.config.load import build_study, load_study
from brainuad.errors import ConfigError, InputError
from brainuad.formats import missing, run, tables
from brainuad.formats.missing import Missing
from brainuad.methods import registry
from brainuad.papers import page, reported
from brainuad.papers.catalogue import rows, shipped_models
from brainuad.papers.comparison import agreement, check_numbers
from brainuad.papers.finished_study import Number, flatness, read_finished_study
from brainuad.papers.reported import Claim, Reported
from brainuad.papers.systems import origin, system_of
from brainuad.plan import Plan
from brainuad.resources import recording

REPOSITORY = Path(__file__).parents[2]
MODELS = shipped_models(REPOSITORY / "config")
PAPERS = reported.papers()
OURS = Number(0.40, 0.35, 0.45)
NAN = float("nan")


def claim(check: str, **given: Any) -> Claim:
    return Claim.model_validate({"claim": "c", "check": check, **given})


def lookup(numbers: dict[tuple[str, str], Number]):
    return lambda system, metric: numbers.get((system, metric))


# Agreement


@pytest.mark.parametrize(
    ("paper", "ours", "expected"),
    [
        (0.36, OURS, "reproduced"),
        (0.35, OURS, "reproduced"),
        (0.349, Number(0.40, 0.38, 0.45), "differs"),
        (0.36, Number(0.40, 0.38, 0.45), "close"),
        (0.60, OURS, "differs"),
        (0.41, Number(0.40, NAN, NAN), "close"),
        (None, OURS, "not in text"),
        (0.36, None, "not measured"),
    ],
)
def test_a_number_on_the_papers_own_data_is_judged_by_our_interval(paper, ours, expected):
    assert agreement(paper, ours, own_data=True) == expected


@pytest.mark.parametrize("paper", [0.40, 0.36, 0.90, None])
def test_a_number_on_other_data_is_never_comparable(paper):
    assert agreement(paper, OURS, own_data=False) == "not comparable"


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


def test_a_claim_of_order_holds_for_every_pair_or_not_at_all():
    numbers = {(s, "auprc_pooled"): Number(v, v - 0.1, v + 0.1) for s, v in {"a": 0.5, "b": 0.4, "c": 0.3}.items()}
    above = claim("above", metric="auprc", systems=["a", "b"], references=["c"])
    assert check_numbers(above, lookup(numbers)).state == "holds"
    assert "b 0.400 [0.300, 0.500]" in check_numbers(above, lookup(numbers)).numbers
    assert check_numbers(above, lookup(numbers)).numbers.endswith("; the intervals of 2 of 2 pairs overlap")
    assert check_numbers(
        claim("above", metric="auprc", systems=["a", "c"], references=["b"]), lookup(numbers)
    ).state == ("does not hold")
    times = claim("above", metric="auprc", systems=["a"], references=["c"], factor=2)
    assert check_numbers(times, lookup(numbers)).state == "does not hold", "0.5 is not twice 0.3"
    missing = check_numbers(claim("above", metric="auprc", systems=["a"], references=["c", "d"]), lookup(numbers))
    assert (missing.state, missing.numbers) == ("not tested", "no number of d")


def test_a_tie_is_an_overlap_of_intervals():
    numbers = {
        ("a", "auprc_pooled"): Number(0.5, 0.4, 0.6),
        ("b", "auprc_pooled"): Number(0.35, 0.3, 0.41),
        ("c", "auprc_pooled"): Number(0.2, 0.1, 0.3),
    }
    for other, state in (("b", "holds"), ("c", "does not hold")):
        tied = claim("overlap", metric="auprc", systems=["a"], references=[other])
        assert check_numbers(tied, lookup(numbers)).state == state
    numbers["b", "auprc_pooled"] = Number(0.5, NAN, NAN)
    without = check_numbers(claim("overlap", metric="auprc", systems=["a"], references=["b"]), lookup(numbers))
    assert (without.state, without.numbers) == ("not tested", "no interval of b")


def test_a_bound_holds_from_the_bound_on():
    for value, state in ((0.70, "holds"), (0.69, "does not hold")):
        bound = claim("at_least", metric="auroc_scan", bound=0.7, systems=["a"])
        assert check_numbers(bound, lookup({("a", "auroc_scan"): Number(value, 0, 1)})).state == state


@pytest.mark.parametrize(("true", "false", "lesion"), [(50, 40, 100), (50, 60, 100), (10, 890, 100)])
def test_chance_and_false_positives_follow_from_counted_voxels(true, false, lesion):
    brain = 1000
    numbers = {
        ("a", "dice_pooled"): Number(2 * true / (true + false + lesion), NAN, NAN),
        ("a", "voxel_fpr"): Number(false / (brain - lesion), NAN, NAN),
        ("a", "prevalence"): Number(lesion / brain, NAN, NAN),
    }
    mostly = check_numbers(claim("mostly_false_positive", systems=["a"]), lookup(numbers))
    assert mostly.state == ("holds" if false > true else "does not hold")
    everything = 2 * lesion / (brain + lesion)
    chance = check_numbers(claim("above_chance", systems=["a"]), lookup(numbers))
    assert chance.state == ("holds" if numbers["a", "dice_pooled"].value > everything else "does not hold")


def test_orders_differ_where_the_best_by_dice_is_not_the_best_by_auprc():
    dice, auprc = {"a": 0.3, "b": 0.2}, {"a": 0.4, "b": 0.5}
    numbers = {(s, "dice_volume"): Number(v, NAN, NAN) for s, v in dice.items()}
    differ = claim("orders_differ", systems=["a", "b"])
    crossed = {(s, "auprc_pooled"): Number(v, NAN, NAN) for s, v in auprc.items()}
    assert check_numbers(differ, lookup(numbers | crossed)).state == "holds"
    same = {(s, "auprc_pooled"): Number(v, NAN, NAN) for s, v in dice.items()}
    assert check_numbers(differ, lookup(numbers | same)).state == "does not hold"


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


def test_the_claims_hold_by_the_papers_own_numbers():
    for key in ("paolini", "kuznetsov"):
        numbers = {
            (row.system, row.ours): Number(row.value, row.value, row.value)
            for row in PAPERS[key].results
            if row.ours and row.value is not None
        }
        for each in PAPERS[key].claims:
            assert check_numbers(each, lookup(numbers)).state == "holds", each.claim


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


def test_a_page_says_how_well_networks_rebuild_healthy_scans_and_marks_those_that_do_not(tmp_path):
    path = finished_study(tmp_path)
    for model, explained in (("paolini_ae", 0.8), ("paolini_ceae", -3.0)):
        for dataset in ("clean", "mets"):
            facts = {
                "scans": 2,
                "reconstruction_explained_variance": explained - (dataset == "mets"),
                "reconstruction_correlation": 0.5,
            }
            tags = {"model": model, "seed": "0", "dataset": dataset}
            place = tmp_path / "results/mets/infer" / model / "seed-0" / dataset
            with recording.recorded(place, run.Record("infer", tags, {}, 0)) as record:
                record.facts = facts
    text = made(path, tmp_path)
    assert " | 0.80 of the variance, correlation 0.50 | " in row_of(text, "`paolini_ae` | 0 |")
    assert " | **below -1 of the variance, correlation 0.50** | " in row_of(text, "`paolini_ceae` | 0 |")


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
        },
        "postprocessing": {"paolini": "paolini", "none": "none"},
        **more,
    }


def finished_study(folder: Path, **more: Any) -> Path:
    """A study file, and the tables that its jobs would leave: CE-AE above AE, and AE under the baseline."""
    content = study_content(folder, **more)
    path = folder / "mets.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    dice = {"zscore_atlas": 0.35, "paolini_ae": 0.29, "paolini_ae_ours": 0.45, "paolini_ceae": 0.60}
    lines = []
    for model, value in dice.items():
        for seed in content.get("seeds", [0]):
            for postprocessing in ("paolini", "none"):
                at = {"model": model, "seed": seed, "dataset": "mets", "postprocessing": postprocessing, "n": 20}
                ends = {"value": value, "ci_low": value - 0.05, "ci_high": value + 0.05}
                lines.append({**at, **ends, "threshold_rule": "healthy_quantile_0.98", "metric": "dice_slice"})
                lines.append({**at, "value": 0.11, "threshold_rule": "fixed_0.118", "metric": "dice_slice"})
                lines.append({**at, **ends, "threshold_rule": "none", "metric": "auprc_scan"})
                lines.append({**at, "value": 0.9, "threshold_rule": "oracle", "metric": "dice_slice"})
                lines.append({**at, "value": 0.02, "threshold_rule": "none", "metric": "prevalence"})
    results = folder / "results" / "mets"
    (results / "evaluate").mkdir(parents=True)
    table = pd.DataFrame(lines, columns=list(tables.METRICS))
    tables.write(results / "evaluate" / "metrics.tsv", table, tables.METRICS)
    (results / "track.json").write_text(json.dumps({"paolini_ae/seed-0": {"run": "abc123", "hash": "h"}}))
    return path


def made(path: Path, folder: Path) -> str:
    (written,) = page.write_pages([read_finished_study(path, MODELS)], folder)
    assert written == folder / "paolini.md"
    return written.read_text()


def row_of(text: str, *cells: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("|") and all(cell in line for cell in cells)]
    return line


OWN = {"own_data": {"clean": "brainmetshare", "mets": "brainmetshare"}}


def test_a_page_on_stand_ins_says_so_and_calls_nothing_reproduced(tmp_path):
    text = made(finished_study(tmp_path), tmp_path)
    agreements = [line.split(" | ")[-1] for line in text.splitlines() if line.startswith("| `paolini_")]
    assert agreements
    assert set(agreements) == {"not comparable |"}
    assert "`mets` (a stand-in)" in text


@pytest.mark.parametrize("own", [{"mets": "brainmetshare"}, {"clean": "other", "mets": "brainmetshare"}])
def test_the_test_set_alone_does_not_make_it_the_papers_data(tmp_path, own):
    text = made(finished_study(tmp_path, own_data=own), tmp_path)
    assert "reproduced |" not in text


def test_a_page_on_the_papers_data_says_how_each_map_agrees(tmp_path):
    text = made(finished_study(tmp_path, **OWN, deviations=["no crop"]), tmp_path)
    paper = row_of(text, "`paolini_ae` | `paolini_ae` | the paper's | paolini", "0.302 | 0.290 [0.240, 0.340]")
    assert paper.endswith("| reproduced |")
    ours = row_of(text, "`paolini_ae` | `paolini_ae_ours` | ours | none", "0.302 | 0.450 [0.400, 0.500]")
    assert ours.endswith("| differs |")
    assert text.index(paper) < text.index(ours)
    assert row_of(text, "`paolini_ceae` | `paolini_ceae`").endswith("| differs |")
    assert "Not trained: `paolini_vae1`, `paolini_cevae1`" in text
    assert "- `mets`: no crop" in text
    assert "0.900" not in text, "the oracle is not shown"


def test_a_page_names_claims_models_below_the_baseline_and_runs(tmp_path):
    text = made(finished_study(tmp_path), tmp_path)
    assert "| the paper's | `mets` | holds | paolini_ceae 0.600" in row_of(
        text, "context encoding helps the AE", "the paper's"
    )
    assert "| not tested | no number of paolini_ceae |" in row_of(text, "context encoding helps the AE", "| ours |")
    assert "| not tested |" in row_of(text, "context encoding harms the VQ-VAE", "the paper's")
    losing = next(line for line in text.splitlines() if "Below it" in line)
    assert losing.endswith("Below it: `paolini_ae` (0.290 [0.240, 0.340], undecided).")
    assert "| abc123 |" in row_of(text, "| `mets` | `paolini_ae` | 0 |")
    assert "`paolini_ae_ours` (weights of `paolini_ae`)" in text
    assert "snakemake --profile profiles/local --configfile" in text


def test_a_claim_is_checked_on_its_own_data_and_modality(tmp_path):
    done = read_finished_study(finished_study(tmp_path), MODELS)
    ae = {"metric": "dice", "dice_over": "slice", "systems": ["paolini_ae"], "bound": 0.2}
    claims = [
        claim("at_least", **ae),
        claim("at_least", **ae, dataset="corrupted"),
        claim("at_least", **ae, modality="ct"),
    ]
    either = "the paper's and ours"  # one row where both maps give the same
    for each, cells in zip(
        claims,
        (
            "the paper's | `mets` | holds",
            f"{either} | — | not tested | no data set `corrupted`",
            f"{either} | `mets` | not tested | it is about ct",
        ),
        strict=True,
    ):
        paper = done.paper.model_copy(update={"claims": [each]})
        text = page.page("paolini", [dataclasses.replace(done, paper=paper)])
        assert f"| {cells}" in row_of(text, "| c |", "| the paper's ")


def test_a_constant_threshold_of_the_paper_is_for_its_own_map_alone(tmp_path):
    rules = [{"rule": "fixed", "value": 0.118}, {"rule": "healthy_quantile", "quantile": 0.98}]
    text = made(finished_study(tmp_path, thresholds=rules), tmp_path)
    assert "| fixed_0.118 | 0.302 | 0.110 |" in row_of(text, "`paolini_ae` | `paolini_ae` |")
    assert "| healthy_quantile_0.98 | 0.302 | 0.450" in row_of(text, "`paolini_ae` | `paolini_ae_ours` |")


def test_seeds_give_a_mean_and_a_spread(tmp_path):
    text = made(finished_study(tmp_path, seeds=[0, 1]), tmp_path)
    assert "0.290 ± 0.000 [0.240, 0.340] | 2 |" in row_of(text, "`paolini_ae` | `paolini_ae` |")


def test_the_same_study_gives_the_same_page(tmp_path):
    path = finished_study(tmp_path)
    assert made(path, tmp_path / "a") == made(path, tmp_path / "b")


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
