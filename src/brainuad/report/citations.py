"""The methods paragraph of a study, written from its settings, and the references behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from brainuad.config import templates
from brainuad.config.datasets import Artificial, Corrupted, Inserted, Phantoms
from brainuad.config.study import Study

REFERENCES = {
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
SCALINGS = {
    "percentile": "scaled so that two percentiles of the brain become 0 and 1",
    "zscore": "scaled to mean 0 and standard deviation 1 in the brain",
    "nyul": "mapped to landmarks of the training subjects",
    "histogram": "matched to the mean histogram of the training subjects",
    "window": "cut to a fixed window",
    "white": "scaled by the peak of white matter",
}
RULES = {
    "healthy_quantile": "a quantile of the brain voxels of healthy validation scans",
    "val_dice": "the best pooled Dice on labelled validation scans, which share no subject with the test",
    "fixed": "a constant from a paper",
}


@dataclass(frozen=True)
class Methods:
    """Sentences, with numbers in brackets, and the references that these stand for."""

    sentences: list[str]
    references: list[str]


def methods(study: Study) -> Methods:
    """The paragraph for a paper's methods section, with what this study did and nothing else."""
    used: list[str] = []

    def cite(key: str | None) -> str:
        if key not in REFERENCES:
            return f" [{key}]" if key else ""
        if key not in used:
            used.append(key)
        return f" [{used.index(key) + 1}]"

    prepare, scaling = study.recipe.preprocess, study.recipe.normalize.intensity
    source = cite("fonov2011") if prepare.template == templates.BUNDLED else ""
    template = f"{templates.title(prepare.template)}{source} at {prepare.spacing:g} mm"
    own = prepare.registration.backend == "nmi_search"
    how = f"by maximising normalised mutual information{cite('studholme1999')}" if own else "by the method "
    sentences = [
        f"Scans were registered affinely to {template} {how}{'' if own else f'`{prepare.registration.backend}`'}.",
        f"Brains were extracted by the method `{prepare.skullstrip.backend}`; everything outside was set to 0.",
    ]
    sentences += [re.sub(r" \[@(\w+)\]", lambda key: cite(key[1]), step.describe()) for step in prepare.steps]
    sentences.append(f"Intensities were {SCALINGS[scaling.method]}, fitted on training subjects alone where it learns.")
    sentences += [_dataset(label, dataset) for label, dataset in study.datasets.items()]
    for label, model in study.models.items():
        source = cite("meissen2021") if model.family == "thresh_histeq" and not model.cite else cite(model.cite)
        sentences.append(f"Model `{label}`: family `{model.family}`{source}.")
    sentences.append(f"Each model was trained with {_counted(len(study.seeds), 'seed')} on healthy scans only.")
    rules = "; ".join(f"`{rule.label}`: {RULES[rule.rule]}" for rule in study.thresholds)
    sentences.append(f"Maps became masks by these cuts: {rules}. No cut was chosen on test labels, but for the oracle.")
    for label, postprocessing in study.postprocessing.items():
        steps = ", ".join(operator.op for operator in postprocessing.operators) or "nothing but the cut"
        sentences.append(f"Post-processing chain `{label}`: {steps}{cite(postprocessing.cite)}.")
    rim, resamples = _counted(study.evaluate.erode_voxels, "voxel"), study.evaluate.bootstrap_resamples
    sentences.append(
        f"Scores were taken inside the brain mask less {rim} of rim. Intervals are 95 % bootstrap intervals over "
        f"patients ({resamples} resamples); paired differences were tested by Wilcoxon's signed-rank test with Holm's "
        f"correction{cite('holm1979')}."
    )
    return Methods(sentences, [REFERENCES[key] for key in used])


def _dataset(label: str, dataset: object) -> str:
    match dataset:
        case Inserted():
            return f"`{label}`: real lesion masks inserted into test or validation subjects of `{dataset.into}`."
        case Artificial():
            kinds = ", ".join(dataset.anomaly_types)
            return f"`{label}`: artificial anomalies ({kinds}) in test or validation subjects of `{dataset.into}`."
        case Corrupted():
            kinds = ", ".join(dataset.corruption_types).replace("_", " ")
            return f"`{label}`: test scans of `{dataset.into}` made bad ({kinds}); scored as a whole."
        case Phantoms():
            kind = "healthy" if dataset.healthy else f"with lesions ({dataset.lesions})"
            return f"`{label}`: {_counted(dataset.subjects, 'synthesised head')}, {kind}; no real person."
    return f"`{label}`: {'healthy subjects' if getattr(dataset, 'healthy', False) else 'subjects with lesions'}."


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
