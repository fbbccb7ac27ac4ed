from __future__ import annotations

import json
import multiprocessing
import shutil
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from brainuad.figures.plot import shade, style
from brainuad.formats import checksums, run, tables
from brainuad.formats.missing import Missing
from brainuad.resources import recording
from brainuad.track import ui, views
from brainuad.track.experiment import DATABASE, HASH, Destination
from brainuad.track.run_import import COLOUR, import_study
from brainuad.track.tracked_run import Training, read_runs

MODELS = ("ae", "thresh")
TRAININGS = [Training(model, seed, model) for model in MODELS for seed in (0, 1)]


def study(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> Path:
    for model in MODELS:
        for seed in seeds:
            tags = {"model": model, "seed": str(seed), "family": "autoencoder"}
            curves = [(step, name, 1.0 / step) for step in range(1, 4) for name in ("train_loss", "val_loss")]
            settings = {"family": "autoencoder", "network": {"latent": 8}, "title": "a" * 7000}
            with recording.recorded(
                folder / "train" / model / f"seed-{seed}", run.Record("train", tags, settings, seed, "d" * 64)
            ) as record:
                record.curves += curves if model == "ae" else []
                record.facts |= {"parameters": 12, "best_validation_loss": 0.5}
            for stage in ("infer", "evaluate"):
                record = run.Record(stage, {**tags, "dataset": "ms"}, {}, seed, "e" * 64)
                record.facts |= {"scans": 5} if stage == "evaluate" else {}
                with recording.recorded(folder / stage / model / f"seed-{seed}" / "ms", record):
                    evaluated(folder, model, seed, 0.25)
            checksums.write(folder / "infer" / model / f"seed-{seed}" / "ms", {}, made_of={"array_cache": "f" * 64})
    return folder


def evaluated(folder: Path, model: str, seed: int, value: float) -> None:
    at = folder / "evaluate" / model / f"seed-{seed}" / "ms"
    rows = [
        [model, seed, "ms", "none", "auprc_pooled", "none", value, value - 0.1, value + 0.1, 5],
        [model, seed, "ms", "none", "dice_volume", "healthy_quantile_0.98", value, float("nan"), float("nan"), 2],
        [model, seed, "ms", "none", "dice_volume", "oracle", value, float("nan"), float("nan"), 2],
        [model, seed, "ms", "none", "scans_without_sequence", "none", 3, float("nan"), float("nan"), 5],
    ]
    order = [
        "model",
        "seed",
        "dataset",
        "postprocessing",
        "metric",
        "threshold_rule",
        "value",
        "ci_low",
        "ci_high",
        "n",
    ]
    tables.write(at / "metrics.tsv", pd.DataFrame(rows, columns=order).assign(space="template"), tables.METRICS)
    pr = [[model, seed, "ms", "none", "pr", x, 1 - x] for x in (0.0, 0.5, 1.0)]
    tables.write(at / "curves.tsv", pd.DataFrame(pr, columns=list(tables.CURVES)), tables.CURVES)


def test_what_a_killed_job_left_is_no_part_of_a_run(tmp_path: Path) -> None:
    folder = study(tmp_path / "demo")
    before = read_runs("demo", folder, TRAININGS)
    for stage in ("infer", "evaluate"):
        done = folder / stage / "ae" / "seed-0" / "ms"
        shutil.copytree(done, done.with_name(".part-ms-0123abcd-77t5-abcdefgh"))
    assert [run.hash for run in read_runs("demo", folder, TRAININGS)] == [run.hash for run in before]


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A study that was imported once."""
    root = tmp_path_factory.mktemp("results")
    (root / "mlflow").mkdir()
    shutil.copy(empty_database, root / "mlflow" / DATABASE)
    imported = import_study("demo", study(root / "demo"), TRAININGS, Destination(root / "mlflow"))
    assert imported is not None
    (root / "mark.json").write_text(json.dumps(imported))
    return root


@pytest.fixture
def root(imported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(imported, tmp_path / "elsewhere")


def client(root: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow' / DATABASE}")


def runs(root: Path) -> dict[str, object]:
    tracking = client(root)
    found = tracking.search_runs([tracking.get_experiment_by_name("demo").experiment_id])
    assert len({r.info.run_name for r in found}) == len(found)
    return {r.info.run_name: r for r in found}


def again(root: Path, *, left: str = "") -> dict[str, Any] | None:
    trained = sorted((root / "demo" / "train").glob("*/seed-*"))
    seeds = [(path.parent.name, int(path.name.removeprefix("seed-"))) for path in trained]
    kept = [Training(model, seed, model) for model, seed in seeds if model != left]
    return import_study("demo", root / "demo", kept, Destination(root / "mlflow"))


def test_a_run_holds_params_tags_curves_metrics_and_files(imported: Path) -> None:
    found = runs(imported)
    assert set(found) == {"ae/seed-0", "ae/seed-1", "thresh/seed-0", "thresh/seed-1"}
    ae = found["ae/seed-0"]
    assert ae.data.params["network.latent"] == "8"
    assert ae.data.params["facts.parameters"] == "12"
    assert {
        "model": "ae",
        "seed": "0",
        "study": "demo",
        "dataset": "ms",
        "scans": "ms 5 (3 without a sequence)",
        "data": "d" * 64,
    }.items() <= ae.data.tags.items()
    metrics = ae.data.metrics
    assert metrics["auprc_pooled/ms"] == 0.25
    assert metrics["auprc_pooled/ms:ci_low"] == 0.15
    assert metrics["dice_volume/ms:healthy_quantile_0.98"] == 0.25
    assert "dice_volume/ms:healthy_quantile_0.98:ci_low" not in metrics
    assert metrics["cost/train_memory_mb"] > 1
    assert metrics["system/training_peak_memory_megabytes"] == metrics["cost/train_memory_mb"]
    seconds, cores = metrics["cost/train_seconds"], metrics["system/training_mean_cpu_cores"]
    assert metrics["system/training_cpu_seconds"] == pytest.approx(seconds * cores)
    history = client(imported).get_metric_history(ae.info.run_id, "train_loss")
    assert [(point.step, round(point.value, 3)) for point in history] == [(1, 1.0), (2, 0.5), (3, 0.333)]
    started = json.loads((imported / "demo/train/ae/seed-0/run.json").read_text())["started"]
    assert ae.info.start_time == int(started * 1000)
    assert all(ae.info.start_time <= point.timestamp <= ae.info.end_time for point in history)
    digests = {d.dataset.name: d.dataset.digest for d in ae.inputs.dataset_inputs}
    assert digests == {"training": "d" * 36, "ms": "f" * 36}
    assert ae.data.metrics["best_validation_loss"] == 0.5
    artifacts = imported / "mlflow/artifacts/demo" / ae.info.run_id / "artifacts"
    for name in ("figures/loss.png", "figures/precision_recall.png", "tables/metrics.json", "train/run.json"):
        assert (artifacts / name).stat().st_size > 0
    assert ae.info.artifact_uri == f"mlflow-artifacts:/demo/{ae.info.run_id}/artifacts"


def test_the_same_records_make_no_second_run(root: Path) -> None:
    before = {name: r.info.run_id for name, r in runs(root).items()}
    assert again(root) == json.loads((root / "mark.json").read_text())
    assert {name: r.info.run_id for name, r in runs(root).items()} == before
    assert json.loads((root / "mark.json").read_text())["ae/seed-0"]["run"] == before["ae/seed-0"]


def test_a_changed_result_supersedes_its_run_alone(root: Path) -> None:
    before = {name: r.info.run_id for name, r in runs(root).items()}
    evaluated(root / "demo", "ae", 1, 0.75)
    assert again(root)
    after = runs(root)
    assert {name for name, r in after.items() if r.info.run_id != before[name]} == {"ae/seed-1"}
    assert after["ae/seed-1"].data.metrics["auprc_pooled/ms"] == 0.75
    assert client(root).get_run(before["ae/seed-1"]).info.lifecycle_stage == "deleted"


def test_a_model_that_left_the_study_leaves_mlflow_and_may_come_back(root: Path) -> None:
    before = runs(root)["ae/seed-0"].info.run_id
    assert again(root, left="thresh")
    assert set(runs(root)) == {"ae/seed-0", "ae/seed-1"}
    assert again(root)
    assert set(runs(root)) == {"ae/seed-0", "ae/seed-1", "thresh/seed-0", "thresh/seed-1"}
    assert runs(root)["ae/seed-0"].info.run_id == before


def test_a_run_that_lacks_an_evaluation_is_not_finished(root: Path) -> None:
    before = runs(root)["ae/seed-0"].info.run_id
    lacking = [Missing("ae", "0", "other", "infer", "", "the disk is full", "")]
    kept = [each for each in TRAININGS if each.model == "ae"]
    assert import_study("demo", root / "demo", kept, Destination(root / "mlflow"), lacking)
    found = runs(root)
    assert {name: r.info.status for name, r in found.items()} == {"ae/seed-0": "FAILED", "ae/seed-1": "FINISHED"}
    assert found["ae/seed-0"].data.tags["missing"] == "other: the disk is full"
    stale = [Missing("ae", "0", "ms", "infer", "", "", "")]
    assert import_study("demo", root / "demo", kept, Destination(root / "mlflow"), stale)
    assert not any("/ms" in name for name in runs(root)["ae/seed-0"].data.metrics)
    assert again(root)
    assert runs(root)["ae/seed-0"].info.status == "FINISHED"
    assert runs(root)["ae/seed-0"].info.run_id != before


def test_a_half_written_run_is_replaced(root: Path) -> None:
    tracking, broken = client(root), runs(root)["ae/seed-0"].info.run_id
    tracking.delete_tag(broken, HASH)
    assert again(root)
    assert runs(root)["ae/seed-0"].info.run_id != broken


def test_two_importers_at_once_make_no_duplicates(root: Path) -> None:
    for seed in (2, 3):
        study(root / "demo", (seed,))
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=again, args=(root,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(runs(root)) == 8


def test_an_unavailable_server_is_a_warning_and_imports_nothing(
    imported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:  # bound, not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        uri = f"http://user:secret@127.0.0.1:{taken.getsockname()[1]}"
        assert import_study("demo", imported / "demo", TRAININGS, Destination(tmp_path / "mlflow", uri)) is None
    (record,) = [each for each in caplog.records if each.name == "brainuad.track.run_import"]
    assert record.levelname == "WARNING"
    assert "demo was not imported into MLflow" in record.getMessage()
    assert "the next run tries again" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_runs_of_a_model_have_its_colour_in_the_report_unless_somebody_chose_another(root: Path) -> None:
    def coloured(trainings: list[Training]) -> dict[str, str]:
        import_study("demo", root / "demo", trainings, Destination(root / "mlflow"), models=["thresh", "ae"])
        return {name: run.data.tags[COLOUR] for name, run in runs(root).items()}

    first, second = style(0)[0], style(1)[0]
    shown = {"thresh/seed-0": first, "thresh/seed-1": first, "ae/seed-0": second, "ae/seed-1": second}
    assert coloured(TRAININGS) == shown
    client(root).set_tag(runs(root)["ae/seed-0"].info.run_id, COLOUR, "#123456")
    assert coloured(TRAININGS) == shown | {"ae/seed-0": "#123456"}
    coloured([each for each in TRAININGS if each.seed == 0])
    state = views.unpack(client(root).get_experiment_by_name("demo").tags[views.TAG + views.COMPARISON])
    assert state["groupBy"] is None, "colours of groups are MLflow's, and one seed needs no groups"


def test_shades_differ_beyond_the_palette() -> None:
    assert [shade(number) for number in range(3)] == [style(number)[0] for number in range(3)]
    assert len({shade(number) for number in range(24)}) == 24


def test_the_saved_views_are_readable_and_linked(imported: Path) -> None:
    experiment = client(imported).get_experiment_by_name("demo")
    state = views.unpack(experiment.tags[views.TAG + views.COMPARISON])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "model"}]
    assert "metrics.`auprc_pooled/ms`" in state["selectedColumns"]
    assert not any("oracle" in column for column in state["selectedColumns"])
    assert {chart["metricKey"] for chart in state["compareRunCharts"]} >= {"auprc_pooled/ms", "val_loss"}
    assert views.unpack(experiment.tags[views.TAG + views.RUNS])["groupBy"] is None
    address = views.link(experiment.experiment_id, views.COMPARISON)
    assert address in experiment.tags["mlflow.note.content"]
    database = f"sqlite:///{imported / 'mlflow' / DATABASE}"
    links = ui.comparison_links(database, "http://127.0.0.1:5000")
    assert links == [f"demo: http://127.0.0.1:5000/{address}"]
