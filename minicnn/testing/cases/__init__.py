"""The rows of the operation table, one file per family; each defines ``CASES``."""
