"""PyTorch's ``torch.backends.mps``: Apple's GPUs, which minicnn does not use."""


def is_available() -> bool:
    """Always False."""
    return False
