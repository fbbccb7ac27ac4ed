from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from good_numbers import GOOD
from PIL import Image
from scipy import ndimage
from sealed import sealed

from brainuad import terminal
from brainuad.bibliography import REFERENCES, number_citations
from brainuad.config.network import GRID
from brainuad.config.recipe import Recipe
from brainuad.config.study import Study
from brainuad.figures.plot import Line, Plot, png, style, svg
from brainuad.formats import (
    array_cache,
    ceilings,
    maps,
    missing,
    postprocessed,
    quality,
    run,
    scans,
    tables,
    thresholds,
    volume,
)
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.decisions import Decision
from brainuad.formats.files import write_json
from brainuad.formats.missing import Missing
from brainuad.formats.quality import QualityRow
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold
from brainuad.formats.verdicts import Comparisons
from brainuad.report import table
from brainuad.report.baselines import BaselineComparison, compare_with_baselines
from brainuad.report.in_short import Known, answers
from brainuad.report.methods_section.participants import Group
from brainuad.report.realised import Realised
from brainuad.report.shown import study_results
from brainuad.report.study_report import LIMIT, ReportSources, write_report
from brainuad.report.study_results import presence
from brainuad.resources import recording

SHAPE, AFFINE = (40, 48, 30), np.array([[4.0, 0, 0, -80], [0, 4, 0, -110], [0, 0, 4, -60], [0, 0, 0, 1]])
MODELS: dict[str, Any] = {
    "zscore": {"family": "zscore_atlas"},
    "ae": {"family": "autoencoder"},
    "vae": {"family": "autoencoder", "cite": "baur2018", "network": {"variational": True}, "loss": {"kl": 1.0}},
}
RULE = "healthy_quantile_0.98"
METHODS = {
    "Preprocessing": ["Bias fields were removed with N4 [@tustison2010]."],
    "Models": ["Model `vae` [@baur2018], after [@tustison2010]."],
}
SHEETS = ("page-1.png", "page-2.png", "page-10.png")


def settings(**more: Any) -> Study:
    sets = {
        "healthy": {"source": "phantom", "subjects": 10, "healthy": True}
        | {"split": {"train": 0.4, "validation": 0.2, "test": 0.4}},
        "ms": {"source": "phantom", "subjects": 6, "healthy": False, "lesions": "ms"},
    }
    given = {"study": "fake", "title": "A <b>bold</b> & small study", "recipe_name": "mri", "recipe": Recipe()}
    return Study.model_validate(given | {"datasets": sets, "models": MODELS} | more)


def ball(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    return sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True)) < 1


def results(root: Path, study: Study) -> tuple[Path, Path]:
    """The files of a small study, as its stages leave them; numbers are made up."""
    rng = np.random.default_rng(0)
    folder, preprocess = root / study.study, root / "preprocess" / "mri"
    subjects: list[Scan] = []
    verdicts: list[QualityRow] = []
    tables_of: dict[str, list[list[Any]]] = {"metrics": [], "scans": [], "curves": []}
    for dataset, count in (("healthy", 3), ("ms", 5)):
        has_lesion = dataset == "ms"
        names = [Scan(f"sub-{i:02d}", f"sub-{i:02d}", dataset, role="test", state="ok") for i in range(count)]
        subjects += names
        brain = ball((20, 24, 15), (16, 20, 13))
        entries = []
        for i, row in enumerate(names):
            lesion = ball((14 + 2 * i, 26, 15), (4, 3, 3)) if has_lesion else np.zeros(SHAPE, bool)
            texture = ndimage.gaussian_filter(rng.normal(size=SHAPE), 2) * 2
            image = np.where(brain, 0.6 + texture - 0.4 * lesion, 0).astype(np.float32)
            entries.append(array_cache.Entry(row, image, brain, lesion))
            good = preprocess / dataset / row.scan
            verdicts.append(QualityRow(dataset, row.scan, row.subject, "ok", has_image=True, numbers=GOOD))
            good.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 255, (60, 180, 3), dtype=np.uint8)).save(good / "overlay.png")
        array_cache.write(folder / "normalize" / dataset, entries, CacheHeader(AFFINE))
        for strength, model in enumerate(study.models, 1):
            modelled(folder, study, model, strength, dataset, entries, rng)
            rows = numbers(model, dataset, strength, names)
            for name, more in rows.items():
                tables_of[name] += more
    failures = {"sub-99": "the head <is> missing", "sub-98": "it left the study", "sub-97": "noise is 60%"}
    verdicts += [
        QualityRow("ms", name, name, "failed", reason, "look at it" * (name == "sub-99"), has_image=False)
        for name, reason in failures.items()
    ]
    named = {"sub-99": "failed", "sub-97": "included", "sub-96": "excluded"}
    notes = {"sub-97": "noise is 60%"}
    more = [Scan(n, n, "ms", role="test", state=state, note=notes.get(n, "")) for n, state in named.items()]
    scans.write(folder / "subjects.tsv", [*subjects, *more])
    for dataset in ("healthy", "ms"):
        of_set = [row for row in verdicts if row.dataset == dataset]
        quality.write(folder / "preprocess" / dataset / "quality.tsv", of_set)
    (folder / "preprocess/ms/contact_sheets").mkdir()
    for name in SHEETS:
        (folder / "preprocess/ms/contact_sheets" / name).touch()
    for name, columns in (("metrics", tables.METRICS), ("scans", tables.SCANS), ("curves", tables.CURVES)):
        found = pd.DataFrame(tables_of[name])
        tables.write(folder / "evaluate" / f"{name}.tsv", found.reindex(columns=list(columns)), columns)
    pairs = [
        ["ms", "none", "auprc_scan", "vae", "zscore", 1, 12, 1, 0.1, 0.05, 0.2, 0.01, 0.02, "better", np.nan, ""],
        ["ms", "none", "auprc_scan", "ae", "zscore", 1, 12, 1, -0.2, -0.3, -0.1, 0.03, 0.12, "undecided", 31, ""],
        ["ms", "none", "auprc_scan", "vae", "ae", 0, 12, 1, 0.3, 0.2, 0.4, 0.001, 0.01, "better", np.nan, ""],
    ]
    tables.write(
        folder / "evaluate/comparisons.tsv", pd.DataFrame(pairs, columns=list(tables.COMPARISONS)), tables.COMPARISONS
    )
    perfect = {"dataset": "ms", "postprocessing": "none", "input": GRID, "kind": "ceiling", "n": 5}
    ceilings.write(
        folder / "ceilings/ms", [{**perfect, "metric": name, "value": 0.15} for name in ("auprc_scan", "dice_volume")]
    )
    done = folder / "infer/ae/seed-0/ms"
    shutil.copytree(done, done.with_name(".part-ms-0123abcd-77t5-abcdefgh"))  # a killed job left it
    return folder, preprocess


