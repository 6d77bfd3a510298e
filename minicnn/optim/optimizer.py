"""What all optimisers share: parameter groups, checks, state, and the loop over parameters."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, ClassVar

from minicnn.core.device import device_of, move
from minicnn.core.dispatch import backend_of
from minicnn.core.tape import enable_grad
from minicnn.core.tensor import Tensor, as_array
from minicnn.errors import CheckpointError, DTypeError, MiniCNNError, OptionError, ShapeError
from minicnn.ops.update import l1_proximal
from minicnn.typing import Array

__all__ = ["Optimizer"]

POSITIVE = (0.0, math.inf)
FRACTION = (0.0, 1.0)


class Optimizer:
    """Base class of the optimisers.

    A subclass calls ``super().__init__(params, defaults)``, lists its numbers in ``ranges`` and its
    switches in ``switches``, and gives the rule for one parameter as :meth:`update`, or for many in one
    call as :meth:`update_all`.

    Parameters
    ----------
    params : iterable of Tensor, or of dict
        What to optimise: leaf tensors, or groups ``{"params": [...], "lr": ..., ...}`` whose options
        replace the defaults.
    defaults : dict
        Options of groups that do not say otherwise.

    Attributes
    ----------
    param_groups : list of dict
        Each group's ``"params"`` and options. Changing an option takes effect at the next step.
    state : dict
        By parameter: what the rule keeps between steps, such as ``state[p]["momentum_buffer"]``.
    ranges : dict
        Class attribute: option -> (low, high), the values that are allowed: low <= value < high.
    switches : tuple of str
        Class attribute: the options that are True or False.
    kept : dict, or None
        Class attribute: what the rule keeps per parameter -> the option that makes it necessary, or ""
        for always; :meth:`load_state_dict` refuses anything else. None: not checked.

    Raises
    ------
    OptionError
        If there is no parameter, one occurs twice or is no leaf, or an option is out of range.

    Notes
    -----
    Regularisation (F6). Three options make weights small; they are not the same:

    - ``l2`` adds l2·p to the gradient: the derivative of l2/2 ||p||² in the loss.
    - ``weight_decay`` is PyTorch's: the same as ``l2`` in SGD, RMSprop, Adagrad and Adam, but
      p <- (1 - lr weight_decay) p in AdamW. In Adam the l2 term is divided by √v̂ like the rest of the
      gradient, so weights with large gradients are decayed less; in AdamW all decay alike.
    - ``l1`` is a proximal step after the update, p <- sign(p) max(|p| - lr l1, 0): the only one that
      makes weights exactly 0. In SGD it minimises L + l1 ||p||₁. Steps of Adam and RMSprop are about
      lr long whatever the gradient, so there l1 has to be compared with 1, not with gradients.

    Examples
    --------
    >>> from minicnn.core.tensor import Tensor
    >>> from minicnn.optim import SGD
    >>> w, b = Tensor([1.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    >>> optimizer = SGD([{"params": [w]}, {"params": [b], "lr": 0.5}], lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.5]
    """

    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {
        "lr": POSITIVE,
        "weight_decay": POSITIVE,
        "l1": POSITIVE,
        "l2": POSITIVE,
    }
    switches: ClassVar[tuple[str, ...]] = ("maximize",)
    kept: ClassVar[Mapping[str, str] | None] = None

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], defaults: dict[str, Any]) -> None:
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.steps = 0  # calls of step() since it was made
        if isinstance(params, Tensor):
            raise self._refuse("an iterable of tensors or of groups", "one tensor", "write [tensor]")
        entries = list(params)
        if not entries:
            raise self._refuse("at least one parameter", "an empty list")
        self.defaults = {**defaults, **self.checked(defaults)}
        groups: list[Any] = entries if isinstance(entries[0], dict) else [{"params": entries}]
        for group in groups:
            self.add_param_group(group)

    # -- to be given by subclasses -----------------------------------------------------------

    def update(self, array: Array, gradient: Array, state: dict[str, Any], options: dict[str, Any]) -> None:
        """Change one parameter's array in place.

        Parameters
        ----------
        array, gradient : arrays of one shape
        state : dict
            What is kept for this parameter, empty before its first step.
        options : dict
            The group's options, checked, as plain numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update rule")

    def update_all(
        self,
        arrays: list[Array],
        gradients: list[Array],
        states: list[dict[str, Any]],
        options: dict[str, Any],
    ) -> None:
        """Change the arrays of many parameters in place: one by one, unless a subclass can do better.

        Parameters
        ----------
        arrays, gradients, states : lists with an entry for each parameter
            All arrays lie on one device.
        options : dict
            The group's options, checked, as plain numbers.
        """
        for array, gradient, state in zip(arrays, gradients, states, strict=True):
            self.update(array, gradient, state, options)

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options named in ``ranges`` and ``switches`` as plain numbers.

        Raises
        ------
        OptionError
            Naming the first that is no number, NaN, or out of range.
        """
        numbers: dict[str, Any] = {
            name: self._number(name, options[name], *bounds)
            for name, bounds in self.ranges.items()
            if name in options
        }
        for name in (name for name in self.switches if name in options):
            if options[name] not in (True, False):
                raise self._refuse(f"{name} to be True or False", repr(options[name]))
            numbers[name] = bool(options[name])
        return numbers

    # -- use ---------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients first, and returns the loss.

        Returns
        -------
        The closure's loss, or None.

        Raises
        ------
        OptionError, ShapeError, DTypeError
            If an option or a gradient does not fit. Everything is checked before anything changes.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        work = []
        for group in self.param_groups:
            options = self.checked(group)
            for parameters in _by_device(group["params"]):
                gradients = [parameter.grad.array for parameter in parameters]  # type: ignore[union-attr]
                arrays = [parameter.array for parameter in parameters]
                if not _fit(arrays, gradients):
                    for parameter in parameters:
                        self._check_gradient(parameter)
                work.append((parameters, arrays, gradients, options))
        for parameters, arrays, gradients, options in work:
            self.update_all(arrays, gradients, [self.state[parameter] for parameter in parameters], options)
            if options.get("l1"):
                for array in arrays:
                    l1_proximal(array, threshold=options["lr"] * options["l1"])
            for parameter in parameters:
                parameter._version += 1
        self.steps += 1
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or with ``set_to_none=False`` fill them with zeros.

        A parameter whose gradient is None is left out by :meth:`step`; one whose gradient is 0 still
        moves by its momentum and decay.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.array.fill(0)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, such as layers that are no longer frozen.

        Parameters
        ----------
        param_group : dict
            ``"params"`` (a tensor or a list of tensors) and options.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise self._refuse("a group with the key 'params'", repr(param_group))
        params = param_group["params"]
        if isinstance(params, set):
            raise self._refuse("params in a fixed order", "a set", "use a list")
        params = [params] if isinstance(params, Tensor) else list(params)
        group = {"params": params, **self.defaults, **param_group}
        group.update(self.checked(group), params=params)
        seen = {parameter for other in self.param_groups for parameter in other["params"]}
        for parameter in params:
            if not isinstance(parameter, Tensor):
                raise self._refuse("tensors to optimise", type(parameter).__name__)
            if parameter.node is not None:
                raise self._refuse("leaf tensors to optimise", f"the result of {parameter.node.op.name}")
            if parameter in seen:
                raise self._refuse("each parameter once", f"one of shape {parameter.shape} twice")
            seen.add(parameter)
        self.param_groups.append(group)

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state and the options, in PyTorch's form; tensors are shared, not copied.

        Returns
        -------
        dict
            ``"state"``: by number of the parameter, a dict of tensors and numbers.
            ``"param_groups"``: the groups, with numbers in place of their parameters.
        """
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        number = {parameter: i for i, parameter in enumerate(parameters)}
        groups = [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups]
        state = {number[parameter]: dict(entry) for parameter, entry in self.state.items() if entry}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned; tensors are copied.

        Parameters are matched by their order. Training goes on bitwise as it would have.

        Raises
        ------
        CheckpointError
            If groups, options, shapes, or what is kept per parameter are not those of this optimiser.
            Nothing changes then.
        """
        saved_groups = copy.deepcopy(state_dict["param_groups"])
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise self._foreign(f"groups of {sizes} parameters", str(saved_sizes))
        groups = []
        place_of: dict[int, tuple[Tensor, dict[str, Any]]] = {}  # each parameter, and its group's options
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            missing = self.ranges.keys() & group.keys() - {"l1", "l2"} - saved.keys()
            if missing:
                raise self._foreign(f"the option {min(missing)}", f"only {', '.join(sorted(saved))}")
            merged = {**group, **saved, "params": group["params"]}
            groups.append({**merged, **self.checked(merged)})
            for i, parameter in zip(map(int, saved["params"]), group["params"], strict=True):
                place_of[i] = parameter, groups[-1]
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for i, entry in state_dict["state"].items():
            if int(i) not in place_of:
                raise self._foreign(f"state of {len(place_of)} parameters", f"number {i}")
            parameter, options = place_of[int(i)]
            entry = {name: value for name, value in entry.items() if value is not None}
            self._check_entry(entry, options)
            state[parameter] = {name: self._load(name, value, parameter) for name, value in entry.items()}
        self.param_groups = groups
        self.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])

    # -- helpers -----------------------------------------------------------------------------

    def _number(self, name: str, value: Any, low: float, high: float) -> float:
        """The value as a float, if it is one within its range."""
        try:
            number = math.nan if isinstance(value, str) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not low <= number < high:  # NaN fails every comparison
            raise self._refuse(f"{name} in [{low:g}, {high:g})", repr(value))
        return number

    def _check_gradient(self, parameter: Tensor) -> None:
        array, gradient = parameter.array, parameter.grad.array  # type: ignore[union-attr]
        if gradient.shape != array.shape:
            raise self._refuse(f"a gradient of shape {array.shape}", str(gradient.shape), kind=ShapeError)
        if gradient.dtype != array.dtype:
            raise self._refuse(f"a gradient of {array.dtype}", str(gradient.dtype), kind=DTypeError)
        if type(gradient) is not type(array):
            raise self._refuse(f"a gradient on {parameter.device}", str(device_of(gradient)))
        if not getattr(array.flags, "writeable", True):
            raise self._refuse("parameters in writeable memory", "read-only memory", "load a copy")

    def _check_entry(self, entry: dict[str, Any], options: dict[str, Any]) -> None:
        """Refuse what the rule does not keep for a parameter, and an entry that lacks what it needs."""
        if self.kept is None or not entry:
            return
        needed = {name for name, option in self.kept.items() if not option or options[option]}
        if not needed <= entry.keys() <= self.kept.keys():
            raise self._foreign(f"{', '.join(sorted(needed))} for a parameter", ", ".join(sorted(entry)))

    def _load(self, name: str, value: Any, parameter: Tensor) -> Any:
        """A state's entry: the count of steps as an integer, a tensor as an own copy."""
        if name == "step":
            steps = float(value) if hasattr(value, "shape") or isinstance(value, (int, float)) else math.nan
            if not (steps >= 0 and steps.is_integer()):
                raise self._foreign("step to be a whole number >= 0", repr(value))
            return int(steps)
        shape = getattr(value, "shape", None)
        if shape is None and self.kept is None:
            return value
        if shape is None or tuple(shape) != parameter.shape:
            got = repr(value) if shape is None else str(tuple(shape))
            raise self._foreign(f"{name} of shape {parameter.shape}", got)
        array = move(as_array(value, parameter.dtype), parameter.device)
        return Tensor.wrap(array.copy())

    def _refuse(
        self, expected: str, got: str, hint: str | None = None, kind: type[MiniCNNError] = OptionError
    ) -> MiniCNNError:
        return kind(expected=expected, got=got, hint=hint, op=type(self).__name__)

    def _foreign(self, expected: str, got: str) -> CheckpointError:
        return CheckpointError(expected=expected, got=got, op=f"{type(self).__name__}.load_state_dict")


def _by_device(parameters: list[Tensor]) -> Iterable[list[Tensor]]:
    """Those that have a gradient, in a list for each kind of array."""
    lists: defaultdict[type, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            lists[type(parameter.array)].append(parameter)
    return lists.values()


def _fit(arrays: list[Array], gradients: list[Array]) -> bool:
    """Whether all arrays are like their gradients, and surely writeable: quicker than one after the other."""
    form = attrgetter("shape", "dtype")
    return (
        list(map(type, arrays)) == list(map(type, gradients))
        and list(map(form, arrays)) == list(map(form, gradients))
        and hasattr(arrays[0].flags, "writeable")  # CuPy's do not say it
        and all(map(attrgetter("flags.writeable"), arrays))
    )


def buffers(states: list[dict[str, Any]], name: str, like: list[Array]) -> list[Array]:
    """The arrays of a state tensor, one for each parameter; zeros at its first use."""
    try:
        return [state[name].array for state in states]
    except KeyError:
        return [buffer(state, name, array) for state, array in zip(states, like, strict=True)]


def buffer(state: dict[str, Any], name: str, like: Array, fill: float = 0.0) -> Array:
    """The array of a state tensor, made at its first use."""
    if name not in state:
        state[name] = Tensor.wrap(backend_of((like,)).xp.full_like(like, fill))
    return state[name].array
