"""brainuad: unsupervised lesion detection in brain MRI and CT."""

__version__ = "0.1.0"
