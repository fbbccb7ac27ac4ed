"""References by citation key, and the numbering of citations in the text of a methods section.

Jobs cite as `[@key]` in the sentences of `describe`; model, postprocessing and recipe files give a key as `cite`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

REFERENCES: dict[str, str] = {
    "baur2018": "Baur C, Wiestler B, Albarqouni S, Navab N. Deep autoencoding models for unsupervised anomaly "
    "segmentation in brain MR images. BrainLes 2018 (arXiv 1804.04488).",
    "chatterjee": "Chatterjee S, Sciarra A, Dünnwald M, et al. ISMRM 2021, abstract 2399 (a variational autoencoder "
    "trained on MOOD, tested on BraTS 2019).",
    "kuznetsov": "Kuznetsov S, supervised by Simpson IJ. Poster on self-supervised anomaly detection in brain MRI. "
    "University of Sussex.",
    "paolini": "Paolini G, Boracchi G, et al. Unsupervised detection of lesion in brain MRI using context encoding "
    "autoencoders.",
    "zimmerer2018": "Zimmerer D, Kohl SAA, Petersen J, Isensee F, Maier-Hein KH. Context-encoding variational "
    "autoencoder for unsupervised anomaly detection. arXiv 1812.05941, 2018.",
    "strega2022": "Chatterjee S, Sciarra A, Dünnwald M, et al. StRegA: unsupervised anomaly detection in brain MRIs "
    "using a compact context-encoding variational autoencoder. Comput Biol Med 149, 2022 (arXiv 2201.13271).",
    "schlegl2017": "Schlegl T, Seeböck P, Waldstein SM, Schmidt-Erfurth U, Langs G. Unsupervised anomaly detection "
    "with generative adversarial networks to guide marker discovery. IPMI 2017 (arXiv 1703.05921).",
    "schlegl2019": "Schlegl T, Seeböck P, Waldstein SM, Langs G, Schmidt-Erfurth U. f-AnoGAN: fast unsupervised "
    "anomaly detection with generative adversarial networks. Med Image Anal 54, 2019.",
    "simarro2020": "Simarro Viana J, de la Rosa E, Vande Vyvere T, Robben D, Sima DM, et al. Unsupervised 3D brain "
    "anomaly detection. BrainLes 2020 (arXiv 2010.04717).",
    "meissen2021": "Meissen F, Kaissis G, Rueckert D. Challenging current semi-supervised anomaly segmentation methods "
    "for brain MRI. BrainLes 2021 (arXiv 2109.06023).",
    "fonov2011": "Fonov V, et al. Unbiased average age-appropriate atlases for pediatric studies. NeuroImage 54, 2011 "
    "(the MNI152 template).",
    "studholme1999": "Studholme C, Hill DLG, Hawkes DJ. An overlap invariant entropy measure of 3D medical image "
    "alignment. Pattern Recognition 32, 1999.",
    "tustison2010": "Tustison NJ, et al. N4ITK: improved N3 bias correction. IEEE Trans Med Imaging 29, 2010.",
    "sethian1996": "Sethian JA. Level set methods: evolving interfaces in geometry, fluid mechanics, computer vision, "
    "and materials science. Cambridge University Press, 1996.",
    "holm1979": "Holm S. A simple sequentially rejective multiple test procedure. Scand J Statist 6, 1979.",
}
CITATION = re.compile(r"\[@([^\]]+)\]")


@dataclass(frozen=True)
class MethodsText:
    """The text of a methods section: sentences with citations as numbers in brackets, and the references in order."""

    sentences: list[str]
    references: list[str]


def number_citations(sentences: Iterable[str]) -> MethodsText:
    """Replace `[@key]` by `[1]`, `[2]` ... in the order of first use; a key without a reference stays as `[key]`."""
    numbers: dict[str, int] = {}

    def cited(match: re.Match[str]) -> str:
        key = match[1]
        return f"[{numbers.setdefault(key, len(numbers) + 1)}]" if key in REFERENCES else f"[{key}]"

    numbered = [CITATION.sub(cited, sentence) for sentence in sentences]
    return MethodsText(numbered, [REFERENCES[key] for key in numbers])
