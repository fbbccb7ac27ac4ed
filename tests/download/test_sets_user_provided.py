"""Data sets that a user brings: trees made as their authors lay them, and what is said of those that are not."""

from __future__ import annotations

from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from brainuad.config.datasets import Known
from brainuad.download.known import brats, lesion_types
from brainuad.download.known.known_set import known_set
from brainuad.download.list_scans import list_scans
from brainuad.download.sets import mood
from brainuad.download.sources.known import find_known_scans
from brainuad.errors import ConfigError, InputError
from brainuad.formats import scans as tables
from brainuad.formats import volume

SMALL = (6, 7, 5)
HEADER = "PatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural,No_Hemorrhage,"
ATLAS = "space-MNI152NLin2009aSym"
"""Of file names of ATLAS v2.0."""


def nifti(path, data=None, affine=None):
    """A scan with contrast, or these voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.arange(np.prod(SMALL), dtype=np.int16).reshape(SMALL) if data is None else data
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)


def mask(path, value=1, affine=None):
    data = np.zeros(SMALL, np.uint8)
    data[2, 3, 1:3] = value
    nifti(path, data, affine)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def ct(path):
    data = np.full(SMALL, -1000, np.int16)
    data[1:5, 1:6, 1:4] = 40
    data[1] = 1200
    nifti(path, data)


def make_mood(root):
    for n in range(3):
        nifti(root / f"brain/brain_train/{n:05d}.nii.gz")
    for n, said in enumerate("011"):
        nifti(root / f"brain/toy/toy_{n}.nii.gz")
        text(root / f"brain/toy_label/sample/toy_{n}.nii.gz.txt", said)
        mask(root / f"brain/toy_label/pixel/toy_{n}.nii.gz")


def make_case(folder, seg="_seg"):
    for stem in ("_t1", "_t1ce", "_t2", "_flair"):
        nifti(folder / f"{folder.name}{stem}.nii.gz")
    mask(folder / (f"{folder.name}{seg}.nii.gz" if seg.startswith("_") else f"{seg}.nii.gz"), 4)


def make_brats2019(root):
    for case in ("HGG/BraTS19_2013_11_1", "HGG/BraTS19_CBICA_ABB_1", "LGG/BraTS19_TCIA10_103_1"):
        make_case(root / "MICCAI_BraTS_2019_Data_Training" / case)
    table = root / "MICCAI_BraTS_2019_Data_Training/survival_data.csv"
    text(table, "BraTS19ID,Age,Survival\nBraTS19_CBICA_ABB_1,63.5,9\n")


def make_brats2020(root):
    training = root / "MICCAI_BraTS2020_TrainingData"
    make_case(training / "BraTS20_Training_001")
    make_case(training / "BraTS20_Training_355", seg="W39_1998.09.19_Segm")
    text(
        training / "name_mapping.csv",
        "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\nHGG,BraTS19_X,BraTS20_Training_001\n"
        "LGG,NA,BraTS20_Training_355\n",
    )
    nifti(root / "MICCAI_BraTS2020_ValidationData/BraTS20_Validation_001/BraTS20_Validation_001_t1.nii.gz")


def make_brats2021(root):
    make_case(root / "BraTS2021_00000")
    make_case(root / "BraTS2021_00002")


def make_brainmetshare(root):
    for patient in ("train/Mets_005", "train/Mets_010"):
        for stem in ("bravo", "t1_pre", "t1_gd", "flair"):
            nifti(root / patient / f"{stem}.nii.gz")
        mask(root / patient / "seg.nii.gz", 255)
    nifti(root / "test/Mets_101/bravo.nii.gz")


def picture(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(value.astype(np.uint8)).save(path)


def make_pictures(root, slices=11):
    """Slice n is n all over, so that their order shows; row 1, column 4 of slice 10 is lesion."""
    for patient in ("Mets_005", "Mets_010"):
        for folder in ("0", "1", "2", "3", "seg"):
            for n in range(slices):
                value = np.full((8, 6), n)
                if folder == "seg":
                    value = np.zeros((8, 6))
                    value[1, 4] = 255 * (n == 10)
                picture(root / "mets_stanford_releaseMask_train" / patient / folder / f"{n}.png", value)
    picture(root / "mets_stanford_releaseMask_test/Mets_101/0/0.png", np.zeros((8, 6)))


def make_ct_ich(root):
    """049 bleeds in two ways in different slices, 050 is whole, 051 has a fracture alone."""
    rows = [
        "49,1,0,0,0,0,0,1,0",
        "49,2,0,0,0,1,0,0,1",
        "49,3,0,0,0,0,1,0,0",
        "50,1,0,0,0,0,0,1,0",
        "51,1,0,0,0,0,0,1,1",
    ]
    text(root / "hemorrhage_diagnosis_raw_ct.csv", "\n".join([f"{HEADER}Fracture_Yes_No", *rows, ",,,,,,,,"]) + "\n")
    head = 'Patient Number,"Age\n(years)",Gender,Hemorrhage type,,,,,Fracture,Note1\n,,,Intraventricular,,,,,,\n'
    text(root / "patient_demographics.csv", f"{head}49,31,Male,,1,,,,1,\n50,1 month,Female,,,,,,,\n")
    for number in ("049", "050", "051"):
        ct(root / f"ct_scans/{number}.nii")
        nifti(root / f"masks/{number}.nii", np.zeros(SMALL, np.uint8))
    mask(root / "masks/049.nii", 255, affine=np.diag([-1, -1, 1, 1]))


def make_center_tbi(root):
    rows = ["a1,P1,c1,40,M,", "b1,P2,c2,50,F,Acute subdural hematoma;Contusion", "b2,P2,c2,50,F,skull fracture"]
    text(root / "findings.csv", "\n".join(["scan,subject,site,age,sex,types", *rows]) + "\n")
    for name in ("a1", "b1", "b2"):
        ct(root / f"ct/{name}.nii.gz")
    mask(root / "masks/b1.nii.gz", 2)


def make_atlas(root):
    for cohort, subject, session in (("R001", "sub-r001s001", "ses-1"), ("R002", "sub-r002s001", "ses-1")):
        stem = f"ATLAS_2/Training/{cohort}/{subject}/{session}/anat/{subject}_{session}_{ATLAS}"
        nifti(root / f"{stem}_T1w.nii.gz")
        mask(root / f"{stem}_label-L_desc-T1lesion_mask.nii.gz")
    nifti(root / f"ATLAS_2/Testing/R003/sub-r003s001/ses-1/anat/sub-r003s001_ses-1_{ATLAS}_T1w.nii.gz")


def make_msseg(root):
    for place in ("Training/Center_01/Patient_01", "Testing/Center_01/Patient_01", "Testing/Center_03/Patient_02"):
        for stem in ("FLAIR", "T1", "GADO", "T2", "DP"):
            nifti(root / place / f"Preprocessed_Data/{stem}_preprocessed.nii.gz")
        for stem in ("Consensus", "ManualSegmentation_1"):
            mask(root / place / f"Masks/{stem}.nii.gz")


def make_isbi(root):
    for patient, points in (("training01", 2), ("training02", 1)):
        for n in range(1, points + 1):
            stem = f"{patient}_{n:02d}"
            for sequence in ("flair", "mprage", "t2", "pd"):
                nifti(root / f"training/{patient}/preprocessed/{stem}_{sequence}_pp.nii")
            for rater in (1, 2):
                mask(root / f"training/{patient}/masks/{stem}_mask{rater}.nii")


class Case(NamedTuple):
    """A data set, its tree, and what a study finds there: `scan site kind` by scan."""

    name: str
    make: object
    modality: str
    patients: list[str]
    healthy: list[str] = []
    damage: dict[str, str] = {}
    """Files taken away, each with a piece of what is then said."""


CASES = [
    Case(
        "mood",
        make_mood,
        "T1w",
        ["sub-toy1  other", "sub-toy2  other"],
        ["sub-00000  ", "sub-00001  ", "sub-00002  "],
        {
            "brain/toy_label/pixel/toy_1.nii.gz": "has no toy_label/pixel/toy_1",
            "brain/toy_label/sample/toy_2.nii.gz.txt": "toy_2",
        },
    ),
    Case(
        "brats2019",
        make_brats2019,
        "FLAIR",
        [
            "sub-BraTS19-2013-11-1 HGG tumour",
            "sub-BraTS19-CBICA-ABB-1 HGG tumour",
            "sub-BraTS19-TCIA10-103-1 LGG tumour",
        ],
        damage={
            "MICCAI_BraTS_2019_Data_Training/HGG/BraTS19_2013_11_1/BraTS19_2013_11_1_flair.nii.gz": "_flair.nii.gz",
            "MICCAI_BraTS_2019_Data_Training/LGG/BraTS19_TCIA10_103_1/BraTS19_TCIA10_103_1_seg.nii.gz": "_seg.nii.gz",
        },
    ),
    Case(
        "brats2020",
        make_brats2020,
        "T1ce",
        ["sub-BraTS20-Training-001 HGG tumour", "sub-BraTS20-Training-355 LGG tumour"],
        damage={
            "MICCAI_BraTS2020_TrainingData/BraTS20_Training_355/W39_1998.09.19_Segm.nii.gz": "Training_355_seg",
            "MICCAI_BraTS2020_TrainingData/BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz": "001_t1ce",
        },
    ),
    Case(
        "brats2021",
        make_brats2021,
        "T2w",
        ["sub-BraTS2021-00000  tumour", "sub-BraTS2021-00002  tumour"],
        damage={
            "BraTS2021_00000/BraTS2021_00000_t2.nii.gz": "00000_t2",
            "BraTS2021_00002/BraTS2021_00002_seg.nii.gz": "00002_seg",
        },
    ),
    Case(
        "brainmetshare",
        make_brainmetshare,
        "T1ce",
        ["sub-Mets005  metastasis", "sub-Mets010  metastasis"],
        damage={"train/Mets_005/seg.nii.gz": "Mets_005 has no seg", "train/Mets_010/bravo.nii.gz": "no bravo.nii.gz"},
    ),
    Case(
        "brainmetshare",
        make_pictures,
        "FLAIR",
        ["sub-Mets005  metastasis", "sub-Mets010  metastasis"],
        damage={
            "mets_stanford_releaseMask_train/Mets_005/3/4.png": "10 slices in 3 and 11 in seg",
            "mets_stanford_releaseMask_train/Mets_010/seg/4.png": "11 slices in 3 and 10 in seg",
        },
    ),
    Case(
        "ct_ich",
        make_ct_ich,
        "ct",
        ["sub-049  epidural;fracture;subdural"],
        ["sub-050  "],
        {"ct_scans/050.nii": "ct_scans/050 is missing", "masks/051.nii": "masks/051.nii is missing"},
    ),
    Case(
        "center_tbi",
        make_center_tbi,
        "ct",
        ["sub-P2_ses-b1 c2 contusion;subdural"],
        ["sub-P1_ses-a1 c1 "],
        {"ct/a1.nii.gz": "ct/a1.nii.gz is missing", "ct/b2.nii.gz": "ct/b2"},
    ),
    Case(
        "atlas_v2",
        make_atlas,
        "T1w",
        ["sub-r001s001_ses-1 R001 stroke", "sub-r002s001_ses-1 R002 stroke"],
        damage={
            f"ATLAS_2/Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_{ATLAS}_T1w.nii.gz": "has 0 files",
            f"ATLAS_2/Training/R002/sub-r002s001/ses-1/anat/sub-r002s001_ses-1_{ATLAS}"
            "_label-L_desc-T1lesion_mask.nii.gz": "sub-r002s001_ses-1_*label-L",
        },
    ),
    Case(
        "msseg2016",
        make_msseg,
        "PDw",
        [
            "sub-testingC01P01 Center_01 multiple_sclerosis",
            "sub-testingC03P02 Center_03 multiple_sclerosis",
            "sub-trainingC01P01 Center_01 multiple_sclerosis",
        ],
        damage={
            "Training/Center_01/Patient_01/Masks/Consensus.nii.gz": "no Masks/Consensus",
            "Testing/Center_03/Patient_02/Preprocessed_Data/DP_preprocessed.nii.gz": "DP_preprocessed",
        },
    ),
    Case(
        "isbi2015",
        make_isbi,
        "T1w",
        ["sub-01_ses-01  multiple_sclerosis", "sub-01_ses-02  multiple_sclerosis", "sub-02_ses-01  multiple_sclerosis"],
        damage={
            "training/training01/masks/training01_02_mask1.nii": "no training01_02_mask1",
            "training/training02/preprocessed/training02_01_mprage_pp.nii": "no training02_01_mprage",
        },
    ),
]
each = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.make.__name__}")


def settings(case, root, healthy=False, **more):
    return Known(source=case.name, root=str(root), modality=case.modality, healthy=healthy, **more)


def listed(case, root, healthy=False):
    found = find_known_scans("x", settings(case, root, healthy))
    return found, [f"{scan.scan} {scan.site} {scan.lesion_type}" for scan in found]


@each
def test_patients_come_with_masks_sites_and_kinds(case, tmp_path):
    case.make(tmp_path)
    found, told = listed(case, tmp_path)
    assert told == case.patients
    assert all(scan.image and scan.mask and scan.dataset == "x" for scan in found)
    assert len({scan.image for scan in found}) == len(found)


@each
def test_healthy_people_are_others_or_none(case, tmp_path):
    case.make(tmp_path)
    if case.healthy:
        found, told = listed(case, tmp_path, healthy=True)
        assert told == case.healthy
        assert not {scan.scan for scan in found} & {line.split(" ")[0] for line in case.patients}
    else:
        with pytest.raises(InputError, match="holds patients only: set healthy: false"):
            listed(case, tmp_path, healthy=True)


@each
def test_without_its_files_a_set_says_how_to_apply_where_to_put_it_and_how_it_lies(case, tmp_path):
    with pytest.raises(ConfigError) as caught:
        find_known_scans("mine", settings(case, tmp_path / "none"))
    told, about = str(caught.value), known_set(case.name).about
    for part in (about.how_to_get, about.page, about.licence, str(tmp_path / "none"), "datasets.mine.root"):
        assert part in told
    for line in about.layout.splitlines():
        assert line.strip() in told


@each
def test_every_damage_is_told_at_once(case, tmp_path):
    case.make(tmp_path)
    for path in case.damage:
        (tmp_path / path).unlink()
    with pytest.raises(InputError) as caught:
        listed(case, tmp_path)
    for said in case.damage.values():
        assert said in str(caught.value)
    assert f"{len(case.damage)} deviations" in str(caught.value)


@each
def test_a_folder_of_something_else_is_refused_in_a_sentence(case, tmp_path):
    text(tmp_path / "some/notes.txt", "nothing")
    for healthy in (False, True) if case.healthy else (False,):
        with pytest.raises(InputError, match="does not have its published layout"):
            listed(case, tmp_path, healthy)


@each
def test_unusual_counts_are_noted_and_no_obstacle(case, tmp_path):
    case.make(tmp_path)
    notes = known_set(case.name).find_scans("x", settings(case, tmp_path)).notes
    assert case.name == "center_tbi" or any("the release has" in note for note in notes)


@each
def test_what_is_converted_can_be_read_on_one_grid(case, tmp_path, monkeypatch):
    monkeypatch.setattr(brats, "SHAPE", SMALL)
    monkeypatch.setattr(mood, "SHAPE", SMALL)
    case.make(tmp_path / "set")
    for healthy in (False, True) if case.healthy else (False,):
        table = tmp_path / f"out{healthy}/subjects.tsv"
        list_scans("x", settings(case, tmp_path / "set", healthy), table)
        rows = tables.read(table)
        told = case.healthy if healthy else case.patients
        assert [row.scan for row in rows] == [line.split(" ")[0] for line in told]
        for row in rows:
            assert row.state == "", row.note
            image = volume.read(row.image)
            assert bool(row.mask) != healthy
            if row.mask:
                lesion = volume.read_mask(row.mask)
                assert volume.same_grid(lesion, image)
                assert lesion.data.any()
                assert not lesion.data.all()


@pytest.mark.parametrize("case", [case for case in CASES if len(known_set(case.name).about.modalities) > 1])
def test_each_session_has_its_file_of_each_sequence(case, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(brats, "SHAPE", SMALL)
    root, table = tmp_path / "set", tmp_path / "out/subjects.tsv"
    case.make(root)
    others = [name for name in known_set(case.name).about.modalities if name != case.modality]
    alone = {name: listed(case._replace(modality=name), root)[0] for name in others}
    list_scans("x", settings(case, root, sequences=others), table)
    rows = tables.read(table)
    assert [row.scan for row in rows] == [line.split(" ")[0] for line in case.patients]
    for index, row in enumerate(rows):
        files = row.sequence_files()
        assert list(files) == others
        assert len({row.image, *files.values()}) == 1 + len(others)
        for name, path in files.items():
            assert volume.same_grid(volume.read(path), volume.read(row.image))
            assert path == alone[name][index].image or path.startswith(str(table.parent / name))
    assert len(caplog.messages) == len({*caplog.messages})


def converted(case, root, scan=0, healthy=False):
    """One scan, converted into a folder beside the set."""
    out = root.parent / "converted"
    out.mkdir(exist_ok=True)
    return known_set(case.name).convert(listed(case, root, healthy)[0][scan], out)


def case_of(name, make=None):
    return next(case for case in CASES if case.name == name and make in (None, case.make))


def test_the_odd_mask_of_case_355_is_noted(tmp_path):
    make_brats2020(tmp_path)
    notes = known_set("brats2020").find_scans("x", settings(case_of("brats2020"), tmp_path)).notes
    assert "the mask of BraTS20_Training_355 is named W39_1998.09.19_Segm.nii.gz" in notes
    assert "cases of the validation part, without masks, excluded: 1" in notes


def test_ages_and_grades_come_from_the_tables(tmp_path):
    make_brats2019(tmp_path)
    assert [scan.age for scan in listed(case_of("brats2019"), tmp_path)[0]] == ["", "63.5", ""]


@pytest.mark.parametrize(("value", "said"), [(3, "labels other than 0, 1, 2, 4"), (0, "is empty")])
def test_a_brats_mask_with_foreign_labels_or_none_is_refused(value, said, tmp_path, monkeypatch):
    monkeypatch.setattr(brats, "SHAPE", SMALL)
    make_brats2021(tmp_path / "set")
    mask(tmp_path / "set/BraTS2021_00000/BraTS2021_00000_seg.nii.gz", value)
    with pytest.raises(InputError, match=said):
        converted(case_of("brats2021"), tmp_path / "set")


@pytest.mark.parametrize(("name", "shape"), [("brats2021", "240, 240, 155"), ("mood", "256, 256, 256")])
def test_other_shapes_are_refused(name, shape, tmp_path):
    case = case_of(name)
    case.make(tmp_path / "set")
    with pytest.raises(InputError) as caught:
        converted(case, tmp_path / "set")
    assert shape in str(caught.value)


def test_a_toy_case_among_training_scans_is_told(tmp_path):
    make_mood(tmp_path)
    nifti(tmp_path / "brain/brain_train/toy_0.nii.gz")
    with pytest.raises(InputError, match=r"toy_0.nii.gz is no training scan"):
        listed(case_of("mood"), tmp_path, healthy=True)


def test_pictures_are_stacked_by_number_the_patients_left_on_the_right(tmp_path):
    make_pictures(tmp_path / "set")
    row = converted(case_of("brainmetshare", make_pictures), tmp_path / "set")
    image, lesion = volume.read(row.image), volume.read_mask(row.mask)
    assert image.data[0, 0].tolist() == list(range(11)), "10.png comes after 9.png"
    assert image.data.shape == (6, 8, 11)
    np.testing.assert_allclose(image.spacing, (0.94, 0.94, 1))
    (x, y, z) = np.argwhere(lesion.data)[0]
    assert (x, y, z) == (6 - 1 - 4, 8 - 1 - 1, 10), "column 4 of 6 is the patient's left, row 1 of 8 the front"


def test_a_seg_missing_among_training_patients_is_no_healthy_person(tmp_path):
    make_brainmetshare(tmp_path)
    notes = known_set("brainmetshare").find_scans("x", settings(case_of("brainmetshare"), tmp_path)).notes
    assert "patients of the test part, who have no mask, left out: 1" in notes


def test_two_layouts_at_once_and_pictures_without_numbers_are_told(tmp_path):
    make_brainmetshare(tmp_path)
    make_pictures(tmp_path)
    folder = tmp_path / "mets_stanford_releaseMask_train/Mets_005/0"
    (folder / "3.png").rename(folder / "three.png")
    with pytest.raises(InputError) as caught:
        listed(case_of("brainmetshare"), tmp_path)
    assert "keep one of the two layouts" in str(caught.value)
    assert "Mets_005/0/three.png has no number" in str(caught.value)


def test_masks_of_ct_ich_belong_to_their_scans_voxel_by_voxel(tmp_path):
    make_ct_ich(tmp_path / "set")
    row = converted(case_of("ct_ich"), tmp_path / "set")
    assert np.argwhere(volume.read_mask(row.mask).data).tolist() == [[2, 3, 1], [2, 3, 2]]
    assert (row.age, row.sex) == ("31", "M")
    (healthy,) = listed(case_of("ct_ich"), tmp_path / "set", healthy=True)[0]
    assert (healthy.age, healthy.sex) == ("", "F"), "an age in months is no age in years"


def test_a_fracture_alone_is_neither_healthy_nor_a_patient(tmp_path):
    make_ct_ich(tmp_path)
    notes = known_set("ct_ich").find_scans("x", settings(case_of("ct_ich"), tmp_path)).notes
    assert "scans with a fracture and no haemorrhage, left out: 051" in notes
    assert "scans with haemorrhage: 1, the release has 36" in notes


@pytest.mark.parametrize("name", ["ct_ich", "center_tbi"])
def test_a_ct_without_hounsfield_units_is_refused(name, tmp_path):
    case = case_of(name)
    case.make(tmp_path / "set")
    path = listed(case, tmp_path / "set")[0][0].image
    nifti(tmp_path / "x.nii", (np.asarray(nib.load(path).dataobj) + 1024).astype(np.int16))
    nib.save(nib.load(tmp_path / "x.nii"), path)
    with pytest.raises(InputError, match="not in Hounsfield units"):
        converted(case, tmp_path / "set")


@pytest.mark.parametrize(("number", "value", "said"), [("049", 0, "is empty"), ("050", 255, "has a lesion")])
def test_a_mask_that_contradicts_the_diagnosis_is_refused(number, value, said, tmp_path):
    make_ct_ich(tmp_path / "set")
    mask(tmp_path / f"set/masks/{number}.nii", value)
    with pytest.raises(InputError, match=said):
        converted(case_of("ct_ich"), tmp_path / "set", healthy=number == "050")


def test_ct_ich_without_its_columns_says_which(tmp_path):
    make_ct_ich(tmp_path)
    path = tmp_path / "hemorrhage_diagnosis_raw_ct.csv"
    path.write_text(path.read_text().replace("Subdural", "SDH").replace("Fracture_Yes_No", "Fx"))
    with pytest.raises(InputError) as caught:
        listed(case_of("ct_ich"), tmp_path)
    assert "no column subdural" in str(caught.value)
    assert "no column fracture_yes_no" in str(caught.value)


def test_ct_ich_is_downloaded_only_by_those_who_signed(tmp_path):
    case = case_of("ct_ich")
    assert known_set("ct_ich").remotes(settings(case, tmp_path)) == []
    signed = settings(case, tmp_path / "none", accept_licence=True)
    remotes = known_set("ct_ich").remotes(signed)
    assert len(remotes) == 152
    assert {remote.login for remote in remotes} == {"physionet"}
    assert not any("ct_scans/060" in remote.path for remote in remotes)
    assert find_known_scans("x", signed) is None


def test_findings_of_center_tbi_must_be_in_the_vocabulary(tmp_path):
    make_center_tbi(tmp_path)
    path = tmp_path / "findings.csv"
    path.write_text(path.read_text().replace("skull fracture", "headache") + "b1,P 3,c2,1,F,Contusion\n")
    mask(tmp_path / "masks/a1.nii.gz")
    with pytest.raises(InputError) as caught:
        listed(case_of("center_tbi"), tmp_path)
    for said in ("headache is no label of center_tbi", "'P 3'", "masks/a1.nii.gz belongs to a scan without findings"):
        assert said in str(caught.value)


def test_time_points_of_a_patient_share_one_subject(tmp_path):
    make_isbi(tmp_path)
    found, _ = listed(case_of("isbi2015"), tmp_path)
    assert [scan.subject for scan in found] == ["sub-01", "sub-01", "sub-02"]
    assert all("_mask1." in scan.mask for scan in found), "one rater in every study"


def test_kinds_are_sorted_and_each_named_once():
    assert lesion_types.lesion_types_of("ct_ich", ["Subdural", "Epidural", "subdural"]) == "epidural;subdural"
    assert lesion_types.lesion_types_of("brats", [4, 2, 1]) == "tumour"
    assert lesion_types.lesion_types_of("center_tbi", ["Extra-axial hematoma"]) == "other"
    assert lesion_types.lesion_types_of("wmh", []) == ""
    with pytest.raises(InputError, match="7 is no label of wmh"):
        lesion_types.lesion_types_of("wmh", [7])


def test_the_vocabulary_can_be_printed():
    rows = lesion_types.label_table()
    assert {lesion_type for *_, lesion_type in rows} <= set(lesion_types.LESION_TYPES)
    assert set(lesion_types.LESION_TYPES) == {lesion_type for *_, lesion_type in rows}
    assert {source for source, *_ in rows} == set(lesion_types.LABELS)
    assert all(name == name.lower() and " " not in name and "-" not in name for _, name, *_ in rows)