def modelled(
    folder: Path, study: Study, model: str, strength: int, dataset: str, entries: list[Any], rng: np.random.Generator
) -> None:
    part = Path(model) / "seed-0"
    tags = {"model": model, "seed": "0", "dataset": dataset}
    with recording.recorded(folder / "train" / part, run.Record("train", tags, {}, 0, "d" * 64)) as record:
        record.curves += [(s, n, 1 / s) for s in range(1, 30) for n in ("train_loss", "val_loss")]
    with recording.recorded(folder / "infer" / part / dataset, run.Record("infer", tags, {}, 0)) as record:
        if model != "zscore":
            record.facts = {
                "reconstruction_explained_variance": {"ae": -0.4, "vae": 0.7}[model],
                "reconstruction_correlation": 0.6,
            }
    post = folder / "postprocess" / part / dataset / "none"
    postprocessed.write(post, changes_maps=False)
    thresholds.write(post, {RULE: FoundThreshold(0.5, "unsupervised")})
    for entry in entries:
        anomaly = np.where(entry.brain, 0.2 * strength * entry.lesion + 0.3 * rng.random(SHAPE), 0).astype(np.float32)
        volume.write(maps.anomaly_path(folder / "infer" / part / dataset, entry.scan.scan), anomaly, AFFINE)
        volume.write(maps.mask_path(post, entry.scan.scan, RULE), anomaly > 0.5, AFFINE)
        if model != "zscore":
            rebuilt = maps.reconstruction_path(folder / "infer" / part / dataset, entry.scan.scan)
            volume.write(rebuilt, entry.image * 0.9, AFFINE)
    for made in (folder / "infer" / part / dataset, post):
        sealed(made)


