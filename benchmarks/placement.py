"""Whether difficult scans are registered to the template, and whether failed registrations are detected.

    python benchmarks/placement.py [--subjects 300] [--stream hard] [--workers 1] [--out placement.tsv]
    python benchmarks/placement.py --corrupted [--stream spoiled]
    python benchmarks/placement.py --real <folder of real scans> [--sheet placement.png]

Difficult phantoms (benchmarks/hard.py) are preprocessed at 2 mm as files. Error: distance over the template's brain to
the best affine fit of the true transform, in mm; above 5 mm on average a scan counts as misregistered. Dice: brain mask
against that of the phantom, on the scan's voxels. Seconds: CPU time of preprocessing, one thread. `--stream` names the
seeds: limits are set on one stream and figures measured on another. Rows that the table has already are not repeated.
`--corrupted`: sixty corrupted subjects and sixty good ones, and their quality states. `--real`: the state of every
scan, with a contact sheet. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import hard
from brainuad.config.recipe import Preprocess
from brainuad.errors import InputError
from brainuad.formats import volume
from brainuad.formats.status import Status
from brainuad.formats.transform import Affine
from brainuad.images.template import mni152
from brainuad.preprocess import pipeline
from brainuad.preprocess.quality.verdict import judged
from brainuad.preprocess.review import overlay

Row = dict[str, str]
Job = Callable[[Path | None], Row]
NUMBERS = ("nmi", "half_turn_ratio", "template_dice", "coverage", "volume_ml", "rotation_deg")
FIELDS = ("subject", "condition", "kind", "mean_mm", "max_mm", "dice", "seconds", "state", *NUMBERS, "reasons")
MISPLACED = 5.0
WANTED = {"T1w": 0.965, "T2w": 0.97, "FLAIR": 0.97, "CT": 0.97}


def main() -> None:
    """Make the rows that are missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=300, help="number of difficult phantoms")
    parser.add_argument("--stream", help="names the seeds")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the table of all subjects, continued if it exists")
    parser.add_argument("--overlays", type=Path, help="folder for a picture of each misregistered or failed subject")
    parser.add_argument("--corrupted", action="store_true")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--sheet", type=Path, default=Path("placement.png"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    jobs: dict[str, Job]
    if options.real:
        files = {str(path.relative_to(options.real)): path for path in scans(options.real)}
        jobs = {name: partial(real, name, path) for name, path in files.items()}
        out, pictures = options.out or Path("placement_real.tsv"), options.sheet.with_suffix("")
    elif options.corrupted:
        jobs = corrupted_jobs(options.stream or "spoiled")  # the name of the seeds behind the figures in docs/
        out, pictures = options.out or Path("placement_corrupted.tsv"), options.overlays
    else:
        stream = options.stream or "hard"
        jobs = {name: partial(registered, name, how, kind) for name, how, kind in hard.plan(stream, options.subjects)}
        out, pictures = options.out or Path("placement.tsv"), options.overlays
    rows = [row for row in continued(out, jobs, pictures, options.workers) if row["subject"] in jobs]
    if options.real:
        verdicts(rows, lambda row: f"{row['subject'].split('/')[0]} {row['kind']}")
        contact_sheet(pictures, [row["subject"] for row in rows], options.sheet)
    elif options.corrupted:
        verdicts(rows, lambda row: row["condition"])
    else:
        summary(rows)


def registered(name: str, condition: str, kind: str, pictures: Path | None) -> Row:
    """Preprocess one difficult phantom."""
    return preprocess_case(hard.make(name, condition, kind), Subject(name, condition, kind), pictures)


@dataclass(frozen=True)
class Subject:
    """A phantom of a benchmark."""

    name: str
    condition: str
    kind: str


def preprocess_case(
    case: hard.Case,
    subject: Subject,
    pictures: Path | None,
    declared: str | None = None,
    forced: np.ndarray | None = None,
    every: bool = False,
) -> Row:
    """Preprocess a case as files, under the modality `declared` and the affine `forced` if these are given."""
    modality = declared or hard.MODALITY[case.contrast]
    with tempfile.TemporaryDirectory() as folder:
        scan_file, brain_file = Path(folder) / "scan.nii.gz", Path(folder) / "brain.nii.gz"
        volume.write(scan_file, case.image, case.affine)
        volume.write(brain_file, case.brain, case.affine)
        row = verdict(scan_file, modality, subject.name, pictures, forced, (case.truth, brain_file), every)
    return row | {"condition": subject.condition, "kind": subject.kind}


