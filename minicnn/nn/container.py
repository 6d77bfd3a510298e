"""Modules that hold other modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, TypeVar, overload

from minicnn.nn.module import Module, layout
from minicnn.nn.parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterList", "Sequential"]

L = TypeVar("L", bound="_List")


class _List(Module):
    """Children (modules or parameters) under the names "0", "1", ..., used like a list."""

    _kind: type = Module

    def _items(self) -> list[Any]:
        return [value for value in self.__dict__.values() if isinstance(value, self._kind)]

    def _names(self) -> list[str]:
        return [name for name, value in self.__dict__.items() if isinstance(value, self._kind)]

    def _set_items(self, items: list[Any]) -> None:
        for name in self._names():
            delattr(self, name)
        for place, item in enumerate(items):
            self._register(str(place), item, self._kind)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self: L, index: slice) -> L: ...
    def __getitem__(self, index: Any) -> Any:
        kind: Any = type(self)
        return kind(self._items()[index]) if isinstance(index, slice) else self._items()[index]

    def __setitem__(self, index: int, item: Any) -> None:
        setattr(self, self._names()[index], item)

    def __delitem__(self, index: int | slice) -> None:
        items = self._items()
        del items[index]
        self._set_items(items)

    def append(self: L, item: Any) -> L:
        """Add one at the end."""
        self._register(str(len(self)), item, self._kind)
        return self

    def extend(self: L, items: Iterable[Any]) -> L:
        """Add several at the end."""
        for item in list(items):
            self.append(item)
        return self

    def insert(self, index: int, item: Any) -> None:
        """Add one before place ``index``."""
        items = self._items()
        items.insert(index, item)
        self._set_items(items)


class Sequential(_List):
    """Modules one after the other, each fed with the result of the one before.

    Parameters
    ----------
    *modules : Module
        In order; or one mapping (an ``OrderedDict``) of names to modules.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU())
    >>> model(minicnn.zeros(2, 2, 2)).shape, len(model[1:]), model[-1]
    ((2, 3), 2, ReLU())
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def forward(self, input: Any) -> Any:
        for module in self._items():
            input = module(input)
        return input

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(zip(self._names()[index], self._items()[index], strict=True)))
        return self._items()[index]


class ModuleList(_List):
    """A list of modules that takes part in ``parameters``, ``state_dict`` and so on.

    Parameters
    ----------
    modules : iterable of Module, optional
        The modules.

    Examples
    --------
    >>> from minicnn import nn
    >>> layers = nn.ModuleList(nn.Linear(n, 2) for n in (3, 4)).append(nn.ReLU())
    >>> [name for name, _ in layers.named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __repr__(self) -> str:
        children = []
        for text, run in groupby(enumerate(self._items()), key=lambda pair: repr(pair[1])):
            places = [place for place, _ in run]
            many = len(places) > 1
            label = f"({places[0]}-{places[-1]}): {len(places)} x" if many else f"({places[0]}):"
            children.append(f"{label} {text}")
        return layout(type(self).__name__, "", children)


class ModuleDict(Module):
    """A dictionary of modules that takes part in ``parameters``, ``state_dict`` and so on.

    Parameters
    ----------
    modules : mapping or iterable of pairs, optional
        Names and modules.

    Examples
    --------
    >>> from minicnn import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(8, 10), "parity": nn.Linear(8, 2)})
    >>> list(heads), "digit" in heads, heads["parity"]
    (['digit', 'parity'], True, Linear(in_features=8, out_features=2, bias=True))
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping or of an iterable of pairs; known names are replaced."""
        for name, module in dict(modules).items():
            self[name] = module

    def keys(self) -> list[str]:
        """The names."""
        return list(self._modules)

    def values(self) -> list[Module]:
        """The modules."""
        return list(self._modules.values())

    def items(self) -> list[tuple[str, Module]]:
        """The pairs of name and module."""
        return list(self._modules.items())

    def pop(self, key: str) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules


class ParameterList(_List):
    """A list of parameters that takes part in ``parameters``, ``state_dict`` and so on.

    Parameters
    ----------
    values : iterable of Parameter or Tensor, optional
        Tensors are made parameters.

    Examples
    --------
    >>> import minicnn
    >>> from minicnn import nn
    >>> scales = nn.ParameterList([minicnn.ones(2), minicnn.zeros(3)])
    >>> [parameter.shape for parameter in scales]
    [(2,), (3,)]
    """

    _kind = Parameter

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, item: Any) -> ParameterList:
        """Add one at the end; a tensor is made a parameter."""
        return super().append(item if isinstance(item, Parameter) else Parameter(item))

    def extra_repr(self) -> str:
        return "\n".join(f"({place}): {parameter!r}" for place, parameter in enumerate(self))
