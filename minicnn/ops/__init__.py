"""Floor 2: the formulas. Each family's ``__all__`` is its table of contents.

A family's operations take canonical attributes; :mod:`minicnn.ops.functions` gives them PyTorch's
names and signatures, and :mod:`minicnn.ops.methods` gives tensors their operators and methods.
"""

# ruff: noqa: F403 - the star imports are the point here

from minicnn.ops import methods as methods
from minicnn.ops.activation import *
from minicnn.ops.adaptive_pooling import *
from minicnn.ops.choice import *
from minicnn.ops.comparison import *
from minicnn.ops.conv import *
from minicnn.ops.conversion import *
from minicnn.ops.distance import *
from minicnn.ops.elementwise import *
from minicnn.ops.extremes import *
from minicnn.ops.fused import *
from minicnn.ops.gates import *
from minicnn.ops.images import *
from minicnn.ops.indexing import *
from minicnn.ops.linear import *
from minicnn.ops.loss import *
from minicnn.ops.normalization import *
from minicnn.ops.pooling import *
from minicnn.ops.probability import *
from minicnn.ops.reduction import *
from minicnn.ops.regularization import *
from minicnn.ops.rounding import *
from minicnn.ops.shape import *
from minicnn.ops.transcendental import *
from minicnn.ops.update import *

# isort: split
from minicnn.ops.functions import *  # last: where a name is both, the public function wins