def numbers(model: str, dataset: str, strength: int, names: list[Scan]) -> dict[str, list[dict[str, Any]]]:
    base = {"model": model, "seed": 0, "dataset": dataset, "postprocessing": "none"}
    has_lesion = dataset == "ms"
    auprc = {"zscore": 0.4, "ae": 0.2, "vae": 0.5}[model]

    def metric(name: str, rule: str, value: float) -> dict[str, Any]:
        return (
            base
            | {"threshold_rule": rule, "metric": name, "value": value, "ci_low": value - 0.05}
            | {
                "ci_high": value + 0.05,
                "n": len(names),
            }
        )

    metrics = [metric("fp_per_scan", RULE, 3.0)]
    metrics += [metric(f"lesion_recall_{size}", RULE, auprc) for size in ("small", "large") if has_lesion]
    if has_lesion:
        metrics += [metric("auprc_scan", "none", auprc), metric("prevalence", "none", 0.012)]
        metrics += [metric("dice_volume", RULE, auprc / 2), metric("dice_volume", "oracle", auprc)]
    else:
        realised = {"nominal_fpr": 0.02, "healthy_fpr": 0.0313, "healthy_fpr_min": 0.0041, "healthy_fpr_max": 0.0552}
        realised |= {"fp_ml_per_scan": 2.7, "healthy_fp_ml_max": 8.1, "healthy_fpr_guys": 0.0461}
        metrics += [metric(name, RULE, value) for name, value in realised.items()]
    rows = [
        base
        | {"scan": row.scan, "subject": row.subject, "healthy": int(not has_lesion), "lesion_ml": 4.0 * has_lesion}
        | {"auprc": auprc + 0.01 * i if has_lesion else float("nan"), "predicted_ml": float(i), "threshold_rule": RULE}
        | {"map_moved": "flipped along x" if has_lesion and model == "vae" and i == 0 else ""}
        | {"residual_rms": 0.1 * strength + 0.2 * has_lesion + 0.01 * i if model != "zscore" else float("nan")}
        for i, row in enumerate(names)
    ]
    x = np.linspace(0, 1, 50)
    curves = [base | {"curve": "pr", "x": a, "y": 1 - 0.9 * a} for a in x] if has_lesion else []
    for name, width, height in (("froc_ml", 9, 0.5), ("roc_scan", 1, 1)):
        curves += [base | {"curve": name, "x": width * a, "y": height * a} for a in x] if has_lesion else []
    for kind, centre in (("healthy", 0.2), ("lesion", 0.2 + 0.1 * strength)):
        share = np.exp(-(((x - centre) / 0.1) ** 2))
        curves += [base | {"curve": kind, "x": a, "y": b / share.sum()} for a, b in zip(x, share, strict=True)]
    return {"metrics": metrics, "scans": rows, "curves": curves}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    study = settings()
    folder, preprocess = results(tmp_path_factory.mktemp("results"), study)
    decisions = {"ms": {"sub-97": Decision("include", by="AB").text, "sub-96": Decision("exclude", "moved", "AB").text}}
    sources = ReportSources(study, folder, preprocess, METHODS, decisions, {"ms": "controls are those of `healthy`."})
    write_report(sources, folder / "report")
    return folder, (folder / "report" / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else_and_is_small(made: tuple[Path, str]) -> None:
    page = made[1]
    loaded = re.findall(r"""(?:src=|href=|url\()["']?([^"'\s)>]+)""", page)
    assert len(loaded) > 30
    links = re.findall(r'<a href="([^"#]+)"', page)  # to files that are not loaded, but opened on a click
    sheets = [f"contact_sheets/{name}" for name in SHEETS]
    assert links == [
        "figures",
        *(f"../preprocess/{name}" for name in ("healthy/quality.tsv", *(f"ms/{n}" for n in ("quality.tsv", *sheets)))),
        *("methods.md", "references.bib", "checklist.md"),
    ]
    assert all((made[0] / "report" / link).resolve().exists() for link in links)
    assert [a for a in loaded if not a.startswith(("#", "data:")) and a not in links] == []
    assert "http://" not in page
    assert "https://" not in page
    assert "@import" not in page
    assert len(page.encode()) < LIMIT


def test_the_page_can_be_read_without_a_script(made: tuple[Path, str]) -> None:
    bare = re.sub(r"<script.*?</script>", "", made[1], flags=re.S)
    for text in ("vae", "0.500", "[0.450, 0.550]", "<path", "data:image/webp", "sub-02", "chance AUPRC 0.012"):
        assert text in bare


def test_residuals_are_drawn_where_a_model_has_a_reconstruction(made: tuple[Path, str]) -> None:
    section = made[1].split('id="residuals"')[1].split("<h2")[0]
    assert re.findall(r'aria-label="Residuals of (\w+) by scan"', section) == ["ae", "vae"]
    for chart in section.split("<figure>")[1:]:
        assert re.findall(r"<title>(\w+)", chart) == ["healthy", "ms"]


def test_a_network_that_does_not_reconstruct_healthy_scans_is_named(made: tuple[Path, str]) -> None:
    _, text = made
    doubts = [line for line in text.splitlines() if 'class="doubt"' in line]
    assert [line.split(">")[1].split(" reconstructs")[0] for line in doubts] == ["ae"]
    assert "vae: reconstructs 0.70 of the variance, correlation 0.60" in text


def test_whole_scans_are_not_called_healthy() -> None:
    row = {"dataset": "bad", "postprocessing": "none", "model": "vae", "metric": "auroc_scan", "threshold_rule": "none"}
    (block,) = table.blocks(pd.DataFrame([row | {"seed": 0, "value": 0.9, "ci_low": 0.8, "ci_high": 1.0, "n": 9}]))
    assert block.title == "bad (whole scans against healthy ones)"
    assert [column.key for column in block.columns] == [("auroc_scan", "none")]


def test_a_data_set_without_a_number_to_show_has_no_table() -> None:
    row = {"dataset": "well", "postprocessing": "none", "model": "vae", "metric": "ssim", "threshold_rule": "none"}
    metrics = pd.DataFrame([row | {"seed": 0, "value": 0.9, "ci_low": 0.8, "ci_high": 1.0, "n": 9}])
    assert table.blocks(metrics) == []
    assert terminal.text(table.comparison(metrics)).startswith("there is no number to compare")


@pytest.mark.parametrize(("outside", "said"), [(0.08, None), (0.36, "36%")])
def test_the_table_says_where_much_of_the_lesions_is_outside(outside: float, said: str | None) -> None:
    row = {"dataset": "ct", "postprocessing": "none", "model": "vae", "threshold_rule": "none", "seed": 0}
    values = {"auprc_scan": 0.4, "prevalence": 0.01, "lesion_share_outside": outside}
    rows = [
        row | {"metric": name, "value": value, "ci_low": value, "ci_high": value, "n": 9}
        for name, value in values.items()
    ]
    (block,) = table.blocks(pd.DataFrame(rows))
    assert block.chance == pytest.approx(0.01 * (1 - outside))
    assert ("counts as missed" in block.title) == (said is not None)
    assert said is None or said in block.title


def test_lesions_and_volumes_are_drawn(made: tuple[Path, str]) -> None:
    titles = re.findall(r'<svg class="chart"[^>]*aria-label="([^"]+)"', made[1])
    assert "Lesion recall and false positives on ms" in titles
    (volumes,) = re.findall(r'aria-label="Predicted and true volume[^"]+ ms">(.*?)</svg>', made[1], flags=re.S)
    assert re.search(r'<path d="M[^"]*z"[^>]* class="line"><title>vae', volumes)
    assert "nan" not in volumes.lower()


def test_the_plots_are_written_as_files(made: tuple[Path, str]) -> None:
    folder = made[0] / "report/figures"
    kinds = ("precision_recall", "froc", "roc", "recall_by_size", "volumes", "patients", "ranks")
    assert {f"{kind}_ms.{ending}" for kind in kinds for ending in ("png", "svg", "tsv")} <= {
        path.name for path in folder.iterdir()
    }
    with Image.open(folder / "roc_ms.png") as picture:
        assert picture.format == "PNG"
    ET.parse(folder / "roc_ms.svg")
    points = pd.read_csv(folder / "recall_by_size_ms.tsv", sep="\t")
    assert points.groupby("line")["lesion recall"].max().to_dict() == {"zscore (baseline)": 0.4, "ae": 0.2, "vae": 0.5}
    patients = pd.read_csv(folder / "patients_ms.tsv", sep="\t").set_index(["model", "patient"])
    assert patients.loc[("vae", "sub-03"), "AUPRC per scan"] == pytest.approx(0.53)
    assert patients.loc[("vae", "mean"), "verdict"] == "better"


def test_a_study_without_thresholds_has_a_report(tmp_path: Path) -> None:
    study = settings(thresholds=[])
    folder, preprocess = results(tmp_path, study)
    write_report(ReportSources(study, folder, preprocess), folder / "report")
    assert "Lesion recall by size" not in (folder / "report/index.html").read_text(encoding="utf-8")


def test_each_patient_is_drawn_and_compared_with_the_best_baseline(made: tuple[Path, str]) -> None:
    (picture,) = re.findall(r'aria-label="AUPRC of each patient of ms">(.*?)</svg>', made[1], flags=re.S)
    people = re.findall(r'fill="#7a8391" data-person="(\d)"><title>(\w+), sub-0(\d): (-?[\d.]+)</title>', picture)
    assert all(number == subject for number, _, subject, _ in people)
    assert [value for number, model, _, value in people if number == "3" and model == "vae"] == ["0.530", "0.100"]
    means = dict(re.findall(r'fill="(#\w+)"><title>(\w+: mean -?[\d.]+ \[[^]]+\], \w+)', picture))
    assert means == {
        "#009e73": "vae: mean 0.100 [0.050, 0.200], better",
        "#0072b2": "ae: mean -0.200 [-0.300, -0.100], undecided",
    }


def test_the_best_the_median_and_the_worst_scan_open_in_the_viewer(made: tuple[Path, str]) -> None:
    section = made[1].split('id="cases"')[1].split("<h2")[0]
    rows = re.findall(r'<th scope="row">(\w+)</th>(.*?)</tr>', section, flags=re.S)
    assert [model for model, _ in rows] == ["vae", "zscore", "ae"], "best first"
    entries = json.loads(re.search(r'id="view-data">(.*?)</script>', made[1], re.DOTALL)[1])
    shown = {(entry["dataset"], entry["scan"]): [each["model"] for each in entry["models"]] for entry in entries}
    assert all(models == ["vae", "zscore", "ae"] for models in shown.values())
    for model, row in rows:
        links = re.findall(r'data-dataset="(\w+)" data-scan="([\w-]+)" data-model="(\w+)"', row)
        assert [scan for _, scan, _ in links] == ["sub-04", "sub-02", "sub-00"]
        assert all(model in shown[dataset, scan] and of == model for dataset, scan, of in links)


def test_the_viewer_starts_in_a_lesion(made: tuple[Path, str]) -> None:
    entries = json.loads(re.search(r'id="view-data">(.*?)</script>', made[1], re.DOTALL)[1])
    assert {entry["dataset"] for entry in entries} == {"healthy", "ms"}
    entry = next(each for each in entries if each["scan"] == "sub-03" and each["dataset"] == "ms")
    with Image.open(io.BytesIO(base64.b64decode(entry["truth"].split(",")[1]))) as sheet:
        bytes_ = np.asarray(sheet)
    (nx, ny, _), (x, y, z) = entry["shape"], entry["start"]
    columns = entry["columns"]
    assert bytes_[(z // columns + 1) * ny - 1 - y, z % columns * nx + x] == 255
    place = np.array(entry["toMni"]) @ [x, y, z, 1]
    expected = AFFINE @ [14 + 2 * 3, 26, 15, 1]
    assert np.abs(place - expected)[:3].max() <= 4, "the centre of the lesion, within a voxel"


def in_short(page: str) -> dict[str, str]:
    """The answers at the head of the page, by a word of their question."""
    section = page.split('id="short"')[1].split("</section>")[0]
    text = re.sub(r"</?code>", "", section)
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text, flags=re.S)
    words = ("done", "best", "missed", "baseline", "thresholds", "failed", "maps", "mind")
    return {next(word for word in words if word in asked): answer for asked, answer in found}


def test_the_head_answers_what_a_reader_asks_first(made: tuple[Path, str]) -> None:
    page, said = made[1], in_short(made[1])
    assert page.index('id="short"') < page.index('id="headline"') < page.index('id="comparison"')
    assert "3 models, 1 trivial baseline among them" in said["done"]
    assert "(ms)" in said["done"]
    assert "vae has the highest AUPRC: 0.500 [0.450, 0.550]" in said["best"]
    assert "(chance: 0.012)" in said["best"]
    assert "It is better than every other model." in said["best"]
    assert "vae at healthy_quantile_0.98 detects 50% of the lesions under 1 ml" in said["missed"]
    assert "3.0 false-positive components per scan" in said["missed"]
    assert re.search(r"ms: yes, vae is better .*zscore", said["baseline"])
    assert "2 of 11 scans were left out" in said["failed"]
    assert "sub-0" not in said["mind"], "only what it is about"
    for target in re.findall(r'href="#(\w+)"', page.split('id="short"')[1].split("</section>")[0]):
        assert f'id="{target}"' in page, target


def test_the_head_tells_how_thresholds_were_set_and_that_nothing_failed() -> None:
    study = settings(thresholds=[{"rule": "healthy_quantile", "quantile": 0.98}, {"rule": "burden", "ml": 5}])
    scans_of = [Scan(f"sub-{number}", f"sub-{number}", "healthy", role="validation") for number in range(3)]
    groups = [Group("healthy", "validation", used=scans_of), Group("healthy", "test", used=scans_of)]
    set_on = {(model, "none", "healthy"): {RULE: 1.0} for model in ("ae", "vae")}
    shares = (0.02, 0.03, 0.01, 0.05)
    masks = [Realised("healthy", model, "none", RULE, 4, *shares, ml, 9.0) for model, ml in (("ae", 2.7), ("vae", 8.0))]
    found = answers(study, Known(groups, [], {}, masks, set_on, gone="", viewed=0))
    said = {each.question: " ".join(each.texts) for each in found}
    assert list(said) == ["What was done?", "How were thresholds set?", "What failed?"]
    thresholds_text = said["How were thresholds set?"]
    for words in (
        "the first of 2 rules",
        "2 % of healthy brain voxels",
        "3 validation scans of `healthy`",
        "2.7 to 8 ml",
    ):
        assert words in thresholds_text
    assert said["What failed?"].startswith("Nothing")
    without = answers(study, Known(groups, [], {}, [], {key: {} for key in set_on}, gone="", viewed=0))
    said = {each.question: " ".join(each.texts) for each in without}
    assert "no threshold in 2 of 2" in said["How were thresholds set?"]
    assert "validation scans" not in said["How were thresholds set?"], "nothing was set on them"


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (["better", "undecided"], "It is better than 1 of 2 other models; against `ae` that is undecided."),
        (["undecided", "undecided"], "Against `zscore` and `ae` that is undecided."),
        (["too few", "too few"], "is not tested: 6 patients of at least 10."),
        ([], "1 is perfect."),
    ],
)
def test_the_head_tells_whether_the_lead_of_the_best_model_is_decided(verdicts: list[str], said: str) -> None:
    pairs = [
        ["ms", "none", "auprc_scan", "vae", other, 0, 6, 1, 0.1, 0.0, 0.2, 0.01, 0.02, verdict, np.nan, ""]
        for other, verdict in zip(("zscore", "ae"), verdicts, strict=False)
    ]
    numbers = {
        model: table.Cell(value, np.nan, np.nan) for model, value in (("vae", 0.5), ("zscore", 0.4), ("ae", 0.2))
    }
    found = BaselineComparison("ms", "zscore", numbers, {})
    known = Known([], [found], {}, [], {}, gone="", viewed=0)
    known = replace(known, pairs=Comparisons(pd.DataFrame(pairs, columns=list(tables.COMPARISONS))))
    (best,) = (each for each in answers(settings(), known) if each.question == "Which model is best?")
    assert said in " ".join(best.texts)


