"""brainuad: finds lesions in brain scans by learning healthy brains."""

__version__ = "0.1.0"
