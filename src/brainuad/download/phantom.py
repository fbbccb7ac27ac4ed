"""A data set of synthesised heads, written as if a scanner had: nothing is downloaded."""

from __future__ import annotations

import csv
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from brainuad import images
from brainuad.download.made import code_of, tell
from brainuad.errors import ConfigError
from brainuad.formats import transform, volume
from brainuad.formats.files import atomic, atomic_folder, read_json, write_json
from brainuad.images.contrasts import SUFFIX, Contrast, Lesions
from brainuad.images.seeds import seed_words

_STAMP = ".phantom.json"  # in each subject's folder: what it was made from


@dataclass(frozen=True)
class _Order:
    """One subject to be made; the same order gives the same files."""

    subject: str
    seed: int
    contrast: Contrast
    lesions: Lesions
    spacing: float
    code: str


def make_dataset(
    out: Path,
    subjects: int,
    seed: int,
    contrast: Contrast | Literal["ct"],
    lesions: Lesions,
    spacing: float,
    workers: int,
    prefix: str = "",
) -> None:
    """Write `subjects` heads in BIDS order under `out`, with lesion masks if there are lesions, and participants.tsv.

    A subject depends on `seed`, its label `sub-<prefix>NNN` and `lesions`, so that healthy and other sets share no
    head; its contrasts show one head. `spacing` in mm. `desc-truth_affine.json` holds the template's place.
    What was made from the same settings by the same code is kept; the rest is made in `workers` processes. Raises
    ConfigError for a prefix that BIDS refuses.
    """
    if prefix and not (prefix.isascii() and prefix.isalnum()):
        raise ConfigError(f"{prefix!r} cannot be part of a subject's label", do="use letters and digits only")
    kind: Contrast = "CT" if contrast == "ct" else contrast
    code = code_of(Path(str(images.__file__)).parent)
    labels = [f"sub-{prefix}{n:03d}" for n in range(1, subjects + 1)]
    orders = [_Order(label, seed, kind, lesions, float(spacing), code) for label in labels]
    missing = [order for order in orders if not _is_made(out, order)]
    start = time.monotonic()
    for done, _ in enumerate(_made(out, missing, workers), start=1):
        tell(out.name, "heads", done, len(missing), time.monotonic() - start)
    with atomic(out / "participants.tsv") as part, part.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["participant_id", "group", "lesion_kind"])
        for label in labels:
            painted = read_json(out / label / _STAMP)["kind"]
            table.writerow([label, "healthy" if painted == "none" else "lesion", painted])


def _made(out: Path, orders: list[_Order], workers: int) -> Iterator[str]:
    """Make the subjects and yield each one's label; few are made in this process, for a new one costs four seconds."""
    if workers < 2 or len(orders) < 4:
        for order in orders:
            yield _make(out, order)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(orders)), context, _one_thread) as pool:
        with _without_main():
            jobs = [pool.submit(_make, out, order) for order in orders]
        try:
            for job in as_completed(jobs):
                yield job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _make(out: Path, order: _Order) -> str:
    from brainuad.images.phantom import make_phantom  # torch, which a process that only hands out work can spare

    seed = seed_words(order.seed, "phantom", order.subject, order.lesions)
    phantom = make_phantom(seed, order.contrast, order.lesions, order.spacing)
    suffix = SUFFIX[order.contrast]
    with atomic_folder(out / order.subject) as folder:
        stem = folder / ("ct" if suffix == "ct" else "anat") / order.subject
        volume.write(f"{stem}_{suffix}.nii.gz", phantom.image.astype(np.int16), phantom.affine)
        if order.lesions != "none":
            volume.write(f"{stem}_desc-lesion_mask.nii.gz", phantom.lesion, phantom.affine)
        transform.write(f"{stem}_desc-truth_affine.json", transform.Affine(phantom.template_to_scan))
        write_json(folder / _STAMP, {"order": asdict(order), "kind": phantom.kind})
    return order.subject


def _is_made(out: Path, order: _Order) -> bool:
    """Whether the folder, which appears whole or not at all, was made from this order."""
    stamp = out / order.subject / _STAMP
    return stamp.is_file() and read_json(stamp).get("order") == json.loads(json.dumps(asdict(order)))


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep new processes from running the calling script again, as they do where it has no guard of its own."""
    main: dict[str, object] = vars(sys.modules["__main__"])
    names = ("__file__", "__spec__")
    kept = {name: main.pop(name) for name in names if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)
