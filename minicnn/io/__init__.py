"""Files that minicnn writes and reads back: safetensors and checkpoints. Never pickle."""

from minicnn.io.serialization import load, save

__all__ = ["load", "save"]
