"""Model files: what comes back is what was written, and a file that is not is refused."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from model_files import manifest, rezipped

from brainuad.errors import InputError
from brainuad.formats import bundle, checksums, model_file

MODELS = {"atlas": {"family": "zscore_atlas"}}
WEIGHTS = "models/atlas/seed-0/arrays.safetensors"


class Evil:
    def __reduce__(self):
        return pytest.fail, ("code of the file ran",)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("file")
    about = {"model": MODELS["atlas"], "trained_as": "atlas/seed-0"}
    bundle.write(folder / "parts/models/atlas/seed-0", bundle.Bundle({"mean": np.arange(24.0).reshape(2, 3, 4)}, about))
    (folder / "parts" / "card.md").write_text("# toy\n")
    model_file.write(folder / "toy.brainuad", manifest(MODELS), folder / "parts")
    return folder / "toy.brainuad"


def test_what_is_read_is_what_was_written(written):
    found = model_file.read(written)
    assert found.manifest == manifest(MODELS)
    assert found.texts == {"card.md": "# toy\n"}
    before = bundle.read(written.parent / "parts/models/atlas/seed-0")
    assert found.bundles["atlas/seed-0"].about == before.about
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(found.bundles["atlas/seed-0"].arrays[name], array)


def test_equal_content_gives_equal_bytes(written, tmp_path):
    model_file.write(tmp_path / "again.brainuad", manifest(MODELS), written.parent / "parts")
    assert (tmp_path / "again.brainuad").read_bytes() == written.read_bytes()


def test_a_changed_byte_anywhere_is_noticed(written, tmp_path):
    content, spoilt = written.read_bytes(), tmp_path / "toy.brainuad"
    for place in range(0, len(content), max(1, len(content) // 150)):
        changed = bytearray(content)
        changed[place] ^= 1
        spoilt.write_bytes(changed)
        with pytest.raises(InputError) as refused:
            model_file.read(spoilt)
        assert refused.value.do, place


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_file_that_was_cut_is_refused(written, tmp_path, size):
    (tmp_path / "toy.brainuad").write_bytes(written.read_bytes()[:size])
    with pytest.raises(InputError, match="toy"):
        model_file.read(tmp_path / "toy.brainuad")


@pytest.mark.parametrize(
    "name",
    ["weights.pkl", "../outside.json", "/etc/outside.json", "models/atlas/../../../x", "models/atlas/seed-0/x.py"],
)
def test_a_member_without_a_place_is_refused(written, tmp_path, name):
    listed = _manifest(written, lambda about: about["members"].update({name: "0" * 64}))
    odd = rezipped(written, tmp_path / "odd.brainuad", {name: pickle.dumps(Evil()), model_file.MANIFEST: listed})
    with pytest.raises(InputError, match="is refused"):
        model_file.read(odd)
    assert [each.name for each in tmp_path.rglob("*")] == ["odd.brainuad"]


def test_a_pickle_in_the_place_of_weights_runs_no_code(written, tmp_path):
    code = pickle.dumps(Evil())
    listed = _manifest(written, lambda about: about["members"].update({WEIGHTS: _sha256(code)}))
    odd = rezipped(written, tmp_path / "odd.brainuad", {WEIGHTS: code, model_file.MANIFEST: listed})
    with pytest.raises(InputError, match="weights were altered"):
        model_file.read(odd)


def test_a_later_format_says_to_update(written, tmp_path):
    later = _manifest(written, lambda about: about.update(format=2, anything="new"))
    odd = rezipped(written, tmp_path / "odd.brainuad", {model_file.MANIFEST: later, "new/part.bin": b""})
    with pytest.raises(InputError, match="later version") as refused:
        model_file.read(odd)
    assert "update brainuad" in str(refused.value.do)


def _manifest(path: Path, change) -> bytes:
    with zipfile.ZipFile(path) as archive:
        about = json.loads(archive.read(model_file.MANIFEST))
    del about[checksums.SEAL]
    change(about)
    return json.dumps({**about, checksums.SEAL: checksums.seal_of(about)}).encode()


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()
