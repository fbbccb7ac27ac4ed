"""What is cited: its facts by citation key, as text and as BibTeX, and the numbering of citations in a text.

Jobs cite as `[@key]` in the sentences of `describe`; model, postprocessing and recipe files give a key as `cite`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PLACES = ("journal", "booktitle", "publisher", "howpublished")
"""Fields of BibTeX that say where a work was published."""


@dataclass(frozen=True)
class Entry:
    """One work. `authors`: `Family Initials`, separated by commas, in the end `et al.` where there are more.

    `kind` and the names in `fields` are those of BibTeX; the values are plain text.
    """

    kind: str
    authors: str
    title: str
    year: int | None
    fields: Mapping[str, str]
    about: str = ""
    """A remark for readers, in brackets at the end of the text."""

    def __str__(self) -> str:
        where = next((self.fields[name] for name in PLACES if name in self.fields), "")
        where += f" {self.fields['volume']}" if "volume" in self.fields else ""
        arxiv = f"arXiv {self.fields['eprint']}" if "eprint" in self.fields else ""
        place = where or arxiv
        if place and self.year and str(self.year) not in where:
            place += f", {self.year}"
        remarks = [f" ({text})" for text in (arxiv if where else "", self.about) if text]
        parts = [part.removesuffix(".") for part in (self.authors, self.title, place) if part]
        return ". ".join(parts) + "".join(remarks) + "."

    def bibtex(self, key: str) -> str:
        """The entry of a .bib file."""
        year = {"year": str(self.year)} if self.year else {}
        eprint = {"archiveprefix": "arXiv"} if "eprint" in self.fields else {}
        note = {"note": self.about} if self.about else {}
        fields = {
            "author": self._bibtex_authors(),
            "title": self.title and f"{{{self.title}}}",
            **self.fields,
            **eprint,
            **year,
            **note,
        }
        lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{self.kind}{{{key},", *lines, "}"])

    def _bibtex_authors(self) -> str:
        names = [name.strip() for name in self.authors.split(",") if name.strip()]
        return " and ".join("others" if name == "et al." else _family_first(name) for name in names)


def _family_first(name: str) -> str:
    family, _, initials = name.rpartition(" ")
    return f"{family}, {' '.join(f'{letter}.' for letter in initials)}" if family else name


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text)


def _article(authors: str, title: str, journal: str, volume: str, year: int, **more: str) -> Entry:
    return Entry("article", authors, title, year, {"journal": journal, "volume": volume, **more})


def _meeting(authors: str, title: str, booktitle: str, year: int, **more: str) -> Entry:
    return Entry("inproceedings", authors, title, year, {"booktitle": booktitle, **more})


def _preprint(authors: str, title: str, eprint: str, year: int) -> Entry:
    return Entry("misc", authors, title, year, {"eprint": eprint})


ENTRIES: dict[str, Entry] = {
    "baur2018": _meeting(
        "Baur C, Wiestler B, Albarqouni S, Navab N",
        "Deep autoencoding models for unsupervised anomaly segmentation in brain MR images",
        "BrainLes 2018",
        2018,
        eprint="1804.04488",
    ),
    "baur2021": _article(
        "Baur C, Denner S, Wiestler B, Navab N, Albarqouni S",
        "Autoencoders for unsupervised anomaly segmentation in brain MR images: a comparative study",
        "Med Image Anal",
        "69",
        2021,
    ),
    "chatterjee": Entry(
        "inproceedings",
        "Chatterjee S, Sciarra A, Dünnwald M, et al.",
        "",
        2021,
        {"booktitle": "ISMRM 2021, abstract 2399"},
        "a variational autoencoder trained on MOOD, tested on BraTS 2019",
    ),
    "kuznetsov": Entry(
        "misc",
        "Kuznetsov S",
        "Poster on self-supervised anomaly detection in brain MRI",
        None,
        {"howpublished": "University of Sussex"},
        "supervised by Simpson IJ",
    ),
    "paolini": Entry(
        "misc",
        "Paolini G, Boracchi G, et al.",
        "Unsupervised detection of lesion in brain MRI using context encoding autoencoders",
        None,
        {},
    ),
    "zimmerer2018": _preprint(
        "Zimmerer D, Kohl SAA, Petersen J, Isensee F, Maier-Hein KH",
        "Context-encoding variational autoencoder for unsupervised anomaly detection",
        "1812.05941",
        2018,
    ),
    "strega2022": _article(
        "Chatterjee S, Sciarra A, Dünnwald M, et al.",
        "StRegA: unsupervised anomaly detection in brain MRIs using a compact context-encoding variational autoencoder",
        "Comput Biol Med",
        "149",
        2022,
        eprint="2201.13271",
    ),
    "schlegl2017": _meeting(
        "Schlegl T, Seeböck P, Waldstein SM, Schmidt-Erfurth U, Langs G",
        "Unsupervised anomaly detection with generative adversarial networks to guide marker discovery",
        "IPMI 2017",
        2017,
        eprint="1703.05921",
    ),
    "schlegl2019": _article(
        "Schlegl T, Seeböck P, Waldstein SM, Langs G, Schmidt-Erfurth U",
        "f-AnoGAN: fast unsupervised anomaly detection with generative adversarial networks",
        "Med Image Anal",
        "54",
        2019,
    ),
    "simarro2020": _meeting(
        "Simarro Viana J, de la Rosa E, Vande Vyvere T, Robben D, Sima DM, et al.",
        "Unsupervised 3D brain anomaly detection",
        "BrainLes 2020",
        2020,
        eprint="2010.04717",
    ),
    "meissen2021": _meeting(
        "Meissen F, Kaissis G, Rueckert D",
        "Challenging current semi-supervised anomaly segmentation methods for brain MRI",
        "BrainLes 2021",
        2021,
        eprint="2109.06023",
    ),
    "roth2022": _meeting(
        "Roth K, Pemula L, Zepeda J, Schölkopf B, Brox T, Gehler P",
        "Towards total recall in industrial anomaly detection",
        "CVPR 2022",
        2022,
        eprint="2106.08265",
    ),
    "deng2022": _meeting(
        "Deng H, Li X",
        "Anomaly detection via reverse distillation from one-class embedding",
        "CVPR 2022",
        2022,
        eprint="2201.10703",
    ),
    "damm2025": _meeting(
        "Damm S, Laszkiewicz M, Lederer J, Fischer A",
        "AnomalyDINO: boosting patch-based few-shot anomaly detection with DINOv2",
        "WACV 2025",
        2025,
        eprint="2405.14529",
    ),
    "oquab2023": _preprint(
        "Oquab M, Darcet T, Moutakanni T, Vo H, Szafraniec M, et al.",
        "DINOv2: learning robust visual features without supervision",
        "2304.07193",
        2023,
    ),
    "meissen2023": _meeting(
        "Meissen F, Paetzold J, Kaissis G, Rueckert D",
        "Unsupervised anomaly localization with structural feature-autoencoders",
        "BrainLes 2022",
        2023,
        eprint="2208.10992",
    ),
    "dilokthanakul2016": _preprint(
        "Dilokthanakul N, et al.",
        "Deep unsupervised clustering with Gaussian mixture variational autoencoders",
        "1611.02648",
        2016,
    ),
    "disyre2024": _meeting(
        "Naval Marimont S, Siomos V, Baugh M, Tzelepis C, Kainz B, Tarroni G",
        "Ensembled cold-diffusion restorations for unsupervised anomaly detection",
        "MICCAI 2024",
        2024,
        eprint="2407.06635",
    ),
    "riad2021": _article(
        "Zavrtanik V, Kristan M, Skočaj D",
        "Reconstruction by inpainting for visual anomaly detection",
        "Pattern Recognit",
        "112",
        2021,
    ),
    "you2019": _meeting(
        "You S, Tezcan KC, Chen X, Konukoglu E",
        "Unsupervised lesion detection via image restoration with a normative prior",
        "MIDL 2019",
        2019,
    ),
    "mao2020": _meeting(
        "Mao Y, Xue FF, Wang R, Zhang J, Zheng WS, Liu H",
        "Abnormality detection in chest X-ray images using uncertainty prediction autoencoders",
        "MICCAI 2020",
        2020,
    ),
    "oord2017": _meeting(
        "van den Oord A, Vinyals O, Kavukcuoglu K",
        "Neural discrete representation learning",
        "NeurIPS 2017",
        2017,
        eprint="1711.00937",
    ),
    "gulrajani2017": _meeting(
        "Gulrajani I, Ahmed F, Arjovsky M, Dumoulin V, Courville A",
        "Improved training of Wasserstein GANs",
        "NeurIPS 2017",
        2017,
        eprint="1704.00028",
    ),
    "kascenas2022": _meeting(
        "Kascenas A, Pugeault N, O'Neil AQ",
        "Denoising autoencoders for unsupervised anomaly detection in brain MRI",
        "MIDL 2022",
        2022,
    ),
    "ho2020": _meeting(
        "Ho J, Jain A, Abbeel P", "Denoising diffusion probabilistic models", "NeurIPS 2020", 2020, eprint="2006.11239"
    ),
    "wyatt2022": _meeting(
        "Wyatt J, Leach A, Schmon SM, Willcocks CG",
        "AnoDDPM: anomaly detection with denoising diffusion probabilistic models using simplex noise",
        "CVPR Workshops 2022",
        2022,
    ),
    "frotscher2023": _preprint(
        "Frotscher A, Kapoor J, Wolfers T, Baumgartner CF",
        "Unsupervised anomaly detection using aggregated normative diffusion",
        "2312.01904",
        2023,
    ),
    "behrendt2023": _meeting(
        "Behrendt F, Bhattacharya D, Krüger J, Opfer R, Schlaefer A",
        "Patched diffusion models for unsupervised anomaly detection in brain MRI",
        "MIDL 2023",
        2023,
        eprint="2303.03758",
    ),
    "behrendt2023b": _preprint(
        "Behrendt F, Bhattacharya D, Mieling R, Maack L, Krüger J, et al.",
        "Guided reconstruction with conditioned diffusion models for unsupervised anomaly detection in brain MRIs",
        "2312.04215",
        2023,
    ),
    "cardoso2022": _preprint(
        "Cardoso MJ, et al.", "MONAI: an open-source framework for deep learning in healthcare", "2211.02701", 2022
    ),
    "loshchilov2019": _meeting(
        "Loshchilov I, Hutter F",
        "Decoupled weight decay regularization",
        "ICLR 2019",
        2019,
        eprint="1711.05101",
    ),
    "ronneberger2015": _meeting(
        "Ronneberger O, Fischer P, Brox T",
        "U-Net: convolutional networks for biomedical image segmentation",
        "MICCAI 2015",
        2015,
        eprint="1505.04597",
    ),
    "wu2018": _meeting("Wu Y, He K", "Group normalization", "ECCV 2018", 2018, eprint="1803.08494"),
    "kwon2019": _meeting(
        "Kwon G, Han C, Kim D",
        "Generation of 3D brain MRI using auto-encoding generative adversarial networks",
        "MICCAI 2019",
        2019,
    ),
    "kingma2015": _meeting(
        "Kingma DP, Ba J", "Adam: a method for stochastic optimization", "ICLR 2015", 2015, eprint="1412.6980"
    ),
    "fonov2011": Entry(
        "article",
        "Fonov V, et al.",
        "Unbiased average age-appropriate atlases for pediatric studies",
        2011,
        {"journal": "NeuroImage", "volume": "54"},
        "the MNI152 template",
    ),
    "studholme1999": _article(
        "Studholme C, Hill DLG, Hawkes DJ",
        "An overlap invariant entropy measure of 3D medical image alignment",
        "Pattern Recognition",
        "32",
        1999,
    ),
    "lowekamp2013": _article(
        "Lowekamp BC, Chen DT, Ibáñez L, Blezek D", "The design of SimpleITK", "Front Neuroinform", "7", 2013
    ),
    "avants2011": _article(
        "Avants BB, et al.",
        "A reproducible evaluation of ANTs similarity metric performance in brain image registration",
        "NeuroImage",
        "54",
        2011,
    ),
    "iglesias2011": _article(
        "Iglesias JE, Liu CY, Thompson PM, Tu Z",
        "Robust brain extraction across datasets and comparison with publicly available methods",
        "IEEE Trans Med Imaging",
        "30",
        2011,
    ),
    "isensee2019": _article(
        "Isensee F, et al.",
        "Automated brain extraction of multisequence MRI using artificial neural networks",
        "Hum Brain Mapp",
        "40",
        2019,
    ),
    "hoopes2022": _article(
        "Hoopes A, Mora JS, Dalca AV, Fischl B, Hoffmann M",
        "SynthStrip: skull-stripping for any brain image",
        "NeuroImage",
        "260",
        2022,
    ),
    "tustison2010": _article(
        "Tustison NJ, et al.", "N4ITK: improved N3 bias correction", "IEEE Trans Med Imaging", "29", 2010
    ),
    "sethian1996": Entry(
        "book",
        "Sethian JA",
        "Level set methods: evolving interfaces in geometry, fluid mechanics, computer vision, and materials science",
        1996,
        {"publisher": "Cambridge University Press"},
    ),
    "nyul2000": _article(
        "Nyúl LG, Udupa JK, Zhang X",
        "New variants of a method of MRI scale standardization",
        "IEEE Trans Med Imaging",
        "19",
        2000,
    ),
    "wang2004": _article(
        "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP",
        "Image quality assessment: from error visibility to structural similarity",
        "IEEE Trans Image Process",
        "13",
        2004,
    ),
    "angelopoulos2024": _meeting(
        "Angelopoulos AN, Bates S, Fisch A, Lei L, Schuster T", "Conformal risk control", "ICLR 2024", 2024
    ),
    "bates2023": _article(
        "Bates S, Candès E, Lei L, Romano Y, Sesia M",
        "Testing for outliers with conformal p-values",
        "Ann Statist",
        "51",
        2023,
    ),
    "clopper1934": _article(
        "Clopper CJ, Pearson ES",
        "The use of confidence or fiducial limits illustrated in the case of the binomial",
        "Biometrika",
        "26",
        1934,
    ),
    "holm1979": _article(
        "Holm S", "A simple sequentially rejective multiple test procedure", "Scand J Statist", "6", 1979
    ),
    "romano2005": _article(
        "Romano JP, Wolf M",
        "Exact and approximate stepdown methods for multiple hypothesis testing",
        "J Am Stat Assoc",
        "100",
        2005,
    ),
    "snakemake2021": _article(
        "Mölder F, et al.", "Sustainable data analysis with Snakemake", "F1000Research", "10", 2021
    ),
    "pytorch2019": _meeting(
        "Paszke A, et al.",
        "PyTorch: an imperative style, high-performance deep learning library",
        "NeurIPS 2019",
        2019,
    ),
    "tripod_ai2024": _article(
        "Collins GS, et al.",
        "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use regression or machine "
        "learning methods",
        "BMJ",
        "385",
        2024,
    ),
    "claim2020": _article(
        "Mongan J, Moy L, Kahn CE",
        "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): a guide for authors and reviewers",
        "Radiol Artif Intell",
        "2",
        2020,
    ),
    "claim2024": _article(
        "Tejani AS, et al.",
        "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update",
        "Radiol Artif Intell",
        "6",
        2024,
    ),
}
REFERENCES: dict[str, str] = {key: str(entry) for key, entry in ENTRIES.items()}
"""The entries as text."""
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


def bibtex(text: str) -> str:
    """The .bib file of all that a text cites as `[@key]`, in the order of first use; unknown keys are a comment."""
    keys = list(dict.fromkeys(CITATION.findall(text)))
    known = [ENTRIES[key].bibtex(key) for key in keys if key in ENTRIES]
    unknown = [f"% {key}: cited by the study, and not known to brainuad" for key in keys if key not in ENTRIES]
    return "\n\n".join([*known, *unknown]) + "\n" * bool(keys)
