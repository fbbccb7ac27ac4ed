"""Results of an older version are refused with a sentence."""

from __future__ import annotations

import pytest

from brainuad.cli import main
from brainuad.errors import InputError
from brainuad.formats import quality, scans, tables
from brainuad.formats.older_layout import OLD_COLUMNS, refuse_older_layout


def put(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_old_table_is_refused_with_the_new_names(tmp_path):
    path = put(tmp_path / "demo/evaluate/metrics.tsv", "model\tseed\tdataset\tchain\tvalue\n")
    with pytest.raises(InputError, match="written by an older version") as fault:
        refuse_older_layout(tmp_path / "demo")
    assert fault.value.file == path
    assert "`chain` is now `postprocessing`" in fault.value.why
    assert "move the folder away" in fault.value.do


@pytest.mark.parametrize(
    "name", ["infer/dae/seed-0/ms/sub-01_anomaly.nii.gz", "subjects.tsv", "preprocessed/sub-01/image.nii.gz"]
)
def test_each_sign_is_enough(tmp_path, name):
    put(tmp_path / name, "scan\tspoiled\n")
    with pytest.raises(InputError, match="older version"):
        refuse_older_layout(tmp_path, [tmp_path / "preprocessed"])


def test_new_results_and_missing_folders_are_accepted(tmp_path):
    put(tmp_path / "infer/dae/seed-0/ms/sub-01/anat/sub-01_space-MNI152NLin2009aSym_anomalymap.nii.gz")
    put(tmp_path / "evaluate/metrics.tsv", "\t".join(tables.METRICS) + "\n")
    put(tmp_path / "subjects.tsv", "\t".join(scans.COLUMNS) + "\n")
    refuse_older_layout(tmp_path, [tmp_path / "none"])


def test_no_table_has_an_old_column():
    every = [*tables.METRICS, *tables.SCANS, *tables.LESIONS, *tables.COMPARISONS, *tables.CURVES]
    assert not {*every, *scans.COLUMNS, *quality.COLUMNS} & set(OLD_COLUMNS)


def test_the_command_line_says_it(tmp_path, capsys):
    put(tmp_path / "evaluate/metrics.tsv", "model\tchain\n")
    assert main(["show", str(tmp_path)]) == 1
    assert "older version" in capsys.readouterr().err
