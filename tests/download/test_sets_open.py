"""The open data sets: what each makes of its own layout, and of one that is not as it should be."""

from __future__ import annotations

import csv
import json
import locale
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from pydantic import ValidationError

from brainuad.config.datasets import Known, OpenNeuro
from brainuad.download import catalogue, fetch
from brainuad.download.known.dicom import slice_step
from brainuad.download.known.known_set import known_set
from brainuad.download.source_of import source_of
from brainuad.download.sources.known import FETCHED, find_known_scans
from brainuad.download.transfer.server_lists import dataverse_files, read_page, s3_files
from brainuad.errors import ConfigError, InputError
from brainuad.formats import volume
from brainuad.terminal import plain

OPEN = ("ixi", "msd01", "mslub", "wmh", "oasis1", "cq500", "openneuro")
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])
FINDINGS = (
    *("ICH", "IPH", "IVH", "SDH", "EDH", "SAH", "BleedLocation-Left", "BleedLocation-Right", "ChronicBleed"),
    *("Fracture", "CalvarialFracture", "OtherFracture", "MassEffect", "MidlineShift"),
)


def touch(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def nifti(path: Path, data: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    return path


def settings_of(name: str, root: Path, **changes):
    if name == "openneuro":
        return OpenNeuro(**{"source": name, "accession": "ds000011", "root": str(root), "healthy": True, **changes})
    return Known(**{"source": name, "root": str(root), "healthy": False, "accept_licence": True, **changes})


def look(name: str, root: Path, **changes):
    return known_set(name).find_scans("x", settings_of(name, root, **changes))


def msd01(root: Path) -> None:
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    touch(root, "Task01_BrainTumour/dataset.json", text=json.dumps({"modality": names}))
    for number in (1, 2):
        for folder in ("imagesTr", "labelsTr"):
            touch(root, *(f"Task01_BrainTumour/{folder}/{dot}BRATS_00{number}.nii.gz" for dot in ("", "._")))
    touch(root, "Task01_BrainTumour/imagesTs/BRATS_485.nii.gz", "Task01_BrainTumour.tar")


def mslub(root: Path) -> None:
    for number in (1, 2):
        for name in ("FLAIR", "T1W", "T1WKS", "T2W", "consensus_gt", "brainmask"):
            touch(root, f"cross_sectional/coregistered_resampled/patient0{number}/{name}.nii.gz")
    touch(root, "cross_sectional/raw/patient01/FLAIR.nii.gz")
    touch(root, "cross_sectional/patient_info.csv", text="patient_id,age,sex\n1,31,F\n2,N/A,M\n")


def wmh(root: Path) -> None:
    places = ("training/Utrecht/0", "test/Amsterdam/Philips_VU .PETMR_01./160", "training/Amsterdam/GE3T/100")
    for place in places:
        touch(root, *(f"{place}/{name}" for name in ("wmh.nii.gz", "pre/FLAIR.nii.gz", "pre/T1.nii.gz")))
    touch(root, "additional_annotations/observer_o3/training/Utrecht/0/result.nii.gz")


def oasis1(root: Path) -> None:
    people = {"0001_MR1": "74/0", "0002_MR1": "81/0.5", "0003_MR1": "21/", "0003_MR2": "21/", "0004_MR1": "70/"}
    for name, about in people.items():
        age, _, rating = about.partition("/")
        folder = f"disc1/OAS1_{name}"
        text = f"SESSION ID:   OAS1_{name}\n\nAGE:          {age}\nM/F:          Female\nCDR:          {rating}\n"
        touch(root, f"{folder}/OAS1_{name}.txt", text=text)
        stem = f"{folder}/PROCESSED/MPRAGE/T88_111/OAS1_{name}_mpr_n4_anon_111_t88_masked_gfc"
        touch(root, f"{stem}.hdr", f"{stem}.img")


def reads(root: Path, votes: dict[int, dict[str, int]]) -> None:
    """`votes`: for each scan, by how many readers a finding was seen."""
    columns = ["name", "Category", *(f"R{reader}:{name}" for reader in (1, 2, 3) for name in FINDINGS)]
    with (root / "reads.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for number, seen in votes.items():
            cells = [int(seen.get(name, 0) >= reader) for reader in (1, 2, 3) for name in FINDINGS]
            table.writerow([f"CQ500-CT-{number}", "B1", *cells])


def cq500(root: Path) -> None:
    root.mkdir(exist_ok=True)
    blood = {"ICH": 3, "IPH": 2, "SDH": 3, "EDH": 1, "MassEffect": 2}
    reads(root, {0: {}, 1: blood, 2: {"Fracture": 1}, 3: {"ICH": 2, "Fracture": 2}, 4: {}})
    for number in (0, 1, 2, 3):
        touch(root, f"CQ500CT{number} CQ500CT{number}/Unknown Study/CT Thin Plain/CT000000.dcm")
    touch(root, *(f"Seg-CQ500/data/volumes/CQ500-CT-1/{name}" for name in ("CT.nii", "ICH_mask.nii.gz")))


def openneuro(root: Path) -> None:
    touch(root, "participants.tsv", text="participant_id\tage\tgroup\nsub-01\t30\tcontrol\nsub-02\t40\tpatient\n")
    touch(root, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz", "sub-03/anat/sub-03_T2w.nii.gz")


def ixi(root: Path) -> None:
    touch(root, "IXI002-Guys-0828-T1.nii.gz", "IXI-T1/IXI012-HH-1211-T1.nii.gz", "IXI002-Guys-0828-T2.nii.gz")


BUILD = {f.__name__: f for f in (ixi, msd01, mslub, wmh, oasis1, cq500, openneuro)}

RIGHT = [  # set, other settings, scans, sites, kinds, notes
    ("ixi", {"healthy": True}, ["sub-IXI002", "sub-IXI012"], ["Guys", "HH"], "", ["T1 scans: 2"]),
    ("msd01", {"modality": "T1ce"}, ["sub-BRATS001", "sub-BRATS002"], ["", ""], "tumour", ["cases: 2"]),
    (
        "mslub",
        {"modality": "FLAIR"},
        ["sub-patient01", "sub-patient02"],
        ["", ""],
        "multiple_sclerosis",
        ["patients: 2"],
    ),
    (
        "wmh",
        {"modality": "FLAIR"},
        ["sub-AmsterdamGE3T100", "sub-AmsterdamPhilipsVU160", "sub-Utrecht0"],
        ["Amsterdam GE3T", "Amsterdam Philips_VU", "Utrecht"],
        "white_matter_hyperintensity",
        ["subjects in training: 2", "subjects in test: 1"],
    ),
    (
        "oasis1",
        {"healthy": True},
        ["sub-OAS10001_ses-MR1", "sub-OAS10003_ses-MR1", "sub-OAS10003_ses-MR2"],
        ["", "", ""],
        "",
        ["sessions: 5", "1 sessions of people from 60 years"],
    ),
    ("oasis1", {}, ["sub-OAS10002_ses-MR1"], [""], "", ["sessions: 5", "1 sessions of people from 60 years"]),
    (
        "cq500",
        {"modality": "ct", "healthy": True},
        ["sub-CQ500CT0"],
        [""],
        "",
        ["scans: 4", "masks: 1", "1 scans in which one reader"],
    ),
    (
        "openneuro",
        {},
        ["sub-01", "sub-02"],
        ["", ""],
        "",
        ["sub-03: no *_T1w.nii.gz"],
    ),
    (
        "openneuro",
        {"groups": {"healthy": ["control"]}, "subjects": ["sub-01", "sub-02"]},
        ["sub-01"],
        [""],
        "",
        [],
    ),
]


@pytest.mark.parametrize(("name", "changes", "scans", "sites", "lesion_type", "notes"), RIGHT)
def test_the_layout_of_its_authors_lists_the_scans(name, changes, scans, sites, lesion_type, notes, tmp_path):
    BUILD[name](tmp_path)
    found = look(name, tmp_path, **changes)
    assert found.problems == []
    assert [scan.scan for scan in found.scans] == scans
    assert [scan.site for scan in found.scans] == sites
    assert {scan.lesion_type for scan in found.scans} == {lesion_type}
    assert len(found.notes) == len(notes)
    assert all(note.startswith(start) for note, start in zip(found.notes, notes, strict=True))
    for scan in found.scans:
        assert Path(scan.image.partition("#")[0]).exists()
        assert bool(scan.mask) == (name in ("msd01", "mslub", "wmh"))
        assert not scan.mask or Path(scan.mask).is_file()
    assert [scan.scan for scan in find_known_scans("x", settings_of(name, tmp_path, **changes))] == scans


def test_patients_of_cq500_have_the_kinds_that_two_readers_saw(tmp_path):
    cq500(tmp_path)
    one, three = look("cq500", tmp_path, modality="ct").scans
    assert (one.lesion_type, three.lesion_type) == ("intraparenchymal;other;subdural", "fracture;other")
    assert one.image.endswith("CQ500-CT-1/CT.nii")
    assert one.mask.endswith("CQ500-CT-1/ICH_mask.nii.gz")
    assert (three.image, three.mask) == (str(tmp_path / "CQ500CT3 CQ500CT3"), "")


def test_seg_cq500_alone_will_do_for_patients(tmp_path):
    cq500(tmp_path)
    (tmp_path / "CQ500CT1 CQ500CT1").rename(tmp_path / "aside")
    assert [scan.subject for scan in look("cq500", tmp_path, modality="ct").scans] == ["sub-CQ500CT1", "sub-CQ500CT3"]


def test_what_is_known_of_persons_is_told(tmp_path):
    mslub(tmp_path / "a")
    oasis1(tmp_path / "b")
    assert [(s.age, s.sex) for s in look("mslub", tmp_path / "a").scans] == [("31", "F"), ("", "M")]
    assert [(s.age, s.sex) for s in look("oasis1", tmp_path / "b").scans] == [("81", "F")]
    assert {s.subject for s in look("oasis1", tmp_path / "b", healthy=True).scans} == {"sub-OAS10001", "sub-OAS10003"}


def spoil_ixi(root: Path) -> None:
    touch(root, "IXI-T1/IXI002-Guys-0828-T1.nii.gz", "IXI9-Guys-T1.nii.gz")


def spoil_msd01(root: Path) -> None:
    task = root / "Task01_BrainTumour"
    (task / "dataset.json").write_text(json.dumps({"modality": {"0": "FLAIR"}}))
    (task / "labelsTr/BRATS_001.nii.gz").unlink()
    (task / "imagesTr/BRATS_002.nii.gz").rename(task / "imagesTr/case.nii.gz")


def spoil_mslub(root: Path) -> None:
    place = root / "cross_sectional/coregistered_resampled"
    (place / "patient01/brainmask.nii.gz").unlink()
    (place / "patient02/consensus_gt.nii.gz").unlink()
    touch(place, "case/FLAIR.nii.gz")


def spoil_wmh(root: Path) -> None:
    (root / "training/Utrecht/0/wmh.nii.gz").unlink()
    (root / "training/Amsterdam/GE3T/100/pre/T1.nii.gz").unlink()
    touch(root, "test/Leiden/3/wmh.nii.gz", "test/Leiden/3/pre/T1.nii.gz", "test/Amsterdam/GE3T/100/wmh.nii.gz")


def spoil_oasis1(root: Path) -> None:
    (root / "disc1/OAS1_0001_MR1/OAS1_0001_MR1.txt").unlink()
    next((root / "disc1/OAS1_0002_MR1").rglob("*.img")).unlink()
    (root / "disc1/OAS1_0004_MR1").rename(root / "disc1/OAS1_4")


def spoil_cq500(root: Path) -> None:
    (root / "Seg-CQ500/data/volumes/CQ500-CT-1/CT.nii").unlink()
    (root / "CQ500CT2 CQ500CT2/Unknown Study/CT Thin Plain/CT000000.dcm").unlink()
    (root / "CQ500CT3 CQ500CT3").rename(root / "CQ500CT3")
    touch(root, "CQ500CT9 CQ500CT9/CT/a.dcm")
    with (root / "reads.csv").open("a") as file:
        file.write("CQ500-CT-0,B1" + ",0" * 42 + "\nCT-7,B1" + ",0" * 42 + "\nCQ500-CT-8,B1,2" + ",0" * 41 + "\n")


def spoil_openneuro(root: Path) -> None:
    for path in root.glob("sub-0*/anat/*_T1w.nii.gz"):
        path.unlink()


WRONG = [
    (
        "ixi",
        {"modality": "T1w"},
        ["IXI002-Guys-0828-T1.nii.gz occurs twice", "IXI9-Guys-T1.nii.gz is no name", "holds healthy people only"],
    ),
    (
        "msd01",
        {"modality": "T1w", "healthy": True},
        [
            *("msd01 holds patients only", "dataset.json does not name the channel of T1w", "labelsTr/BRATS_001"),
            *("imagesTr/BRATS_002.nii.gz is missing", "imagesTr/case.nii.gz is no file"),
        ],
    ),
    (
        "mslub",
        {"modality": "T2w", "healthy": True},
        ["mslub holds patients only", "patient01/brainmask", "patient02/consensus_gt", "case is no file"],
    ),
    (
        "wmh",
        {"healthy": True},
        [
            *(
                "wmh holds patients only",
                "Utrecht/0/wmh.nii.gz is missing",
                "training/Amsterdam/GE3T/100/pre/T1.nii.gz",
            ),
            *("test/Leiden/3 is of no known site", "test/Amsterdam/GE3T/100 occurs twice"),
            "test/Amsterdam/GE3T/100/pre/T1.nii.gz is missing",
        ],
    ),
    (
        "oasis1",
        {"healthy": True},
        ["OAS1_0001_MR1.txt is missing", "OAS1_0002_MR1/PROCESSED/MPRAGE/T88_111 holds no pair", "OAS1_4 is no name"],
    ),
    (
        "cq500",
        {"modality": "ct"},
        [
            *("CQ500-CT-1/CT.nii is missing", "CQ500CT2 CQ500CT2 holds no *.dcm", "CQ500CT3 is no folder of CQ500"),
            *("reads.csv does not name CQ500-CT-9", "names CQ500-CT-0 twice", "CT-7 is no name of CQ500"),
            "CQ500-CT-8 has '2' where 0 or 1 is expected",
        ],
    ),
    ("openneuro", {"subjects": ["sub-01", "sub-09"]}, ["sub-09 is among subjects and not there"]),
]


@pytest.mark.parametrize(("name", "changes", "problems"), WRONG, ids=[case[0] for case in WRONG])
def test_every_deviation_is_told_at_once(name, changes, problems, tmp_path):
    BUILD[name](tmp_path)
    globals()[f"spoil_{name}"](tmp_path)
    found = look(name, tmp_path, **changes)
    for problem in problems:
        assert any(problem in told for told in found.problems), problem
    assert len(found.problems) == len(problems)
    with pytest.raises(InputError) as caught:
        find_known_scans("x", settings_of(name, tmp_path, **changes))
    assert all(problem in str(caught.value) for problem in problems)
    assert "Expected:" in str(caught.value)


@pytest.mark.parametrize("name", [name for name in OPEN if name not in ("ixi", "openneuro")])
def test_an_unrelated_folder_is_no_data_set(name, tmp_path):
    touch(tmp_path, "notes.txt")
    modality = known_set(name).about.modalities[0]
    with pytest.raises(InputError):
        find_known_scans("x", settings_of(name, tmp_path, modality=modality))


@pytest.mark.parametrize("name", OPEN)
def test_it_can_be_downloaded_and_says_what_it_is(name, tmp_path):
    dataset, about = known_set(name), known_set(name).about
    for modality in about.modalities:
        settings = settings_of(name, tmp_path / "none", modality=modality)
        remotes = dataset.remotes(settings)
        assert remotes
        assert find_known_scans("x", settings) is None
        for remote in remotes:
            assert remote.url.startswith(("https://", "http://biomedic.doc.ic.ac.uk/"))
            assert not remote.tried
            assert remote.checksum.partition(":")[0] in ("", "md5")
    assert about.access == "open"
    assert all((about.title, about.licence, about.page, about.how_to_get.endswith("."), about.layout))


@pytest.mark.parametrize("name", ["wmh", "oasis1", "cq500"])
def test_terms_are_accepted_before_a_download(name, tmp_path):
    modality = known_set(name).about.modalities[0]
    with pytest.raises(ConfigError, match="once you accept its terms"):
        find_known_scans("x", settings_of(name, tmp_path / "none", modality=modality, accept_licence=False))


def test_one_channel_of_msd01_becomes_a_scan(tmp_path):
    msd01(tmp_path)
    data = np.stack([np.arange(24, dtype=np.float32).reshape(2, 3, 4) + 100 * channel for channel in range(4)], axis=-1)
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0, 0, 0], labels[1, 2, 3] = 3, 1
    nifti(tmp_path / "Task01_BrainTumour/imagesTr/BRATS_001.nii.gz", data)
    nifti(tmp_path / "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz", labels)
    scan, broken = look("msd01", tmp_path, modality="T1ce").scans
    made = known_set("msd01").convert(scan, tmp_path)
    image, mask = volume.read(made.image), volume.read_mask(made.mask)
    np.testing.assert_array_equal(image.data, data[::-1, ::-1, :, 2])
    np.testing.assert_array_equal(mask.data, (labels > 0)[::-1, ::-1])
    assert volume.same_grid(image, mask)
    with pytest.raises(InputError):
        known_set("msd01").convert(broken, tmp_path)
    nifti(tmp_path / "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz", labels * 2)
    with pytest.raises(InputError, match="holds labels other than 0, 1, 2, 3"):
        known_set("msd01").convert(scan, tmp_path)
    nifti(tmp_path / "Task01_BrainTumour/labelsTr/BRATS_001.nii.gz", labels)
    nifti(tmp_path / "Task01_BrainTumour/imagesTr/BRATS_001.nii.gz", data[..., :3])
    with pytest.raises(InputError, match="not the 4D file"):
        known_set("msd01").convert(scan, tmp_path)


def test_a_scan_of_mslub_ends_at_its_brain(tmp_path):
    mslub(tmp_path)
    place = tmp_path / "cross_sectional/coregistered_resampled/patient01"
    brain = np.zeros((3, 3, 3), np.uint8)
    brain[1, 1, :] = 1
    nifti(place / "FLAIR.nii.gz", np.arange(1, 28, dtype=np.int16).reshape(3, 3, 3))
    nifti(place / "brainmask.nii.gz", brain)
    scan = look("mslub", tmp_path, modality="FLAIR").scans[0]
    made = known_set("mslub").convert(scan, tmp_path)
    assert sorted(volume.read(made.image).data[volume.read(made.image).data > 0]) == [13, 14, 15]
    assert made.mask == scan.mask
    nifti(place / "brainmask.nii.gz", brain[:2])
    with pytest.raises(InputError, match="does not lie on the grid"):
        known_set("mslub").convert(scan, tmp_path)


@pytest.mark.parametrize(
    ("name", "modalities", "files"),
    [
        ("ixi", ["T1w", "T2w"], ["IXI002-Guys-0828-T1", "IXI002-Guys-0828-T2"]),
        ("mslub", ["T1w", "T2w", "FLAIR"], ["T1W", "T2W", "FLAIR"]),
        ("msd01", ["T1w", "FLAIR"], ["BRATS_001.nii.gz#1", "BRATS_001.nii.gz#0"]),
        ("wmh", ["FLAIR", "T1w"], ["GE3T/100/pre/FLAIR", "GE3T/100/pre/T1"]),
        ("openneuro", ["T1w", "FLAIR"], ["sub-01_T1w", "sub-01_FLAIR"]),
    ],
)
def test_the_first_session_has_its_file_of_each_sequence(name, modalities, files, tmp_path):
    globals()[name](tmp_path)
    touch(tmp_path, *["sub-01/anat/sub-01_FLAIR.nii.gz"] * (name == "openneuro"))
    healthy, (first, *others) = name in ("ixi", "openneuro"), modalities
    found = source_of("x", settings_of(name, tmp_path, healthy=healthy, modality=first, sequences=others)).find_scans()
    assert list(found[0].sequence_files()) == others
    for path, expected in zip([found[0].image, *found[0].sequence_files().values()], files, strict=True):
        assert expected in path


def test_raw_scans_of_mslub_are_read_where_masks_fit(tmp_path):
    touch(tmp_path, *(f"cross_sectional/raw/patient01/{name}.nii.gz" for name in ("FLAIR", "T2W", "consensus_gt")))
    found = look("mslub", tmp_path, modality="FLAIR")
    assert found.problems == []
    assert known_set("mslub").convert(found.scans[0], tmp_path) == found.scans[0]
    assert "only FLAIR lies on the grid" in look("mslub", tmp_path, modality="T2w").problems[0]


def test_other_pathology_of_wmh_is_no_lesion_and_left_out_of_the_scores(tmp_path):
    wmh(tmp_path)
    labels = np.array([0, 1, 1, 2, 2, 2, 0, 0], np.float32).reshape(2, 2, 2)
    nifti(tmp_path / "training/Utrecht/0/wmh.nii.gz", labels)
    scan = next(scan for scan in look("wmh", tmp_path).scans if scan.scan == "sub-Utrecht0")
    made = known_set("wmh").convert(scan, tmp_path / "out")
    assert volume.read_mask(made.mask).data.sum() == 2
    assert volume.read_mask(made.ignore).data.sum() == 3
    assert made.files()["ignore"] == made.ignore
    assert made.image == scan.image
    assert made.note == "3 voxels of other pathology are left out of the scores"
    nifti(tmp_path / "training/Utrecht/0/wmh.nii.gz", np.minimum(labels, 1))
    made = known_set("wmh").convert(scan, tmp_path / "again")
    assert (made.ignore, made.note) == ("", "")
    assert [path.name for path in (tmp_path / "again").iterdir()] == [Path(made.mask).name]


def test_analyze_files_of_oasis_run_left_front_and_up(tmp_path):
    oasis1(tmp_path)
    scan = next(scan for scan in look("oasis1", tmp_path).scans)
    data = np.zeros((176, 208, 176, 1), np.int16)
    data[0, 10, 20], data[170, 200, 100] = 7, 9
    header = nib.AnalyzeHeader(endianness=">")
    header.set_data_dtype(np.int16)
    nib.AnalyzeImage(data, None, header).to_filename(scan.image)
    made = volume.read(known_set("oasis1").convert(scan, tmp_path).image)
    assert made.data[175, 10, 20] == 7, "the first voxel of a row is the rightmost"
    assert made.data[5, 200, 100] == 9
    np.testing.assert_allclose(made.affine @ [87.5, 103.5, 87.5, 1], [0, 0, 0, 1])
    nib.AnalyzeImage(data[:100], None, header).to_filename(scan.image)
    with pytest.raises(InputError, match="not on the grid of the data set"):
        known_set("oasis1").convert(scan, tmp_path)
    Path(scan.image).with_suffix(".img").write_bytes(b"")
    with pytest.raises(InputError):
        known_set("oasis1").convert(scan, tmp_path)


def series(folder: Path, uid: int, heights: list[float], shift: float = 0.0, contrast: str = "") -> None:
    """A CT series of 8 x 8 voxels: air, bone in one corner, and the slice's height above 0 in another."""
    folder.mkdir(parents=True)
    before = locale.setlocale(locale.LC_ALL)  # writing DICOM leaves the process in the locale C
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for n, height in enumerate(heights):
        values = np.full((1, 8, 8), -1000, np.int16)
        values[0, :2, :2], values[0, 7, 7] = 1500, round(height)
        image = SimpleITK.GetImageFromArray(values)
        image.SetSpacing((0.5, 0.5, 1.0))
        told = {
            "0008|0060": "CT",
            "0008|103e": contrast or folder.name,
            "0008|0018": f"1.2.3.{uid}.{n + 1}",
            "0020|000d": "1.2.3",
            "0020|000e": f"1.2.3.{uid}",
            "0020|0032": f"-10\\{-20 + shift * n}\\{height}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0028|0030": "0.5\\0.5",
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for key, value in told.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"CT{len(heights) - n:06d}.dcm"))
        writer.Execute(image)
    locale.setlocale(locale.LC_ALL, before)


def test_the_thinnest_plain_series_of_cq500_becomes_a_scan(tmp_path):
    cq500(tmp_path)
    study = tmp_path / "CQ500CT0 CQ500CT0/Unknown Study"
    (study / "CT Thin Plain/CT000000.dcm").unlink()
    (study / "CT Thin Plain").rmdir()
    series(study / "CT 5mm", 1, [n * 20.0 for n in range(8)])
    series(study / "CT Thin Plain", 2, [n * 10.0 for n in range(13)])
    series(study / "CT POST CONTRAST THIN", 3, [n * 5.0 for n in range(25)])
    series(study / "CT 0.625mm", 4, [n * 5.0 for n in range(25) if n != 4])
    stored = np.frombuffer((study / "CT Thin Plain/CT000001.dcm").read_bytes()[-128:], np.int16)
    assert stored[0] == 2524, "the intercept is in the file"
    (scan,) = look("cq500", tmp_path, modality="ct", healthy=True).scans
    made = known_set("cq500").convert(scan, tmp_path)
    assert made.note.startswith("series CT Thin Plain; ")
    assert "CT POST CONTRAST THIN: with contrast agent" in made.note
    assert "CT 0.625mm: its slices are 5.00 to 10.00 mm apart" in made.note
    image = volume.read(made.image)
    assert image.data.shape == (8, 8, 13)
    np.testing.assert_allclose(image.spacing, [0.5, 0.5, 10])
    assert image.data.min() == -1000
    # x of DICOM runs left and y back: the last column of a row lies left, the last row in the back
    np.testing.assert_array_equal(image.data[0, 0], [n * 10 for n in range(13)])
    np.testing.assert_allclose(image.affine @ [7, 7, 0, 1], [10, 20, 0, 1])


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda folder: series(folder / "CT", 1, [n * 10.0 for n in range(13)], shift=0.5), "tilted by 2.9 degrees"),
        (lambda folder: series(folder / "CT", 1, [0, 50, 120, 130]), "50.00 mm apart|10.00 to 70.00 mm apart"),
        (lambda folder: series(folder / "CT", 1, [0, 20, 40]), "covers 40 mm"),
        (lambda folder: series(folder / "CT", 1, [n * 10.0 for n in range(13)], contrast="CT C"), "contrast"),
        (lambda folder: touch(folder, "CT/a.dcm"), "there is none"),
    ],
)
def test_series_that_make_no_volume_are_refused(build, why, tmp_path):
    cq500(tmp_path)
    study = tmp_path / "CQ500CT0 CQ500CT0/Unknown Study"
    (study / "CT Thin Plain/CT000000.dcm").unlink()
    build(study)
    (scan,) = look("cq500", tmp_path, modality="ct", healthy=True).scans
    with pytest.raises(InputError, match="no series can be used") as caught:
        known_set("cq500").convert(scan, tmp_path)
    assert any(part in caught.value.why for part in why.split("|"))


