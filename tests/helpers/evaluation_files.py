"""A small evaluation: the files of two data sets that infer and postprocess would leave, and a way to evaluate them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sealed import sealed

from brainuad.config.evaluate import Evaluate
from brainuad.config.postprocessing import Fixed, HealthyQuantile
from brainuad.evaluate.evaluate_job import EvaluateInputs
from brainuad.evaluate.evaluation import evaluate
from brainuad.evaluate.scored import Scoring
from brainuad.formats import array_cache, postprocessed, thresholds, volume
from brainuad.formats import maps as files
from brainuad.formats.array_cache import CacheHeader
from brainuad.formats.scans import Scan
from brainuad.formats.thresholds import FoundThreshold

SHAPE = (14, 15, 12)
AFFINE = np.diag([2.0, 2, 2, 1])
RULES = [HealthyQuantile(rule="healthy_quantile"), Fixed(rule="fixed", value=2)]
LABELS = [rule.label for rule in RULES]
SETTINGS = Evaluate(min_lesion_ml=0.01, min_component_ml=0)


def brain() -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    return mask


class EvaluationFiles:
    """Array caches, maps and masks of two data sets: `ms` (5 test scans, 4 patients; one in validation), `ixi` (3).

    `write`: whether to write the array caches; else `root` holds files that were written before.
    """

    def __init__(self, root: Path, write: bool = True):
        self.root = root
        self.rng = np.random.default_rng(0)
        subjects = ["sub-0", "sub-0", "sub-1", "sub-2", "sub-3", "sub-9"]
        self.scans = {
            "ms": [
                Scan(f"{s}_ses-{i}", s, "ms", role="validation" if s == "sub-9" else "test")
                for i, s in enumerate(subjects)
            ],
            "ixi": [Scan(f"sub-{i}", f"sub-x{i}", "ixi", role="test") for i in range(3)],
        }
        for name, scans in self.scans.items() if write else ():
            array_cache.write(root / "array_caches" / name, (self.entry(s, name) for s in scans), CacheHeader(AFFINE))

    def entry(self, scan, name):
        lesion = np.zeros(SHAPE, bool)
        if name == "ms":
            at = int(self.rng.integers(4, 8))
            lesion[at : at + 3, 5:8, 4:7] = True
            lesion[2:4, 10, 8] = True  # half of it in the rim
        return array_cache.Entry(scan, np.zeros(SHAPE, np.float32), brain(), lesion)

    def lesions(self, name):
        return np.asarray(array_cache.read_lesions(self.root / "array_caches" / name))

    def infer(self, model, name, make):
        folder = self.root / "infer" / model / name
        rows = ["scan\tsubject\trole\tscore"]
        for scan, lesion in zip(self.scans[name], self.lesions(name), strict=True):
            anomaly = np.where(brain(), make(lesion), 0).astype(np.float32)
            volume.write(files.anomaly_path(folder, scan.scan), anomaly, AFFINE)
            rows.append(f"{scan.scan}\t{scan.subject}\t{scan.role}\t{float(anomaly[brain()].mean())!r}")
        (folder / "scores.tsv").write_text("\n".join(rows) + "\n")
        return folder

    def post(self, model, name, postprocessing, make, changed=None):
        folder = self.root / "post" / model / name / postprocessing
        for scan, lesion in zip(self.scans[name], self.lesions(name), strict=True):
            if scan.role == "test":
                for label in LABELS:
                    volume.write(files.mask_path(folder, scan.scan, label), make(lesion) & brain(), AFFINE)
                if changed is not None:
                    anomaly = np.where(brain(), changed(lesion), 0).astype(np.float32)
                    volume.write(files.processed_path(folder, scan.scan), anomaly, AFFINE)
        postprocessed.write(folder, changes_maps=changed is not None)
        thresholds.write(
            folder,
            {label: FoundThreshold(1.5, "unsupervised") for label in LABELS} | {"val_dice": FoundThreshold(None, "x")},
        )
        return folder

    def run(self, model, name, posts, out, seed=0, settings=SETTINGS, locating=(), made_of=None, role="validation"):
        maps, caches = self.root / "infer" / model, self.root / "array_caches"
        tags = {"model": model, "seed": str(seed), "dataset": name}
        inputs = EvaluateInputs(
            maps=maps / name,
            masks=list(posts.values()),
            array_cache=caches / name,
            control_maps=[maps / "ixi"],
            control_array_caches=[caches / "ixi"],
            calibration_maps=[maps / "ixi"],
            calibration_array_caches=[caches / "ixi"],
        )
        assert list(inputs.postprocessed()) == list(posts)
        for folder in {inputs.maps, *inputs.control_maps, *inputs.masks}:
            sealed(folder, **(made_of or {}).get(folder.relative_to(self.root).as_posix(), {}))
        evaluate(inputs, Scoring(settings, RULES, locating, role), out, tags)
        return out