def real(name: str, path: Path, pictures: Path | None) -> Row:
    """Preprocess one real scan, whose true transform is unknown."""
    modality = path.name.removesuffix(".nii.gz").split("_")[-1]
    return verdict(path, modality, name, pictures, every=True) | {"kind": modality}


def verdict(
    scan_file: Path,
    modality: str,
    name: str,
    pictures: Path | None,
    forced: np.ndarray | None = None,
    truth: tuple[np.ndarray, Path] | None = None,
    every: bool = False,
) -> Row:
    """The quality of one file. `truth`: template to scan, and the brain mask; `every`: pictures of all."""
    row: dict[str, object] = {"subject": name}
    known = (
        mock.patch.object(pipeline, "register", return_value=Affine(forced)) if forced is not None else nullcontext()
    )
    begin = time.process_time()
    try:
        with known:
            result = pipeline.preprocess_volume(volume.read(scan_file), modality, Preprocess())
    except InputError as error:
        return {"subject": name, "state": "failed", "reasons": f"{error.what} ({error.why})"}
    row["seconds"] = time.process_time() - begin
    status = Status(scan=name, modality=modality, state="ok", quality=result.quality)
    told = judged(status, Preprocess().quality)
    row["state"], row["reasons"] = told.state, "; ".join(told.reasons)
    row |= {number: result.quality[number] for number in NUMBERS}
    off = 0.0
    if truth is not None:
        apart = distances(result.registered.transform.matrix, truth[0])
        brain = volume.read_mask(truth[1]).data
        found = result.registered.to_scan(result.brain)
        off = apart.mean()
        row |= {"mean_mm": off, "max_mm": apart.max(), "dice": 2 * (found & brain).sum() / (found.sum() + brain.sum())}
    if pictures is not None and (every or off > MISPLACED or told.state == "failed"):
        file = pictures / f"{name.replace('/', '_')}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        overlay.write(file, overlay.overlay(result.registered.image, result.brain, result.registered.template))
    return {field: f"{value:.4f}" if isinstance(value, float) else str(value) for field, value in row.items()}


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances in mm between two affines at points of the template's brain."""
    template = mni152(2.0)
    points = np.argwhere(template.brain)[::37] @ template.affine[:3, :3].T + template.affine[:3, 3]
    return np.asarray(np.linalg.norm(points @ (a - b)[:3, :3].T + (a - b)[:3, 3], axis=1))


def corrupted_jobs(stream: str) -> dict[str, Job]:
    """Sixty good subjects and sixty corrupted ones, each type of corruption on each contrast in turn."""
    jobs: dict[str, Job] = {}
    for number in range(60):
        for what in ("good", list(hard.CORRUPTIONS)[number % len(hard.CORRUPTIONS)]):
            kind = hard.KINDS[(number + number // len(hard.CORRUPTIONS)) % len(hard.KINDS)]
            name = f"{stream}-{'good' if what == 'good' else 'bad'}-{number:03d}"
            jobs[name] = partial(corrupted, name, what, kind)
    return jobs


def corrupted(name: str, what: str, kind: str, pictures: Path | None) -> Row:
    """Preprocess one good or corrupted subject."""
    case, declared, forced = hard.corrupt_scan(name, what, kind)
    label = what if declared is None else f"{what}: {kind} as {declared}"
    kind = label.removeprefix(f"{what}: ") if declared else kind
    return preprocess_case(case, Subject(name, what, kind), pictures, declared, forced)


def continued(out: Path, jobs: Mapping[str, Job], pictures: Path | None, workers: int) -> list[Row]:
    """All rows of the table `out`, after the missing ones are made and written, one by one as they come."""
    rows = list(csv.DictReader(out.open(), delimiter="\t")) if out.is_file() else []
    present = {row["subject"] for row in rows}
    missing = [job for name, job in jobs.items() if name not in present]
    begin = time.monotonic()
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, delimiter="\t")
        if not rows:
            writer.writeheader()
        for done, row in enumerate(made(missing, pictures, workers), 1):
            writer.writerow(row)
            file.flush()
            rows.append({field: row.get(field, "") for field in FIELDS})
            left = (time.monotonic() - begin) / done * (len(missing) - done)
            error = f"{float(row['mean_mm']):.1f} mm" if row.get("mean_mm") else ""
            print(
                f"{done}/{len(missing)} {row['subject']} {row.get('condition', '')} {row['kind']} {error} "
                f"{row['state']}, {left / 60:.0f} min left",
                flush=True,
            )
    return sorted(rows, key=lambda row: row["subject"])


def made(missing: list[Job], pictures: Path | None, workers: int) -> Iterator[Row]:
    """Rows as they are finished."""
    if workers == 1:
        yield from (job(pictures) for job in missing)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(job, pictures) for job in missing]):
            yield future.result()


