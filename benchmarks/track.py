"""CPU time of importing a study into MLflow, twice, and of following it: `python benchmarks/track.py 100 200`.

The runs (of 20 models) are made up: so many of them, each with so many epochs of five curves, 183 points of what a
training of an hour used over time, and 240 final metrics.
Prints a Markdown table. "Follow" is a look at a study whose trainings all run and have no new point.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from brainuad.formats import run, tables
from brainuad.resources import course, live, recording
from brainuad.track.experiment import Destination
from brainuad.track.follower import Follower
from brainuad.track.run_import import import_study
from brainuad.track.tracked_run import Training

MODELS = 20
CURVES = ("train_loss", "train_reconstruction", "validation_loss", "validation_reconstruction", "steps_per_second")
SETTINGS = {"family": "autoencoder", "network": {f"option_{i}": i for i in range(30)}}


def main() -> None:
    """Make the study in a temporary folder, and measure."""
    course.FIRST_SECONDS = 1e6  # the trainings are made up, and so is what they use
    count, epochs = (int(each) for each in (*sys.argv[1:], 100, 200)[:2])
    trainings = [Training(f"model_{i % MODELS}", i // MODELS, f"model_{i % MODELS}") for i in range(count)]
    print("| what | CPU s | s |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        results = Path(name)
        folder, to = results / "study", Destination(results / "mlflow")
        for training in trainings:
            place = folder / "train" / training.model / f"seed-{training.seed}"
            running.enter_context(
                live.shown_live(place, {"stage": "train", "tags": {}, "settings": SETTINGS, "seed": training.seed}, ())
            )
            path = place / "resume" / "key" / live.CURVES
            path.parent.mkdir(parents=True)
            live.CurveFile(path, time.time(), "", curves(epochs))
            (place / course.NAME).write_text("".join(system(time.time())), encoding="utf-8")
        one = Follower(lambda _: Destination(results / "followed"))
        measured("follow, all new", lambda: one.look(folder))
        measured("follow, nothing new", lambda: one.look(folder))
        running.close()
        for training in trainings:
            finish(folder, training, epochs)
        for what in ("import", "import again"):
            measured(what, lambda: import_study("study", folder, trainings, to))


def curves(epochs: int) -> list[tuple[int, str, float]]:
    """Steps, names and values."""
    return [(100 * epoch, name, 1 / (epoch + i)) for epoch in range(1, epochs + 1) for i, name in enumerate(CURVES)]


def system(start: float) -> Iterator[str]:
    """The lines of an hour: as many as `brainuad.resources.course` writes."""
    for step in range(183):
        used = {"cpu_percent": 180.0 + step % 7, "memory_megabytes": 500.0 + step}
        yield json.dumps({"time": start + 20 * step + 1, "step": step, "used": used}) + "\n"


def finish(folder: Path, training: Training, epochs: int) -> None:
    """Write what a training and its evaluation leave."""
    model, seed = training.model, training.seed
    tags = {"model": model, "seed": str(seed)}
    record = run.Record("train", tags, SETTINGS, seed, "d" * 64, curves=curves(epochs))
    with recording.recorded(folder / "train" / model / f"seed-{seed}", record):
        pass
    place = folder / "evaluate" / model / f"seed-{seed}" / "patients"
    about = {
        "model": model,
        "seed": seed,
        "dataset": "patients",
        "postprocessing": "none",
        "ci_low": 0.1,
        "ci_high": 0.3,
    }
    rows = [
        {
            **about,
            "metric": f"metric_{i}",
            "threshold_rule": f"rule_{i % 4}",
            "value": seed / 10,
            "n": 5,
            "space": "own",
        }
        for i in range(240)
    ]
    tables.write(place / "metrics.tsv", pd.DataFrame(rows), tables.METRICS)
    with recording.recorded(place, run.Record("evaluate", {**tags, "dataset": "patients"}, {}, seed)):
        pass


def measured(what: str, work: Callable[[], object]) -> None:
    """Print a row."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    print(f"| {what} | {time.process_time() - cpu:.1f} | {time.perf_counter() - wall:.1f} |", flush=True)


if __name__ == "__main__":
    main()
