"""minicnn: a deep-learning framework that a person can read whole."""

__version__ = "0.1.0"