def test_the_head_tells_a_baseline_that_is_missing_from_none() -> None:
    lone = BaselineComparison("ms", "", {"vae": table.Cell(0.5, np.nan, np.nan)}, {})
    said = {
        each.question: " ".join(each.texts)
        for each in answers(settings(), Known([], [lone], {}, [], {}, gone="something", viewed=0))
    }
    assert "is missing" in said["Is a learned model better than a trivial baseline?"]
    assert "interval" not in said["Which model is best?"], "there is none"


def test_the_flow_of_scans_stands_before_the_numbers(made: tuple[Path, str]) -> None:
    section = made[1].split('id="scans"')[1].split("<h2")[0]
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall(r"<tr>(<td>.*?)</tr>", section, flags=re.S)]
    assert ["ms", "test", "8", "1", "1", "6", "6"] in rows, "five, one that a person kept, one failed, one excluded"
    assert made[1].index('id="scans"') < made[1].index('id="comparison"')


def test_the_oracle_is_labelled_and_greyed(made: tuple[Path, str]) -> None:
    heads = re.findall(r"<th class=\"number oracle\">.*?</th>", made[1], flags=re.S)
    assert heads
    assert all("chosen on test labels" in head and "upper bound" not in head for head in heads)


def headline(page: str) -> str:
    return " ".join(page.split('id="headline"')[1].split("</section>")[0].split())


