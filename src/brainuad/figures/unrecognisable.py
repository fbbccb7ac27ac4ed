"""Pictures of scans that failed: where a head lies is seen, a face is not."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

RADIUS = 0.02
"""Of the Gaussian, as a share of the picture's width: about 8 mm of a head."""
COLOURED = 30
"""Difference between channels above which a pixel is part of a contour."""


def unrecognisable(picture: Image.Image) -> Image.Image:
    """The picture, blurred but for its coloured contours.

    In a scan that was put at the wrong place the voxels near the template's brain may be those of a face.
    """
    sharp = np.asarray(picture.convert("RGB"))
    contour = np.ptp(sharp.astype(np.int16), axis=2) > COLOURED
    grey = Image.fromarray(np.where(contour[..., None], 0, sharp))
    blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(RADIUS * picture.width)))
    return Image.fromarray(np.where(contour[..., None], sharp, blurred))
