"""PyTorch's ``torch.backends.cudnn``: switches that scripts set. minicnn is deterministic and has no cuDNN."""

enabled = False
benchmark = False
deterministic = True


def is_available() -> bool:
    """Always False."""
    return False
