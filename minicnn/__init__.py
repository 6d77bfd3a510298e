"""minicnn: a deep-learning framework that a person can read whole.

The names are PyTorch's, so ``import minicnn as torch`` runs most training scripts for a CPU.
ARCHITECTURE.md is the map.
"""

# ruff: noqa: F403 - the star imports are the point here

from __future__ import annotations

__version__ = "0.1.0"

from minicnn import _startup as _startup  # first: what follows takes a while

# isort: split
from minicnn import ops as ops  # before the others: it gives tensors their operators

# isort: split
from minicnn import accelerator as accelerator
from minicnn import autograd as autograd
from minicnn import backends as backends
from minicnn import cuda as cuda
from minicnn import data as data
from minicnn import datasets as datasets
from minicnn import io as io
from minicnn import models as models
from minicnn import nn as nn
from minicnn import optim as optim
from minicnn import testing as testing
from minicnn import train as train
from minicnn import transforms as transforms
from minicnn import utils as utils
from minicnn.backends import use_backend as use_backend
from minicnn.core import random as random
from minicnn.core.creation import *
from minicnn.core.device import device as device
from minicnn.core.dtypes import *
from minicnn.core.gradcheck import gradcheck as gradcheck
from minicnn.core.precision import get_conv_precision as get_conv_precision
from minicnn.core.precision import set_conv_precision as set_conv_precision
from minicnn.core.random import Generator as Generator
from minicnn.core.random import get_rng_state as get_rng_state
from minicnn.core.random import manual_seed as manual_seed
from minicnn.core.random import set_rng_state as set_rng_state
from minicnn.core.tape import enable_grad as enable_grad
from minicnn.core.tape import inference_mode as inference_mode
from minicnn.core.tape import is_grad_enabled as is_grad_enabled
from minicnn.core.tape import no_grad as no_grad
from minicnn.core.tape import set_grad_enabled as set_grad_enabled
from minicnn.core.tensor import Tensor as Tensor
from minicnn.core.threads import get_num_threads as get_num_threads
from minicnn.core.threads import set_num_threads as set_num_threads
from minicnn.errors import *
from minicnn.io.serialization import load as load
from minicnn.io.serialization import save as save
from minicnn.nn.compile import compile as compile
from minicnn.nn.freeze import freeze as freeze
from minicnn.ops.functions import *
