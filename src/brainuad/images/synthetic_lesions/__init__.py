"""Synthetic lesions: random shapes and changes of intensity in healthy scans, with exact labels. Pure functions.

`shapes` draws where a lesion is, `kinds` what it looks like, `lesions` puts both into a scan, and `scanner` changes the
whole scan as another scanner would. No lesion mask of a patient is read. Source: docs/methods/synseg.md.
"""