def summary(rows: list[Row]) -> None:
    """By condition and by kind: misplaced, caught, refused though good, Dice and seconds."""
    groups = [(name, [r for r in rows if r["condition"] == name]) for name in hard.CONDITIONS]
    kinds = sorted({row["kind"] for row in rows})
    print("\n| condition | n | misplaced | failed | warned | missed | refused though good | mean mm | max mm | CPU s |")
    print("|" + " --- |" * 10)
    for name, group in [*groups, *[(kind, [r for r in rows if r["kind"] == kind]) for kind in kinds], ("all", rows)]:
        if group:
            print(f"| {name} | {len(group)} | {' | '.join(counts(group))} |")
    print("\n| kind | n | mean Dice | lowest | wanted |\n|" + " --- |" * 5)
    for kind in kinds:
        scores = [float(r["dice"]) for r in rows if r["kind"] == kind and r["dice"] and not is_misplaced(r)]
        if scores:
            wanted = WANTED.get(kind, "")
            print(f"| {kind} | {len(scores)} | {np.mean(scores):.3f} | {min(scores):.3f} | {wanted} |")


def counts(group: list[Row]) -> list[str]:
    """One row of the first table; errors are those of the well placed."""
    misplaced = [row["state"] for row in group if is_misplaced(row)]
    good = [row for row in group if not is_misplaced(row)]
    error = [float(row["mean_mm"]) for row in good] or [float("nan")]
    cells = [len(misplaced), *(misplaced.count(state) for state in ("failed", "warned", "ok"))]
    cells.append(sum(row["state"] == "failed" for row in good))
    seconds = np.mean([float(row["seconds"]) for row in group if row["seconds"]] or [float("nan")])
    return [*map(str, cells), f"{np.mean(error):.2f}", f"{max(error):.2f}", f"{seconds:.2f}"]


def is_misplaced(row: Row) -> bool:
    """A scan that could not be preprocessed counts as misregistered."""
    return not row["mean_mm"] or float(row["mean_mm"]) > MISPLACED


def verdicts(rows: list[Row], group_of: Callable[[Row], str]) -> None:
    """States by group, and the reasons of all that are not well."""
    print("\n| group | n | failed | warned | ok |\n|" + " --- |" * 5)
    for name in sorted({group_of(row) for row in rows}):
        states = [row["state"] for row in rows if group_of(row) == name]
        print(
            f"| {name} | {len(states)} | " + " | ".join(str(states.count(s)) for s in ("failed", "warned", "ok")) + " |"
        )
    for row in rows:
        if row["state"] != "ok":
            print(f"{row['subject']} {row['kind']}: {row['state']}, {row['reasons']}")


def contact_sheet(folder: Path, names: Iterable[str], out: Path, columns: int = 4) -> None:
    """The overlays of `folder` in one picture, row by row in the order of `names`."""
    from PIL import Image

    files = [folder / f"{name.replace('/', '_')}.png" for name in names]
    pictures = [Image.open(file).convert("RGB") for file in files if file.is_file()]
    if not pictures:
        return
    width, height = max(p.width for p in pictures) // 2, max(p.height for p in pictures) // 2
    sheet = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height))
    for number, picture in enumerate(pictures):
        half = picture.resize((picture.width // 2, picture.height // 2))
        sheet.paste(half, (number % columns * width, number // columns * height))
    sheet.save(out)


def scans(folder: Path) -> list[Path]:
    """Every scan under a folder, masks left out."""
    masks = ("mask", "dseg")
    return [p for p in sorted(folder.rglob("*.nii.gz")) if p.name.removesuffix(".nii.gz").split("_")[-1] not in masks]


if __name__ == "__main__":
    main()