def test_slices_are_ordered_and_their_directions_must_agree():
    positions = np.array([[0, 0, 100.0], [0, 0, 0], [0, 0, 50]])
    axial = np.tile([1.0, 0, 0, 0, 1, 0], (3, 1))
    order, way = slice_step(positions, axial)
    assert list(order) == [1, 2, 0]
    np.testing.assert_allclose(way, [0, 0, 50])
    with pytest.raises(InputError, match="not axial"):
        slice_step(positions[:, ::-1], np.tile([0.0, 1, 0, 0, 0, -1], (3, 1)))
    axial[0] = [0, 1, 0, 0, 0, -1]
    with pytest.raises(InputError, match="several directions"):
        slice_step(positions, axial)


def test_scan_and_mask_of_seg_cq500_stay_as_they_are(tmp_path):
    cq500(tmp_path)
    place = tmp_path / "Seg-CQ500/data/volumes/CQ500-CT-1"
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1] = 1
    nifti(place / "CT.nii", np.zeros((3, 3, 3), np.int16))
    nifti(place / "ICH_mask.nii.gz", mask)
    scan = look("cq500", tmp_path, modality="ct").scans[0]
    made = known_set("cq500").convert(scan, tmp_path)
    assert (made.image, made.mask) == (scan.image, scan.mask)
    nifti(place / "ICH_mask.nii.gz", mask[:2])
    with pytest.raises(InputError):
        known_set("cq500").convert(scan, tmp_path)


