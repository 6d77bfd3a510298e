"""The tensor: an array, its gradient, and the node that made it. It knows no arithmetic.

The operators and methods that compute come from one table, ``minicnn/ops/methods.py``.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.core import gradients, tape
from minicnn.core.arrays import as_array, default_dtype
from minicnn.core.device import MetaArray, device, device_of, is_writeable, move
from minicnn.core.hooks import RemovableHandle
from minicnn.errors import BackendError, DTypeError, GradError, ShapeError
from minicnn.typing import Array, Shape

__all__ = ["Tensor", "as_array", "default_dtype"]


# Called with the array that is about to change in place: core/fusion.py computes what waits and reads it.
before_change: list[Callable[[Array], None]] = []
# Called in this thread with an array whose numbers Python is about to look at, or that is about to change in
# place, and with which it is: core/plan.py notes that.
watching: ContextVar[tuple[Callable[[str, Array], None], ...]] = ContextVar("watching", default=())


class Tensor:
    """A multi-dimensional array that can record what is computed with it.

    Parameters
    ----------
    data : array_like, Tensor
        Arrays are shared, not copied, unless their dtype or byte order has to change. Python
        floats become float32 and Python integers int64.
    dtype : dtype, optional
        Element type to convert to: float16, float32, float64, an integer type or bool.
    requires_grad : bool
        Whether ``backward`` shall fill ``.grad``. Floating point only.

    Attributes
    ----------
    array : numpy.ndarray or cupy.ndarray
        The numbers themselves.
    grad : Tensor or None
        Sum of the gradients that reached this leaf since it was last cleared; it has the tensor's
        shape, dtype and device.
    requires_grad : bool
        Whether operations on it are recorded; it can be set on a leaf of floating point numbers.
    node : Node or None
        What made it; None for a leaf.

    Examples
    --------
    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [2.0, 4.0, 6.0]
    """

    # Class-level defaults, so that the hot path sets only what differs.
    array: Array
    node: tape.Node | None = None
    _grad: Tensor | None = None
    _requires_grad: bool = False
    _version: int = 0  # counts changes in place
    _is_view: bool = False  # of another tensor's memory
    _hooks: dict[int, tape.Hook] | None = None

    __array_priority__ = 1000.0
    __array_ufunc__ = None  # ndarray + Tensor asks the Tensor

    if TYPE_CHECKING:  # the table of methods fills these in

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        self.array = as_array(data, dtype)
        if requires_grad:
            self.requires_grad_()

    @classmethod
    def wrap(cls, array: Array, is_view: bool = False) -> Tensor:
        """A tensor around an array as it is, with no check: for code that made the array."""
        self = Tensor.__new__(cls)
        self.array = array
        self._is_view = is_view
        return self

    # -- what it is --------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The sizes, as a tuple."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """The element type."""
        return self.array.dtype

    @property
    def device(self) -> device:
        """Where the numbers are."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """True if no recorded operation made it: parameters and data."""
        return self.node is None

    @property
    def grad_fn(self) -> tape.Node | None:
        """The node that made it (PyTorch's name for ``node``)."""
        return self.node

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len() of a 0-dimensional tensor")
        return self.array.shape[0]

    def __repr__(self) -> str:
        if isinstance(self.array, MetaArray):
            return f"tensor(meta, shape={self.shape}, dtype={self.dtype})"
        numbers = np.array2string(self.cpu_array(), separator=", ", precision=4, prefix="tensor(")
        notes = "" if self.dtype in (default_dtype, np.int64, np.bool_) else f", dtype={self.dtype}"
        if self.device.type != "cpu":
            notes += f", device={str(self.device)!r}"
        if self.node is not None:
            notes += f", grad_fn=<{self.node.op.name}>"
        elif self.requires_grad:
            notes += ", requires_grad=True"
        return f"tensor({numbers}{notes})"

    __hash__ = object.__hash__  # `==` compares elements, so identity has to be the hash

    # -- out of the tensor -------------------------------------------------------------------

    def item(self) -> Any:
        """The number of a tensor with one element, as a Python number."""
        if self.array.size != 1:
            raise ShapeError(expected="a tensor with one element", got=f"shape {self.shape}", op="item")
        return self.cpu_array().item()

    def tolist(self) -> Any:
        """The numbers as nested lists."""
        return self.cpu_array().tolist()

    def cpu_array(self) -> np.ndarray:
        """The numbers as a NumPy array, copied only if they live on a GPU."""
        self._tell_watchers()
        return move(self.array, "cpu")

    def _tell_watchers(self) -> None:
        for notice in watching.get():
            notice("looks at their numbers", self.array)

    def numpy(self) -> np.ndarray:
        """The numbers as a NumPy array that shares memory.

        Raises
        ------
        GradError
            If the tensor is part of a graph: changes would go unnoticed. Use ``detach().numpy()``.
        BackendError
            If it lives on a GPU. Use ``cpu().numpy()``.
        """
        if self.requires_grad:
            raise GradError("numpy() on a tensor that requires grad", hint="use tensor.detach().numpy()")
        if self.device.type != "cpu":
            raise BackendError(f"numpy() on a tensor on {self.device}", hint="use tensor.cpu().numpy()")
        return self.cpu_array()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.cpu_array()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("a conversion needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        self._tell_watchers()
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        value = self.item()
        if type(value) is not int:
            raise TypeError(f"only an integer tensor can be an index, not {self.dtype}")
        return value

    # -- gradients ---------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The sum of the gradients that came, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise GradError(expected="a tensor or None for grad", got=type(value).__name__)
            gradients.check_grad(self, value)
        self._grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.node is not None:
            raise GradError("requires_grad can only be set on a leaf", hint="use detach() first")
        if value and self.array.dtype.kind != "f":
            raise DTypeError(expected="a floating point tensor for requires_grad", got=str(self.dtype))
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Switch recording for this leaf on or off."""
        self.requires_grad = requires_grad
        return self

    def detach(self) -> Tensor:
        """The same numbers, outside the graph."""
        return Tensor.wrap(self.array, self._is_view)

    @property
    def data(self) -> Tensor:
        """The same numbers, outside the graph; assigning replaces them (PyTorch's name)."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        array = as_array(value)
        if self.requires_grad and array.dtype.kind != "f":
            raise DTypeError(expected="floating point data where grad is required", got=str(array.dtype))
        self.array = array
        self._version += 1

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` when this tensor's gradient is complete in a backward.

        Parameters
        ----------
        hook : callable
            Gets the gradient as a tensor; what it returns, if not None, replaces it.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` removes the hook.
        """
        if not self.requires_grad:
            raise GradError("register_hook on a tensor that does not require grad")

        def on_array(gradient: Array) -> Array | None:
            replaced = hook(Tensor.wrap(gradient))
            return None if replaced is None else replaced.array

        owner: Any = self if self.node is None else self.node
        name = "_hooks" if self.node is None else "hooks"
        if getattr(owner, name) is None:
            setattr(owner, name, {})
        return RemovableHandle(getattr(owner, name), on_array)

    def retain_grad(self) -> None:
        """Let ``backward`` fill ``.grad`` although this tensor is not a leaf."""
        if self.node is not None:
            self.node.keeper = weakref.ref(self)  # a node must not hold its own result

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add this tensor's derivative with respect to each leaf to the leaf's ``.grad``.

        Parameters
        ----------
        gradient : array_like, optional
            dL/d(this), in this tensor's shape; 1 for a tensor with one element.
        retain_graph : bool
            Keep what the forward pass saved, so that backward can run again.
        create_graph : bool
            Not supported: minicnn computes first derivatives.

        Raises
        ------
        GradError
            If nothing was recorded, the graph was freed, or a second derivative is asked for.
        """
        found = gradients.find([self], [gradient], retain_graph=retain_graph, create_graph=create_graph)
        gradients.fill(*found)

    def _accumulate(self, gradient: Array) -> None:
        """Add to ``.grad``, which is always this tensor's own buffer."""
        if self._grad is None:
            self._grad = Tensor.wrap(gradients.own_array(gradient, self))
        else:
            total = self._grad.array
            tape.add_gradients(total, gradient, out=total)
            self._grad._version += 1

    # -- changes in place --------------------------------------------------------------------

    def write_(self, value: Any, index: Any = ..., view: Any = ...) -> Tensor:
        """Put new numbers into this leaf's own memory; the base of every ``name_`` method.

        Parameters
        ----------
        value : Tensor, array or number
            It broadcasts to the part that is replaced.
        index : optional
            Which part to replace; everything if left out.
        view : optional
            An index of integers and slices, to be taken first.

        Raises
        ------
        GradError
            If the tensor is recorded: a graph may still need the old numbers.
        """
        if self.node is not None:
            raise GradError(
                "the result of a recorded operation was changed in place; its graph may need the numbers",
                hint="use detach().clone() first",
            )
        if self.requires_grad and tape.grad_enabled.get():
            raise GradError(
                "a tensor that requires grad was changed in place while recording",
                hint="wrap the change in `with no_grad():`",
            )
        if not is_writeable(self.array):
            raise GradError("the tensor's memory is read-only", hint="use .clone() first")
        if not isinstance(value, (int, float)):
            value = move(as_array(value, None if hasattr(value, "dtype") else self.dtype), self.device)
        for tell in before_change:
            tell(self.array)
        for notice in watching.get():
            notice("changes them in place", self.array)
        self.array[view][index] = value
        self._version += 1
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None:
            raise GradError("only a leaf can be copied deeply", hint="use detach().clone()")
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update({name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()})
        made._is_view = False
        return made
