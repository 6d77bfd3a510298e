"""A module's state: its parameters and persistent buffers by name, and loading them as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn.core.device import MetaArray, move
from minicnn.core.tape import no_grad
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import CheckpointError, DTypeError, OptionError
from minicnn.typing import Array

if TYPE_CHECKING:
    from minicnn.nn.module import Module

__all__ = ["IncompatibleKeys", "convert", "load", "named_state"]

_LISTED = 3  # so many names in an error, then how many more there are


class IncompatibleKeys(NamedTuple):
    """The names on which a module and a ``state_dict`` differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]


def named_state(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Name and tensor of each parameter and persistent buffer; shared ones under each of their names."""
    for path, part in module.named_modules(remove_duplicate=False):
        start = f"{prefix}{path}." if path else prefix
        for name, parameter in part._parameters.items():
            yield start + name, parameter
        for name, buffer in part._buffers.items():
            if part._persistent[name]:
                yield start + name, buffer


def load(module: Module, state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Compare everything, then copy; see :meth:`Module.load_state_dict`."""
    own = dict(named_state(module))
    keys = IncompatibleKeys(
        missing_keys=[name for name in own if name not in state_dict],
        unexpected_keys=[name for name in state_dict if name not in own],
    )
    arrays: dict[str, Array] = {}
    faults: list[str] = []
    for name in own:
        if name in state_dict:
            try:
                arrays[name] = _fitting(name, state_dict[name], own[name])
            except CheckpointError as error:
                faults.append(error.message)
    faults = _few("", faults)
    if strict:
        faults = _few("missing ", keys.missing_keys) + _few("unexpected ", keys.unexpected_keys) + faults
    if faults:
        text = f"the state does not fit {type(module).__name__}: {'; '.join(faults)}"
        raise CheckpointError(text, hint=_hint(state_dict), op="load_state_dict")
    with no_grad():
        for name, array in arrays.items():
            own[name].write_(array)
    return keys


def _hint(state_dict: Mapping[str, Any]) -> str | None:
    """What to load where somebody took a whole checkpoint for its weights."""
    if not {"model", "optimizer"} <= state_dict.keys():
        return None
    return "this is a checkpoint: its weights are under 'model', those of a finished run in model.safetensors"


def _fitting(name: str, value: Any, target: Tensor) -> Array:
    """The value as an array that can be copied into ``target``."""
    try:
        array = as_array(value)
    except (DTypeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{name}: expected numbers, got {type(value).__name__}") from error
    if array.shape != target.shape:
        raise CheckpointError(f"{name}: expected shape {target.shape}, got {array.shape}")
    array_flags = getattr(target.array, "flags", None)  # None: a meta tensor
    if array_flags is None or not getattr(array_flags, "writeable", True):  # CuPy arrays always are
        raise CheckpointError(f"{name}: the module's tensor cannot be written, it is read-only or meta")
    return move(array, target.device)


def _few(what: str, names: list[str]) -> list[str]:
    """The first of the names as one text, in a list; an empty list without names."""
    if not names:
        return []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{what}{', '.join(names[:_LISTED])}{more}"]


def convert(module: Module, device: Any, dtype: Any) -> None:
    """Move and cast every parameter, gradient and buffer in place; all of them, or none after an error."""
    if dtype is not None and np.dtype(dtype).kind != "f":
        raise OptionError(expected="a floating point dtype", got=str(np.dtype(dtype)), op="Module.to")
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    tensors += [tensor.grad for tensor in tensors if tensor.grad is not None]
    arrays = []
    for tensor in tensors:
        array = tensor.array if device is None else move(tensor.array, device)
        if dtype is not None and array.dtype.kind == "f":
            meta = isinstance(array, MetaArray)
            array = MetaArray(array.shape, dtype) if meta else array.astype(dtype, copy=False)
        arrays.append(array)
    for tensor, array in zip(tensors, arrays, strict=True):
        if array is not tensor.array:
            tensor.data = Tensor.wrap(array)