def test_the_headline_says_what_the_table_of_comparisons_decides(made: tuple[Path, str]) -> None:
    said = headline(made[1])
    assert "vae (0.500 [0.450, 0.550]) is better than the best trivial baseline, zscore" in said
    assert "Undecided (n = 12; about 31 needed): ae (0.200" in said, "an interval below 0 decides nothing"
    assert "Worse:" not in said


@pytest.mark.parametrize(
    ("verdict", "box", "words"),
    [
        ("worse", "finding bad", "Worse:</b> vae (0.500"),
        ("undecided", "finding open", "no learned model is decided to be better"),
        ("too few", "finding open", "too few patients to decide (n = 8; about 40 needed)"),
    ],
)
def test_a_green_box_needs_a_decision(
    made: tuple[Path, str], tmp_path: Path, verdict: str, box: str, words: str
) -> None:
    study, found = settings(), tables.read(made[0] / "evaluate/comparisons.tsv", tables.COMPARISONS)
    found = found[found["reference"] == "zscore"].assign(verdict=verdict, n=8, n_needed=40)
    shutil.copytree(made[0], tmp_path / study.study)
    tables.write(tmp_path / study.study / "evaluate/comparisons.tsv", found, tables.COMPARISONS)
    write_report(ReportSources(study, tmp_path / study.study, made[0].parent / "preprocess/mri"), tmp_path)
    said = headline((tmp_path / "index.html").read_text())
    assert f'class="{box}"' in said
    assert words in said