def dataverse_page(paths: list[str]) -> bytes:
    files = [
        {
            "directoryLabel": str(Path(path).parent),
            "dataFile": {"id": n, "filename": Path(path).name, "checksum": {"type": "SHA-1", "value": "ab"}},
        }
        for n, path in enumerate(paths)
    ]
    return json.dumps({"data": {"latestVersion": {"files": files}}}).encode()


def test_wmh_downloads_what_its_server_lists(tmp_path):
    wanted = ["training/Utrecht/0/pre/FLAIR.nii.gz", "test/Amsterdam/Philips_VU .PETMR_01./160/wmh.nii.gz"]
    others = [
        "training/Utrecht/0/orig/FLAIR.nii.gz",
        "additional_annotations/observer_o3/training/Utrecht/0/wmh.nii.gz",
    ]
    asked = []

    def read(url):
        asked.append(url)
        return dataverse_page([*wanted, *others])

    settings = settings_of("wmh", tmp_path)
    found = known_set("wmh").files_to_download(settings, read)
    assert asked == [remote.url for remote in known_set("wmh").remotes(settings)]
    assert [remote.path for remote in found] == wanted
    assert found[1].url == "https://dataverse.nl/api/access/datafile/1"
    assert found[1].checksum == "sha1:ab"
    with pytest.raises(InputError, match="has an unknown format"):
        dataverse_files("https://dataverse.nl", b"<html>")


