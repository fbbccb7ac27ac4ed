"""Sentences on networks and their training, for the methods section: from the sections that the families share."""

from __future__ import annotations

from brainuad.config.told import Told, count, listed

NORMS = {"batch": "batch normalisation and ", "layer": "layer normalisation and ", "none": ""}
DISTANCES = {"l1": "absolute difference", "l2": "squared difference", "gaussian": "squared difference"}


def kind(settings: Told, name: str) -> str:
    """The kind of an autoencoder, with an article: `a variational autoencoder`."""
    words = ["context-encoding"] if settings.loss.context_encoding else []
    words += ["variational"] if settings.network.variational else []
    whole = " ".join([*words, name])
    return f"{'an' if whole[0] in 'aeiou' else 'a'} {whole}"


def sees(network: Told) -> str:
    """The network's input."""
    sides = " x ".join([str(network.size)] * network.dims)
    what, unit = ("axial slices", "pixels") if network.dims == 2 else ("whole scans", "voxels")
    if network.fit == "pad":
        return f"on {what}, padded or cropped to {sides} {unit} around the centre"
    return f"on {what}, padded to {'squares' if network.dims == 2 else 'cubes'} and resized to {sides} {unit}"


def trunk(network: Told) -> str:
    """Encoder and decoder of strided convolutions."""
    depth, channels = len(network.channels), listed([str(n) for n in network.channels])
    slope, dropout = network.slope, network.dropout
    activation = f"LeakyReLU of slope {slope:g}" if slope else "ReLU"
    extras = [f"dropout of {dropout:g}"] if dropout else []
    more = f" and {listed(extras)}" if extras else ""
    more += "" if network.bias else "; convolutions have no bias"
    more += "; each convolution also sees the position of its pixels (CoordConv)" if network.coord_conv else ""
    text = f"Its encoder has {count(depth, 'convolution')} of stride 2 with kernel {network.kernel} and {channels} "
    text += f"channels, each followed by {NORMS[network.norm]}{activation}{more}; "
    down_to = (
        f"from {network.channels[-1]} channels, halved down to {network.channels[0]}, to a convolution of kernel 1"
    )
    ends = down_to if network.decoder_end == "conv" else "with the encoder's channels in reverse order"
    text += f"its decoder doubles by transposed convolutions, {ends}"
    return f"{text}{' and a sigmoid' if network.output == 'sigmoid' else ''}."


def architecture(network: Told) -> list[str]:
    """Encoder, code and decoder of an autoencoder."""
    if network.blocks == "residual":
        planes = listed([str(n) for n in network.channels])
        text = f"Its encoder has a convolution and bottleneck residual blocks with {planes} planes and kernel "
        text += f"{network.kernel}, each halving the image, with ReLU and batch normalisation; its decoder mirrors it"
        sentences = [f"{text}{' and ends with a sigmoid' if network.output == 'sigmoid' else ''}."]
    else:
        sentences = [trunk(network)]
    match network.bottleneck:
        case "dense":
            code = f"The code is a vector of {network.latent}, by fully connected layers from and to "
            code += count(network.dense_channels, "channel")
        case "conv":
            code = f"The code is a vector of {network.latent}, by a convolution as large as the encoder's map"
        case _:
            code = f"The code is a map of {count(network.latent, 'channel')}"
    drawn = ", with mean and log variance; the mean is decoded at test time" if network.variational else ""
    return [*sentences, f"{code}{drawn}."]