def test_without_comparison_or_baseline_nothing_is_decided(made: tuple[Path, str]) -> None:
    read = {
        name: tables.read(made[0] / f"evaluate/{name}.tsv", columns)
        for name, columns in (("metrics", tables.METRICS), ("comparisons", tables.COMPARISONS))
    }
    study = settings()
    unpaired = compare_with_baselines(study, read["metrics"], read["comparisons"].iloc[:0])
    assert {each.dataset: each.differences for each in unpaired} == {"ms": {"vae": "too few", "ae": "too few"}}
    assert not unpaired[0].improved
    alone = settings(models={"ae": {"family": "autoencoder"}})
    only = read["metrics"][read["metrics"]["model"] == "ae"]
    assert compare_with_baselines(alone, only, read["comparisons"])[0].baseline == ""


def test_text_from_outside_is_escaped(made: tuple[Path, str]) -> None:
    assert "A &lt;b&gt;bold&lt;/b&gt; &amp; small study" in made[1]
    assert "the head &lt;is&gt; missing" in made[1]
    assert "it left the study" not in made[1], "what an earlier study left behind is not shown"
    assert "<b>bold</b>" not in made[1]
    assert "<is>" not in made[1]


def test_failures_and_costs_are_listed(made: tuple[Path, str]) -> None:
    folder, page = made
    failures = pd.read_csv(folder / "failures.tsv", sep="\t")
    assert failures[["scan", "stage", "state", "reason", "remedy"]].to_numpy().tolist() == [
        ["sub-96", "decisions", "excluded", "excluded by AB: moved", "change its line in the decisions"],
        ["sub-99", "preprocess", "failed", "the head <is> missing", "look at it"],
        ["sub-97", "decisions", "included", "included by AB; noise is 60%", "change its line in the decisions"],
    ]
    assert "sub-99" in page.split('id="failures"')[1].split("</table>")[0]
    costs = pd.read_csv(folder / "costs.tsv", sep="\t", keep_default_na=False)
    assert list(costs.columns) == ["stage", "model", "dataset", "jobs", "seconds", "cpu_seconds", "peak_memory_mb"]
    inferred = costs[costs["stage"] == "infer"][["model", "dataset", "jobs"]].to_numpy().tolist()
    assert sorted(inferred) == [[model, dataset, 1] for model in sorted(MODELS) for dataset in ("healthy", "ms")]