def test_the_fetch_job_asks_for_the_list(tmp_path, monkeypatch):
    got = []
    monkeypatch.setattr(fetch, "read_page", lambda _: dataverse_page(["training/Utrecht/0/wmh.nii.gz"]))
    monkeypatch.setattr(fetch, "fetch_files", lambda remotes, *_, **__: got.extend(remotes))
    fetch.fetch("x", settings_of("wmh", tmp_path), tmp_path / "fetched.json")
    assert [remote.path for remote in got] == ["training/Utrecht/0/wmh.nii.gz"]
    note = json.loads((settings_of("wmh", tmp_path).folder / FETCHED).read_text())
    assert note == [remote.url for remote in known_set("wmh").remotes(settings_of("wmh", tmp_path))]


def s3_page(keys: dict[str, str], token: str = "") -> bytes:
    entries = "".join(
        f"<Contents><Key>{key}</Key><ETag>&quot;{tag}&quot;</ETag></Contents>" for key, tag in keys.items()
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}{more}</ListBucketResult>'.encode()
    )


def test_openneuro_downloads_the_scans_of_the_wanted_subjects(tmp_path):
    md5 = "d41d8cd98f00b204e9800998ecf8427e"
    keys = {
        "ds000011/participants.tsv": md5,
        "ds000011/sub-01/anat/sub-01_T1w.nii.gz": md5,
        "ds000011/sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz": f"{md5}-3",
        "ds000011/sub-01/anat/sub-01_desc-lesion_mask.nii.gz": md5,
        "ds000011/sub-01/func/sub-01_bold.nii.gz": md5,
        "ds000011/sub-02/anat/sub-02_T1w.nii.gz": md5,
    }

    def read(url):
        prefix = url.partition("prefix=")[2].partition("&")[0]
        return s3_page({key: tag for key, tag in keys.items() if key.startswith(prefix)})

    dataset = known_set("openneuro")
    one = dataset.files_to_download(settings_of("openneuro", tmp_path, subjects=["sub-01"]), read)
    names = ["anat/sub-01_T1w", "ses-2/anat/sub-01_ses-2_T2w", "anat/sub-01_desc-lesion_mask"]
    assert [remote.path for remote in one] == ["participants.tsv", *(f"sub-01/{name}.nii.gz" for name in names)]
    assert [remote.checksum for remote in one] == [f"md5:{md5}", f"md5:{md5}", "", f"md5:{md5}"]
    assert one[1].url == "https://s3.amazonaws.com/openneuro.org/ds000011/sub-01/anat/sub-01_T1w.nii.gz"
    assert len(dataset.files_to_download(settings_of("openneuro", tmp_path), read)) == 5
    with pytest.raises(InputError, match="ds000099 has nothing to download"):
        dataset.files_to_download(settings_of("openneuro", tmp_path, accession="ds000099"), read)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/list" else 404)
        self.end_headers()
        self.wfile.write(b"one")

    def log_message(self, *_):
        pass


