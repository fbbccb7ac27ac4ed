"""One vocabulary of lesion types, and what the labels of each data set mean in it.

`Scan.lesion_type` holds names of `LESION_TYPES`. In masks every label above 0 is lesion, except label 2 of WMH.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from brainuad.errors import InputError

LESION_TYPES = {
    "tumour": "a tumour that began in the brain, with its oedema",
    "metastasis": "a tumour that began elsewhere",
    "multiple_sclerosis": "a lesion of multiple sclerosis",
    "white_matter_hyperintensity": "a hyperintensity of presumed vascular origin",
    "stroke": "an infarct, old or new",
    "intraparenchymal": "blood within the brain",
    "intraventricular": "blood in the ventricles",
    "subarachnoid": "blood in the subarachnoid space",
    "subdural": "blood below the dura",
    "epidural": "blood between dura and skull",
    "contusion": "a bruise of the brain",
    "fracture": "a fracture of the skull; no mask of it is used",
    "other": "none of these",
}


class Label(NamedTuple):
    """The meaning of a data set's label."""

    lesion_type: str
    meaning: str


_BLOOD = {
    "intraventricular": Label("intraventricular", "intraventricular haemorrhage"),
    "intraparenchymal": Label("intraparenchymal", "intraparenchymal haemorrhage"),
    "subarachnoid": Label("subarachnoid", "subarachnoid haemorrhage"),
    "epidural": Label("epidural", "epidural haematoma"),
    "subdural": Label("subdural", "subdural haematoma"),
}
_MS = {"1": Label("multiple_sclerosis", "lesion")}

# Sources: the data sets' own pages and papers; BraTS: Menze 2015, Baid 2021.
LABELS: dict[str, dict[str, Label]] = {
    "brats": {
        "1": Label("tumour", "necrotic core, until 2020 with the non-enhancing one"),
        "2": Label("tumour", "oedema around the tumour"),
        "3": Label("tumour", "enhancing tumour from 2023 on; in no earlier release"),
        "4": Label("tumour", "enhancing tumour until 2021"),
    },
    "msd01": {
        "1": Label("tumour", "oedema"),
        "2": Label("tumour", "non-enhancing tumour"),
        "3": Label("tumour", "enhancing tumour"),
    },
    "brainmetshare": {
        "1": Label("metastasis", "metastasis"),
        "255": Label("metastasis", "the same in pictures"),
    },
    "mslub": _MS,
    "msseg2016": _MS,
    "isbi2015": _MS,
    "wmh": {
        "1": Label("white_matter_hyperintensity", "white matter hyperintensity"),
        "2": Label("other", "other pathology: neither lesion nor background, so left out of the scores"),
    },
    "atlas_v2": {"1": Label("stroke", "lesion")},
    "ct_ich": {**_BLOOD, "fracture_yes_no": Label("fracture", "fracture of the skull")},
    "cq500": {
        "ivh": _BLOOD["intraventricular"],
        "iph": _BLOOD["intraparenchymal"],
        "sah": _BLOOD["subarachnoid"],
        "edh": _BLOOD["epidural"],
        "sdh": _BLOOD["subdural"],
        "fracture": Label("fracture", "fracture of the skull"),
        "calvarialfracture": Label("fracture", "fracture of the vault"),
        "otherfracture": Label("fracture", "another fracture of the skull"),
    },
    # common data elements for traumatic brain injury, used for the readings of CENTER-TBI
    "center_tbi": {
        **_BLOOD,
        "epidural_hematoma": _BLOOD["epidural"],
        "acute_subdural_hematoma": Label("subdural", "acute subdural haematoma"),
        "subacute_subdural_hematoma": Label("subdural", "subacute subdural haematoma"),
        "chronic_subdural_hematoma": Label("subdural", "chronic subdural haematoma"),
        "subdural_hematoma": _BLOOD["subdural"],
        "traumatic_subarachnoid_hemorrhage": Label("subarachnoid", "traumatic subarachnoid haemorrhage"),
        "subarachnoid_hemorrhage": _BLOOD["subarachnoid"],
        "intraventricular_hemorrhage": _BLOOD["intraventricular"],
        "intracerebral_hemorrhage": Label("intraparenchymal", "intracerebral haemorrhage"),
        "intraparenchymal_hemorrhage": _BLOOD["intraparenchymal"],
        "contusion": Label("contusion", "contusion"),
        "skull_fracture": Label("fracture", "fracture of the skull"),
        "extra_axial_hematoma": Label("other", "subdural or epidural, unspecified"),
        "traumatic_axonal_injury": Label("other", "traumatic axonal injury"),
        "edema": Label("other", "oedema"),
        "ischemia": Label("stroke", "infarct"),
    },
    "mood": {"1": Label("other", "the anomaly of a toy case")},
}
"""Lesion type by data set and label; labels in lower case, with `_` for spaces and hyphens."""


def lesion_types_of(source: str, labels: Iterable[object]) -> str:
    """The lesion types of a data set's labels as in `Scan.lesion_type`: sorted, each once, joined by `;`.

    Raises InputError for a label that is not in the vocabulary.
    """
    known = LABELS[source]
    types = set()
    for label in labels:
        name = str(label).strip().lower().replace(" ", "_").replace("-", "_")
        if name not in known:
            do = "use one of " + ", ".join(known)
            raise InputError(f"{label} is no label of {source}", do=do)
        types.add(known[name].lesion_type)
    return ";".join(sorted(types))


def label_table() -> list[tuple[str, str, str, str]]:
    """(data set, label, meaning, lesion type) of every label, in the order of `LABELS`."""
    return [
        (source, name, label.meaning, label.lesion_type)
        for source, labels in LABELS.items()
        for name, label in labels.items()
    ]