def test_the_rate_of_false_positives_that_thresholds_have_stands_beside_the_nominal_one(made: tuple[Path, str]) -> None:
    part = made[1].split('id="thresholds"')[1].split("<h2")[0]
    assert "ms: controls are those of <code>healthy</code>." in part
    for text in (">2</td>", ">3.13</td>", "0.41 to 5.52", ">2.7</td>", ">8.1</td>", "guys 4.61"):
        assert text in part


def test_the_head_tells_the_scans_left_out_and_rows_what_they_rest_on(made: tuple[Path, str]) -> None:
    head, rest = made[1].split('id="headline"')
    assert "2 of 11 scans were left out" in head
    assert "sub-99: the head &lt;is&gt; missing" in head
    assert "sub-97" not in head, "a person kept it"
    assert 'id="missing"' not in head
    assert re.search(r"vae</th>\s*<td class=\"number\">5</td>", rest)
    assert 'title="5 scans, 1 seed"' in rest


def test_a_chain_that_spoils_a_perfect_map_is_told_before_any_number_and_beside_the_models(
    made: tuple[Path, str],
) -> None:
    folder, page = made
    told = "postprocessing none leaves a perfect map AUPRC 0.150 and Dice 0.150 on ms (5 scans)"
    assert page.index(told) < page.index('id="headline"')
    assert "<td>perfect map</td><td>zscore, ae, vae</td>" in page
    assert f"ceilings      ! {told}" in study_results(folder)


def test_a_map_that_is_not_on_the_brain_is_told_before_any_number(made: tuple[Path, str]) -> None:
    folder, page = made
    told = "vae on ms: 1 of 5 anomaly maps do not lie on the brain of their scan: flipped along x (sub-00)"
    assert page.index(told) < page.index('id="headline"')
    assert any(told in part for part in study_results(folder) if isinstance(part, str))


def test_what_is_missing_is_told_and_nothing_of_it_shown(made: tuple[Path, str], tmp_path: Path) -> None:
    """`ae` failed in training, `vae` on `ms`; both left files of an earlier version. Maps of zscore are deleted.

    A session of `ms` lacks a sequence.
    """
    root = shutil.copytree(made[0].parent, tmp_path / "results")
    folder, out = root / "fake", tmp_path / "page"
    log = "results/fake/logs/train/ae/seed-0.log"
    rows = [
        Missing("ae", "0", name, "train", "train model=ae seed=0", "it <diverged>", log) for name in ("healthy", "ms")
    ]
    rows.append(Missing("vae", "0", "ms", "infer", "", "not started", ""))
    missing.write(folder / "evaluate", rows)
    shutil.rmtree(folder / "infer/zscore/seed-0/ms")
    scored = tables.read(folder / "evaluate/scans.tsv", tables.SCANS)
    of_one = (scored["dataset"] == "ms") & (scored["scan"] == "sub-01")
    tables.write(folder / "evaluate/scans.tsv", scored.assign(missing=np.where(of_one, "FLAIR", "")), tables.SCANS)
    used = {"seconds": 7.0, "cpu_seconds": 7.0, "peak_memory_mb": 7.0}
    for stage, model in (("infer", "zscore"), ("infer", "ae"), ("infer", "vae")):
        wildcards = {"model": model, "seed": "0", "dataset": "ms"}
        record = {"rule": stage, "wildcards": wildcards, "done": True, "used": used}
        write_json(folder / f"logs/{stage}/{model}.usage.json", record)
    write_report(ReportSources(settings(), folder, root / "preprocess" / "mri"), out)
    page = (out / "index.html").read_text(encoding="utf-8")
    head, rest = page.split('id="headline"')
    assert "3 of 6 evaluations (model, seed, data set) are missing" in head
    assert "only baselines are there" in page
    for text in (rest.split('id="comparison"')[0], rest.split("<h3>ms")[1].split("</h3>")[0]):
        assert "essions without a sequence: 1 of 5 (FLAIR 1)" in text
    assert "without a sequence" not in made[1]
    assert "ae seed 0 on healthy, ms</b>: it &lt;diverged&gt;" in head
    assert "vae seed 0 on ms</b>: not started" in head
    assert log in head
    tables_shown = re.findall(r"<h3>(\w+) .*?<tbody>(.*?)</tbody>", rest.split('id="comparison"')[1], flags=re.S)
    assert {name: re.findall(r'scope="row">(\w+)', rows) for name, rows in tables_shown[:2]} == {
        "ms": ["zscore"],
        "healthy": ["zscore", "vae"],
    }
    assert 'alt="anomaly map, ae"' not in page
    assert "Losses of ae" not in page
    costs = pd.read_csv(folder / "costs.tsv", sep="\t", keep_default_na=False)
    spent = {(row["stage"], row["model"], row["dataset"]): row["seconds"] for row in costs.to_dict("records")}
    assert spent["infer", "zscore", "ms"] == 7, "its record went with the maps"
    assert [key for key in spent if key[1] == "ae"] == []
    assert [stage for stage, model, dataset in spent if (model, dataset) == ("vae", "ms")] == ["train"]
    shown = terminal.text(study_results(folder))
    assert "ae seed 0 on healthy, ms: it <diverged>" in shown
    assert "2 of 11 scans were left out" in shown
    assert "sessions without a sequence: 1 of 5 (FLAIR 1)" in shown
    assert [line for line in shown.splitlines() if line.startswith("ae ")] == []