def test_a_list_that_cannot_be_read_is_told():
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert read_page(f"{address}/list") == b"one"
        with pytest.raises(InputError, match="list of files cannot be read") as caught:
            read_page(f"{address}/gone")
        assert "answers 404 (the address was never used)" in caught.value.why
        server.shutdown()
    with pytest.raises(InputError, match="list of files cannot be read"):
        read_page(f"{address}/list")


def test_long_lists_come_page_after_page():
    pages = {"": s3_page({"a/1": ""}, "x+/="), "x%2B%2F%3D": s3_page({"a/2 b": ""})}

    def read(url):
        return pages[url.partition("continuation-token=")[2]]

    found = s3_files("https://host/b", "a/", read)
    assert [remote.path for remote in found] == ["a/1", "a/2 b"]
    assert found[1].url == "https://host/b/a/2%20b"
    with pytest.raises(InputError, match="has an unknown format"):
        s3_files("https://host/b", "a/", lambda _: b"no list")


@pytest.mark.parametrize(
    "changes", [{"accession": "ds11"}, {"accession": "000011"}, {"subjects": ["01"]}, {"subjects": []}]
)
def test_openneuro_is_named_by_accession_and_labels(changes):
    with pytest.raises(ValidationError):
        OpenNeuro(**{"source": "openneuro", "accession": "ds000011", "healthy": True, **changes})
    assert OpenNeuro(source="openneuro", accession="ds000011", healthy=True).folder == Path("data/ds000011")


def test_every_set_that_a_study_can_name_is_in_the_catalogue():
    sets = Path(catalogue.__file__).parent / "sets"
    modules = {path.stem for path in sets.glob("*.py")} - {"__init__"}
    assert set(catalogue.NAMES) == modules
    lines = plain(catalogue.datasets_table()[0]).splitlines()[1:]
    assert [line.split()[0] for line in lines] == sorted(modules)
    (line,) = (line for line in lines if line.startswith("openneuro "))
    assert line.split()[1] == "downloaded"
    assert "below data/<accession>" in catalogue.description("openneuro")
    assert "\n## openneuro\n" in catalogue.datasets_page("")
