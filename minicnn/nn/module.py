"""The base of all layers and models: named parameters, buffers and children, and their state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from minicnn.core.device import device
from minicnn.core.fusion import fusing
from minicnn.core.tensor import Tensor
from minicnn.errors import MiniCNNError, OptionError
from minicnn.nn import state
from minicnn.nn.hooks import Hooked
from minicnn.nn.parameter import Parameter

__all__ = ["Module"]

M = TypeVar("M", bound="Module")


class Module(Hooked):
    """A layer or a model: write ``forward``, and assign parameters and other modules as attributes.

    Everything is a plain attribute, and what it is follows from its type: a :class:`Parameter` is a
    parameter, a :class:`Module` a child. A buffer, a tensor that is part of the state but not
    trained, is declared with :meth:`register_buffer`.

    Attributes
    ----------
    training : bool
        True in training mode, see :meth:`train`.

    Examples
    --------
    >>> import minicnn
    >>> class Scale(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()(minicnn.ones(2)).tolist()
    [2.0, 2.0]
    """

    training: bool = True
    _fuses: bool = False  # see minicnn.compile
    _persistent: dict[str, bool]  # the names of the buffers; whether they belong to the state

    def __init__(self) -> None:
        self.__dict__["_persistent"] = {}
        self.training = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it. Call the module, not this method."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            if self._hooks is None and not self._fuses:
                return self.forward(*args, **kwargs)
            with fusing(self._fuses):
                return self._hooks.call(self, args, kwargs) if self._hooks else self.forward(*args, **kwargs)
        except MiniCNNError as error:
            error.modules.append(self)
            raise

    def name_of_child(self, child: Module) -> str:
        """The qualified name of a module below this one; its class in brackets for any other."""
        for name, module in self.named_modules():
            if module is child:
                return name
        return f"({type(child).__name__})"

    # -- attributes --------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.__dict__.get(name)
        buffers = self.__dict__.get("_persistent")
        if isinstance(value, (Parameter, Module)):
            if buffers is None:
                raise AttributeError(f"call super().__init__() before assigning {name!r}")
            buffers.pop(name, None)
        elif isinstance(known, Parameter) and value is not None:
            raise TypeError(f"{name!r} can only become a Parameter or None, not {type(value).__name__}")
        elif buffers and name in buffers and not (value is None or isinstance(value, Tensor)):
            raise TypeError(f"{name!r} can only become a Tensor or None, not {type(value).__name__}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._persistent.pop(name, None)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, its name checked as by :meth:`add_module`; None keeps an absent one's place."""
        self._register(name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves and is saved with the module but is not trained.

        Parameters
        ----------
        name : str
            Attribute under which it is found, checked as by :meth:`add_module`.
        tensor : Tensor or None
            The numbers; None keeps the place of an absent one.
        persistent : bool
            Whether it belongs to :meth:`state_dict`.
        """
        self._register(name, tensor, Tensor)
        self._persistent[name] = persistent

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child under a name, which need not be an identifier.

        Raises
        ------
        OptionError
            If the name has a dot, is empty, or belongs to another attribute.
        TypeError
            If it is no module.
        """
        self._register(name, module, Module)

    register_module = add_module

    def _register(self, name: str, value: Any, kind: type) -> None:
        if "_persistent" not in self.__dict__:
            raise AttributeError(f"call super().__init__() before registering {name!r}")
        if not (value is None or isinstance(value, kind)):
            raise TypeError(f"{name!r} must be a {kind.__name__} or None, not {type(value).__name__}")
        taken = not isinstance(getattr(self, name, None), (kind, type(None)))
        if not name or "." in name or taken:
            raise OptionError(expected="a new name without a dot", got=repr(name), op=type(self).__name__)
        setattr(self, name, value)

    # -- what it is made of ------------------------------------------------------------------

    @property
    def _parameters(self) -> dict[str, Parameter]:
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Parameter)}

    @property
    def _buffers(self) -> dict[str, Tensor]:
        return {name: self.__dict__[name] for name in self._persistent if self.__dict__[name] is not None}

    @property
    def _modules(self) -> dict[str, Module]:
        return {name: value for name, value in self.__dict__.items() if isinstance(value, Module)}

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of each direct child, each module once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (module for _, module in self.named_children())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Qualified name and module of this module (``""``) and all below it, parents first.

        Parameters
        ----------
        memo : set of Module, optional
            Modules to leave out.
        prefix : str
            Put in front of every name.
        remove_duplicate : bool
            Whether a module that is there under two names comes once.
        """
        memo = set() if memo is None else memo
        if remove_duplicate and self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Qualified name and value of each parameter, those of children included if ``recurse``."""
        return self._members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Qualified name and value of each buffer, those of children included if ``recurse``."""
        return self._members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of a qualified name such as ``"features.3"``; ``""`` is this module.

        Raises
        ------
        AttributeError
            If there is none.
        """
        module: Any = self
        for name in target.split(".") if target else ():
            module = getattr(module, name, None)
            if not isinstance(module, Module):
                raise AttributeError(f"{type(self).__name__} has no module {target!r}")
        return module

    def _members(self, kind: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=once) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in getattr(module, kind).items():
                if value not in seen:
                    yield f"{path}.{name}" if path else name, value
                if once:
                    seen.add(value)

    # -- modes -------------------------------------------------------------------------------

    def apply(self: M, fn: Callable[[Module], None]) -> M:
        """Call ``fn`` on every module below, then on this one; for initialisation, say."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch to training mode: dropout drops, batch normalization uses the batch's statistics."""
        if not isinstance(mode, bool):
            raise OptionError(expected="a bool", got=repr(mode), op="train")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation mode, the opposite of :meth:`train`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Let all parameters be trained, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or fill them with zeros if ``set_to_none`` is false."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad.write_(0)

    # -- where it is, and in which precision -------------------------------------------------

    def to(self: M, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> M:
        """Move and cast in place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``.

        Parameters
        ----------
        device : str or device, optional
            ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"meta"``.
        dtype : dtype, optional
            A floating point type; integer buffers keep theirs.
        non_blocking : bool
            Accepted for PyTorch's sake; transfers wait.

        Raises
        ------
        OptionError
            If the dtype is no floating point type.
        BackendError
            If the device is not available.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, (str, _Device)):
                device = arg
            elif arg is not None:
                dtype = arg
        state.convert(self, device, dtype)
        return self

    def cpu(self: M) -> M:
        """Move to main memory."""
        return self.to("cpu")

    def cuda(self: M, device: int | str | None = None) -> M:
        """Move to a GPU, by default the first."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def float(self: M) -> M:
        """Single precision."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """Double precision."""
        return self.to(np.float64)

    def half(self: M) -> M:
        """Half precision: for storage. Convolutions and average pooling refuse it; the rest is slow in it."""
        return self.to(np.float16)

    # -- state -------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: dict[str, Tensor] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """All parameters and persistent buffers by qualified name, sharing memory with the module.

        Parameters
        ----------
        destination : dict, optional
            Filled and returned instead of a new one.
        prefix : str
            Put in front of every name.
        keep_vars : bool
            Whether to give the parameters themselves instead of detached tensors.
        """
        destination = {} if destination is None else destination
        for name, tensor in state.named_state(self, prefix):
            destination[name] = tensor if keep_vars else tensor.detach()
        return destination

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> state.IncompatibleKeys:
        """Copy tensors or arrays into the parameters and buffers of the same names.

        Everything is compared first; if anything does not fit, nothing is changed.

        Parameters
        ----------
        state_dict : mapping of str to tensor or array
            As from :meth:`state_dict`, PyTorch's names included; converted to the dtypes here.
        strict : bool
            Whether the names must be the same on both sides. Shapes must always agree.

        Returns
        -------
        IncompatibleKeys
            Named tuple of ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        CheckpointError
            Listing every missing and unexpected name and every tensor that does not fit.
        """
        return state.load(self, state_dict, strict)

    # -- text --------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands between the brackets of ``repr``: the layer's options."""
        return ""

    def __repr__(self) -> str:
        options = self.extra_repr()
        children = [f"({name}): {child!r}" for name, child in self._modules.items()]
        return layout(type(self).__name__, options, children)


_Device = device  # `to` has a parameter of that name


def layout(kind: str, options: str, children: list[str]) -> str:
    """The text of a module: one line without children, else each child indented on its own lines."""
    if not children:
        return f"{kind}({options})"
    lines = [options, *children] if options else children
    body = "\n".join(lines).replace("\n", "\n  ")
    return f"{kind}(\n  {body}\n)"
