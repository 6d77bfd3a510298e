"""Rearranging and indexing in literal loops: each element looked up on its own."""

from __future__ import annotations

from itertools import product

import numpy as np

__all__ = [
    "broadcast_to", "cast", "clone", "concatenate", "getitem", "pad", "permute", "reshape", "setitem",
    "to_device",
]  # fmt: skip


def places(shape):
    """All places of an array, in row-major order."""
    return product(*map(range, shape))


def reshape(x, *, shape):
    """The elements in row-major order, put down in row-major order."""
    known = 1
    for n in shape:
        known *= n if n != -1 else 1
    y = np.zeros([x.size // known if n == -1 else n for n in shape], x.dtype)
    for source, target in zip(places(x.shape), places(y.shape), strict=True):
        y[target] = x[source]
    return y


def permute(x, *, dim):
    """y[i_dim[0], i_dim[1], ...] = x[i_0, i_1, ...]."""
    y = np.zeros([x.shape[d] for d in dim], x.dtype)
    for place in places(x.shape):
        y[tuple(place[d] for d in dim)] = x[place]
    return y


def broadcast_to(x, *, shape):
    """y[..., i] = x[i], or x[0] where x has size 1."""
    y = np.zeros(shape, x.dtype)
    for place in places(shape):
        own = place[len(shape) - x.ndim :]
        y[place] = x[tuple(0 if n == 1 else i for i, n in zip(own, x.shape, strict=True))]
    return y


def pad(x, *, padding, value=0.0):
    """y[i] = x[i - before] inside x, the value outside."""
    y = np.zeros([n + before + after for n, (before, after) in zip(x.shape, padding, strict=True)], x.dtype)
    for place in places(y.shape):
        source = tuple(i - before for i, (before, _) in zip(place, padding, strict=True))
        inside = all(0 <= i < n for i, n in zip(source, x.shape, strict=True))
        y[place] = x[source] if inside else value
    return y


def getitem(x, *, index):
    """y = x[index], looked up element by element."""
    shape, sources = lookups(x.shape, index)
    y = np.zeros(shape, x.dtype)
    for place, source in sources:
        y[place] = x[source]
    return y


def setitem(x, value, *, index):
    """x with x[index] = value, written element by element."""
    shape, sources = lookups(x.shape, index)
    value = np.asarray(value)
    while value.ndim > len(shape):  # further dimensions of size 1 in front
        (value,) = value
    values = broadcast_to(value, shape=shape)
    y = x.copy()
    for place, source in sources:
        y[source] = values[place]
    return y


def lookups(shape, index):
    """The shape of x[index], and for each of its places the place in x.

    PyTorch's rule: index arrays broadcast together; their dimensions stand where the first of them
    stands, or in front if a slice, None or ``...`` parts them. An integer parts nothing.
    """
    entries = spelled_out(shape, index)
    arrays = [e for e in entries if isinstance(e, np.ndarray)]
    together = np.broadcast_shapes(*[a.shape for a in arrays])
    lasting = [e for e in entries if not isinstance(e, int)]
    at = [i for i, e in enumerate(lasting) if isinstance(e, np.ndarray)]
    apart = at and at[-1] - at[0] + 1 != len(at)
    result, slots, start = [], [], 0  # slots: where the dimension of each entry begins in the result
    if apart:
        result += together
    for e in entries:
        if isinstance(e, np.ndarray) and e is arrays[0] and not apart:
            start = len(result)
            result += together
        slots.append(len(result))
        if isinstance(e, range):
            result.append(len(e))
        elif e is None:
            result.append(1)
    pairs = []
    for place in places(result):
        source = []
        for e, slot in zip(entries, slots, strict=True):
            if isinstance(e, int):
                source.append(e)
            elif isinstance(e, range):
                source.append(e[place[slot]])
            elif isinstance(e, np.ndarray):
                own = place[start : start + len(together)][len(together) - e.ndim :]
                source.append(int(e[tuple(0 if n == 1 else i for i, n in zip(own, e.shape, strict=True))]))
        pairs.append((place, tuple(source)))
    return tuple(result), pairs


def spelled_out(shape, index):
    """The index with one entry per dimension: an integer, a range, an integer array; or None."""
    used = sum(e.ndim if is_mask(e) else 1 for e in index if e is not None and e is not Ellipsis)
    rest = [slice(None)] * (len(shape) - used)
    position = [i for i, e in enumerate(index) if e is Ellipsis]
    index = list(index)
    if position:
        index[position[0] : position[0] + 1] = rest
    else:
        index += rest
    entries, sizes = [], list(shape)
    for e in index:
        if e is None:
            entries.append(None)
        elif is_mask(e):
            true = [place for place in places(e.shape) if e[place]]
            for d in range(e.ndim):
                entries.append(np.array([place[d] for place in true], dtype=int))
                sizes.pop(0)
        elif isinstance(e, slice):
            entries.append(range(sizes.pop(0))[e])
        elif isinstance(e, np.ndarray):
            size = sizes.pop(0)
            entries.append(
                np.array([i + size if i < 0 else i for i in e.ravel()], dtype=int).reshape(e.shape)
            )
        else:
            size = sizes.pop(0)
            entries.append(e + size if e < 0 else e)
    return entries


def is_mask(entry):
    return isinstance(entry, np.ndarray) and entry.dtype == bool


def concatenate(*xs, dim=0):
    """y[..., offset_k + i, ...] = x_k[..., i, ...]."""
    shape = list(xs[0].shape)
    shape[dim] = sum(x.shape[dim] for x in xs)
    y = np.zeros(shape)
    offset = 0
    for x in xs:
        for place in places(x.shape):
            target = list(place)
            target[dim] += offset
            y[tuple(target)] = x[place]
        offset += x.shape[dim]
    return y


def cast(x, *, dtype):
    """y = x, rounded to a floating point dtype, cut off to an integer one."""
    y = np.zeros(x.shape, dtype)
    for place in places(x.shape):
        y[place] = x[place]
    return y


def clone(x):
    """y = x."""
    y = np.zeros(x.shape, x.dtype)
    for place in places(x.shape):
        y[place] = x[place]
    return y


def to_device(x, *, device):
    """y = x, wherever it is."""
    return clone(x)
