"""Face-attribute models, from a folder of labelled photos to a phone."""

__version__ = "0.1.0"
