"""`brainuad predict` on scans of noise, with a stub in place of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from stub_model import Stub, manifest, write_scan

from brainuad.cli import main
from brainuad.formats.model_file import ModelFile
from brainuad.predict import command


@pytest.fixture
def predict(tmp_path, monkeypatch):
    def run(*names: str, **options: str) -> tuple[int, Path]:
        for name in names:
            write_scan(tmp_path / "in" / f"{name}.nii.gz")
        given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value) if text]
        out = tmp_path / "out"
        return main(["predict", "-i", str(tmp_path / "in"), "-o", str(out), "-m", "x", *given]), out

    (tmp_path / "in").mkdir()
    file = ModelFile(manifest(), {}, {}, {}, "0" * 64)
    monkeypatch.setattr(command.source, "read", lambda _: file)
    monkeypatch.setattr(command, "Model", Stub)
    return run