def loss_text(loss: Told, critic: bool = False) -> list[str]:
    """What is minimised. `critic`: whether there is an adversarial loss, too."""
    reconstruction, kl = loss.reconstruction, loss.kl
    summed = (
        "the sum over voxels, averaged over the batch," if kl or critic or reconstruction == "gaussian" else "the mean"
    )
    text = f"The loss is {summed} of the {DISTANCES[reconstruction]} of image and reconstruction"
    if reconstruction == "gaussian":
        text += f", divided by {2 * loss.variance:g}"
    text += f", times {loss.scale:g}" if loss.scale != 1 else ""
    text += f", plus {_times(kl)}the KL divergence of the code to N(0, I)" if kl else ""
    sentences = [f"{text}."]
    if loss.context_encoding:
        least, most = loss.masking.squares
        number = str(least) if least == most else f"{least} to {most}"
        added = f"To it is added {_times(loss.context_encoding)}the same distance of the image to the reconstruction "
        squares = f"of a copy with {number} {'square' if most == 1 else 'squares'} painted over"
        largest = f"of up to {loss.masking.largest:g} of the image's side (context encoding)"
        sentences.append(f"{added}{squares}, {largest}.")
    return sentences


def adversarial_text(adversarial: Told, generator: str) -> str:
    """The critic. `generator`: what the critic is trained against."""
    steps = adversarial.critic_steps
    turns = f"{count(steps, 'step')} of the critic before each of {generator}"
    rate = f"learning rate {adversarial.lr:g}"
    weight = f"weight {adversarial.weight:g} in the loss of {generator}"
    if adversarial.loss == "wasserstein":
        penalty = f"a gradient penalty of weight {adversarial.gradient_penalty:g} [@gulrajani2017]"
        return f"The critic has the Wasserstein loss with {penalty} and {weight}; {turns}, {rate}."
    return f"The critic has the cross entropy as its loss, with {weight}; {turns}, {rate}."


def training_text(train: Told, what: str, unit: str, judged_by: str = "the loss") -> list[str]:
    """One stage of a training. `what`: what is trained; `unit`: of its examples; `judged_by`: on validation scans."""
    batch = count(train.batch_size, unit)
    length = f"{count(train.epochs, 'epoch')}, {batch} a step" if train.epochs else f"{train.steps:,} steps of {batch}"
    name = "AdamW [@loshchilov2019]" if train.optimizer == "adamw" else "Adam [@kingma2015]"
    text = f"{what} was trained with {name} for {length}, at the learning rate "
    text += f"{train.lr:g} with decay rates {train.beta1:g} and {train.beta2:g}{_schedule(train)}"
    if train.keep == "last":
        return [f"{text}, without early stopping; the last weights were kept."]
    when = "after each epoch" if train.epochs else f"every {train.validate_every} steps"
    kept = f"{judged_by} on the healthy validation scans was computed {when}, and the weights with the lowest were kept"
    return [f"{text}, without early stopping; {kept}."]


def _schedule(train: Told) -> str:
    """What follows the learning rate, where there is anything to say."""
    parts = [f"weight decay {train.weight_decay:g}"] if train.weight_decay else []
    parts += [f"{train.warmup_steps} steps of warm-up"] if train.warmup_steps else []
    if train.schedule == "cosine":
        parts.append(f"half a cosine down to {100 * train.lr_end:g} % of the learning rate")
    parts += [f"gradients clipped to a norm of {train.clip:g}"] if train.clip else []
    parts += [f"a running mean of the weights (decay {train.ema:g}) in their place"] if train.ema else []
    return f"; {listed(parts)}" if parts else ""


def unet_text(network: Told) -> str:
    """The layers of a U-Net."""
    levels, channels = count(len(network.channels), "level"), listed([str(n) for n in network.channels])
    first = f"; the first sees patches of {network.patch} x {network.patch} pixels" if network.patch > 1 else ""
    text = (
        f"The U-Net [@ronneberger2015] has {levels} of {channels} channels{first}. Each level has two convolutions of "
    )
    text += (
        f"kernel 3 with group normalisation [@wu2018] (up to {network.groups} groups) and SiLU; levels are joined by "
    )
    return f"{text}average pooling down, and by the nearest pixel and concatenation up."


def examples_text(train: Told) -> list[str]:
    """Which slices are training examples."""
    return [f"Training slices with less than {100 * train.min_brain_share:g} % brain were not used."]


def unit_of(network: Told) -> str:
    """Of the examples of a network."""
    return "slice" if network.dims == 2 else "volume"


def _times(weight: float) -> str:
    return "" if weight == 1 else f"{weight:g} times "
