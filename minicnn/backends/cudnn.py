"""PyTorch's ``torch.backends.cudnn``: switches that scripts set; minicnn is deterministic without."""

enabled = False
benchmark = False
deterministic = True


def is_available() -> bool:
    """Always False."""
    return False