def test_a_seed_that_is_missing_costs_that_seed_alone() -> None:
    study = settings(seeds=[0, 1])
    rows = [Missing("vae", "0", "ms", "train", "", "", "")]
    is_there = presence(study, rows)
    runs = [{"model": "vae", "seed": seed, "dataset": "ms"} for seed in ("0", "1")]
    assert [is_there("infer", run) for run in runs] == [False, True]
    assert missing.lines(rows) == ["vae seed 0 on ms: "]
    both = [Missing("vae", seed, name, "train", "", "why", "") for seed in "01" for name in ("healthy", "ms")]
    assert missing.lines(both) == ["vae seed 0, 1 on healthy, ms: why"]


def test_a_study_of_which_nothing_came_still_has_a_page(tmp_path: Path) -> None:
    write_report(ReportSources(settings(), tmp_path / "fake", tmp_path / "preprocess"), tmp_path / "fake" / "report")
    page = (tmp_path / "fake" / "report" / "index.html").read_text(encoding="utf-8")
    assert "Nothing was evaluated yet" in page
    assert "No data set with lesions was scored" in page


def test_pictures_that_do_not_fit_are_left_out_and_counted(
    made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainuad.report.study_report.LIMIT", 324_000)
    monkeypatch.setattr("brainuad.report.study_report.EXAMPLES_SHARE", 0.3)
    write_report(ReportSources(settings(), made[0], made[0].parent / "preprocess" / "mri"), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 324_000
    left = int(re.search(r"(\d+) more would have made this page too large", page).group(1))
    assert 0 < page.count('<figure class="example">') == made[1].count('<figure class="example">') - left


def test_the_text_table_shows_the_same_numbers(made: tuple[Path, str]) -> None:
    read = tables.read(made[0] / "evaluate/comparisons.tsv", tables.COMPARISONS)
    metrics = tables.read(made[0] / "evaluate/metrics.tsv", tables.METRICS)
    text = terminal.text(table.comparison(metrics, Comparisons(read)))
    lines = text.splitlines()
    assert [line.split()[0] for line in lines if re.match(r"(vae|ae|zscore) ", line)][:3] == ["vae", "zscore", "ae"]
    assert text.index("ms (chance AUPRC 0.012)") < text.index("healthy (healthy scans)")
    assert text.count("]*") == 1, "the other columns are not tested"
    assert "0.500 [0.450, 0.550]*" in text
    assert "better than zscore: vae" in text
    assert "not a result" in text
    assert max(map(len, lines)) < 200


def test_the_methods_text_numbers_its_citations(made: tuple[Path, str]) -> None:
    section = made[1].split('id="methods"')[1].split("<h2")[0]
    assert "removed with N4 [1]." in section
    assert "Model <code>vae</code> [2], after [1]." in section
    references = re.findall(r"<li>(\w+)", section)
    assert references[:2] == ["Tustison", "Baur"]


def test_a_citation_without_a_reference_stays_as_its_key() -> None:
    text = number_citations(["After [@nobody2020] and [@holm1979]."])
    assert text.sentences == ["After [nobody2020] and [1]."]
    assert text.references == [REFERENCES["holm1979"]]


def test_a_plot_names_itself_and_its_lines_and_is_drawn_alike_each_time() -> None:
    lines = [Line(label, (0.0, 0.5, 1.0), (1.0, 0.4, 0.1), *style(n)) for n, label in enumerate(("a < b", "c"))]
    plot = Plot("T & U", "x", "y", lines, x_marks={"threshold 1": 0.4}, y_marks={"chance": 0.2})
    drawn = svg(plot)
    assert drawn == svg(plot)
    assert png(plot) == png(plot)
    assert 'role="img" aria-label="T &amp; U"' in drawn
    assert re.findall(r"<title>(.*?)</title>", drawn) == ["a &lt; b", "c"]
    assert [text for text in ("threshold 1", "chance") if f">{text}</text>" in drawn] == ["threshold 1", "chance"]
    assert "http" not in drawn
    assert len(drawn) < 6000
