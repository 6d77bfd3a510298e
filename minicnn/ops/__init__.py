"""Floor 2: the formulas. Each family's ``__all__`` is its table of contents."""

from minicnn.ops.comparison import *
from minicnn.ops.elementwise import *
