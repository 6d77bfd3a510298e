"""What holds for every operation: one function per promise, each giving a sentence per failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from minicnn.core import dispatch, random
from minicnn.core.device import MetaArray, move
from minicnn.core.flat import FlatFunction
from minicnn.core.gradcheck import adjoint_check, gradcheck
from minicnn.core.report import GradReport
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError, MiniCNNError
from minicnn.testing.layouts import LAYOUTS
from minicnn.testing.spec import Invalid, OpCase, Sample
from minicnn.testing.tolerance import FLOAT32, FLOAT64, compare, float32_bound, magnitude

__all__ = ["CHECKS", "CaseReport", "check_case"]

LONGEST_MESSAGE = 400
ABSTRACT_DTYPES = ("bool", "int64", "float16", "float32", "float64")


@dataclass
class CaseReport:
    """What the checks found for one row of the operation table; true if all passed.

    Attributes
    ----------
    name : str
    samples : int
    gradients : list of GradReport
        One per gradient check that was made.
    failures : list of str
        A sentence for each failure.
    """

    name: str
    samples: int
    gradients: list[GradReport] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything passed."""
        return not self.failures

    def __bool__(self) -> bool:
        return self.ok

    @property
    def checked(self) -> int:
        """Elements whose gradient was checked one by one."""
        return sum(report.checked for report in self.gradients)

    @property
    def total(self) -> int:
        """Elements of all differentiable inputs of all samples."""
        return sum(report.total for report in self.gradients)

    @property
    def kinks(self) -> int:
        """Kinks stepped around or lain on."""
        return sum(report.kinks for report in self.gradients)

    @property
    def worst(self) -> tuple[str, Any] | None:
        """The input with the largest error of all gradient checks, and that comparison."""
        found = [report.worst for report in self.gradients if report.worst is not None]
        return max(found, key=lambda pair: pair[1].error, default=None)

    def __str__(self) -> str:
        verdict = "ok" if self.ok else "FAILED"
        head = f"{self.name}: {verdict}, {self.samples} samples, {self.checked} of {self.total} elements"
        if self.kinks:
            head += f", {self.kinks} kinks"
        return "\n  ".join([head, *self.failures])


@dataclass
class Trial:
    """One sample on one device, and what the checks of it share."""

    case: OpCase
    sample: Sample
    place: str
    report: CaseReport

    def operands(self, dtype: Any) -> list[Any]:
        """Arrays on the device, floating point ones in this dtype; all else as it is."""
        return [self.array(x, dtype) if isinstance(x, np.ndarray) else x for x in self.sample.inputs]

    def array(self, x: np.ndarray, dtype: Any) -> Any:
        return move(x.astype(dtype if x.dtype.kind == "f" else x.dtype), self.place)

    def floats(self) -> list[int]:
        """Positions of the operands that have a derivative."""
        if not self.case.differentiable:
            return []
        inputs = enumerate(self.sample.inputs)
        candidates = [i for i, x in inputs if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        return [i for i in candidates if i not in self.case.constant]

    def call(self, operands: list[Any], *, record: bool = False) -> tuple[list[Tensor], dict[int, Tensor]]:
        """The results on these arrays, and the tensors of the operands that have a derivative."""
        tensors = [Tensor.wrap(x) if hasattr(x, "dtype") else x for x in operands]
        leaves = {i: tensors[i] for i in self.floats()} if record else {}
        for leaf in leaves.values():
            leaf.requires_grad = True
        result = self.case.function(*tensors, **self.sample.attrs)
        return (list(result) if isinstance(result, (tuple, list)) else [result]), leaves

    def numbers(self, operands: list[Any], gys: list[Any] | None = None) -> list[np.ndarray]:
        """Results and, for these incoming gradients, gradients, as NumPy arrays."""
        results, leaves = self.call(operands, record=gys is not None)
        arrays = [result.cpu_array() for result in results]
        for result, gy in zip(results, gys or [], strict=False):
            if result.requires_grad:
                found = result._gradients(gy, True, False)
                arrays += [move(found[leaf], "cpu") for leaf in leaves.values() if leaf in found]
        return arrays


def forward(trial: Trial) -> Iterator[str]:
    """The float64 result is the oracle's."""
    results, _ = trial.call(trial.operands(np.float64))
    expected = trial.case.oracle(*trial.sample.inputs, **trial.sample.attrs)
    expected = expected if isinstance(expected, (tuple, list)) else [expected]
    if len(results) != len(expected):
        yield f"{len(results)} results, the oracle gives {len(expected)}"
    for result, right in zip(results, expected, strict=False):
        message = compare(result.cpu_array(), right, FLOAT64 * magnitude(right))
        if message:
            yield message


def gradient(trial: Trial) -> Iterator[str]:
    """Backward agrees with difference quotients in float64."""
    wrt = trial.floats()
    if not wrt:
        return
    inputs = trial.operands(np.float64)
    report = gradcheck(trial.case.function, inputs, attrs=trial.sample.attrs, wrt=wrt, raise_exception=False)
    trial.report.gradients.append(report)
    if not report.ok:
        yield report.summary()


def adjoint(trial: Trial) -> Iterator[str]:
    """Backward of a linear operation is exact on small integers in float32."""
    wrt = [i for i in trial.case.linear if isinstance(trial.sample.inputs[i], np.ndarray)]
    inputs = trial.operands(np.float32)
    report = adjoint_check(trial.case.function, inputs, wrt, attrs=trial.sample.attrs, raise_exception=False)
    if not report.ok:
        yield report.summary()


def float32(trial: Trial) -> Iterator[str]:
    """Results and gradients are float32 for float32, and within rounding of the float64 ones.

    The bound grows with what the result is made of: |y| + |J|·|x| for the result, |u|·|J| for the
    gradient, and |u|·|y| / rms(x) for what cancels inside.
    """
    wrt = trial.floats()
    if not wrt:
        results, _ = trial.call(trial.operands(np.float32))
        yield from (f"a result is {r.dtype}" for r in results if r.dtype == np.float64)
        return
    inputs = trial.operands(np.float32)
    single, double = (
        FlatFunction(trial.case.function, inputs, trial.sample.attrs, wrt, dtype)
        for dtype in (np.float32, np.float64)
    )
    x, y = double.start, double.value(double.start)
    u = random.new_generator(1).uniform(0.5, 1.5, (1, y.size)).astype(np.float32).astype(np.float64)
    jacobian = np.abs(double.gradients(x, np.eye(y.size)))
    bound = float32_bound(max(x.size, 1))
    size = np.abs(y) + jacobian @ np.abs(x)
    message = compare(single.value(x), y, bound * (size + size.max(initial=0.0)))
    if message:
        yield f"result: {message}"
    single_gradients, double_gradients = single.gradients(x, u)[0], double.gradients(x, u)[0]
    for slot in double.slots:
        rms = np.sqrt(np.mean(x[slot.where] ** 2)) if slot.where.stop > slot.where.start else 0.0
        scale = (u @ jacobian[:, slot.where]).max(initial=0.0) + (
            float(u[0] @ np.abs(y)) / rms if rms else 0.0
        )
        message = compare(single_gradients[slot.where], double_gradients[slot.where], bound * scale)
        if message:
            yield f"gradient of {slot.name}: {message}"
    yield from single.problems


def layouts(trial: Trial) -> Iterator[str]:
    """Results and gradients do not depend on how operands and incoming gradients lie in memory."""
    for dtype, relative in ((np.float64, FLOAT64), (np.float32, FLOAT32)):
        plain = trial.operands(dtype)
        xp = dispatch.backend_of(plain).xp
        gys = incoming(trial, plain)
        for name, layout in LAYOUTS.items():
            laid = [each(arrays, partial(layout, xp)) for arrays in (plain, gys)]
            straight = [each(arrays, partial(xp.array, order="C")) for arrays in laid]
            expected = trial.numbers(*straight)
            scale = max(map(magnitude, expected), default=0.0)
            for number, (a, b) in enumerate(zip(trial.numbers(*laid), expected, strict=True)):
                message = compare(a, b, relative * scale)
                if message:
                    yield f"{name}, {np.dtype(dtype)}, output {number}: {message}"


def each(operands: list[Any], function: Callable[[Any], Any]) -> list[Any]:
    """The function of every array; all else as it is."""
    return [function(a) if hasattr(a, "dtype") else a for a in operands]


def incoming(trial: Trial, operands: list[Any]) -> list[Any]:
    """A random gradient for each result."""
    rng = random.new_generator(2)
    results, _ = trial.call(operands)
    return [
        trial.array(rng.standard_normal(r.shape), r.dtype) if r.dtype.kind == "f" else None for r in results
    ]


def freed(trial: Trial) -> Iterator[str]:
    """Backward frees what forward had saved, and says so when it is called again."""
    operands = trial.operands(np.float32)
    results, _ = trial.call(operands, record=True)
    result, gy = results[0], incoming(trial, operands)[0]
    if not result.requires_grad or result.node is None:
        return
    result.backward(gy)
    try:
        result.backward(gy)
    except GradError as error:
        if "freed" not in str(error):
            yield f"the second backward says {error}"
    else:
        yield "a second backward ran: the graph was not freed"


def abstract(trial: Trial) -> Iterator[str]:
    """On the meta device shape and dtype are those of the real result, or the refusal is of the same class.

    Operands of floating point are tried in every dtype, two or more also in every pair of dtypes.
    """
    given, as_they_are = trial.sample.inputs, trial.operands(np.float64)
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in given]
    for first, others in product(ABSTRACT_DTYPES, repeat=2):
        if first == others or sum(floats) > 1:
            dtypes = iter([first, *[others] * len(floats)])
            with np.errstate(all="ignore"):
                operands = [
                    move(np.asarray(np.abs(x), next(dtypes)), trial.place) if real else own
                    for x, own, real in zip(given, as_they_are, floats, strict=True)
                ]
                fact = outcome(trial, operands)
            meta = outcome(trial, each(operands, lambda a: MetaArray(a.shape, a.dtype)))
            if meta != fact:
                yield f"{first} and {others}: {meta} on meta, {fact} in fact"


def outcome(trial: Trial, operands: list[Any]) -> list[tuple[Any, Any]] | str:
    """Shape and dtype of each result, or the class of the error that refuses the call."""
    try:
        results, _ = trial.call(operands)
    except MiniCNNError as error:
        return type(error).__name__
    return [(result.shape, result.dtype) for result in results]


PER_SAMPLE: dict[str, Callable[[Trial], Iterator[str]]] = {
    check.__name__: check for check in (forward, gradient, adjoint, float32, layouts, freed, abstract)
}


def refused(case: OpCase, place: str) -> Iterator[str]:
    """Each invalid call raises the error it should, and changes nothing."""
    for number, invalid in enumerate(case.invalid):
        yield from (f"invalid call {number}: {message}" for message in refusal(case, invalid, place))


def refusal(case: OpCase, invalid: Invalid, place: str) -> Iterator[str]:
    arrays = [move(x.copy(), place) if isinstance(x, np.ndarray) else x for x in invalid.inputs]
    tensors = [Tensor.wrap(x) if hasattr(x, "dtype") else x for x in arrays]
    for tensor in tensors:
        if isinstance(tensor, Tensor) and tensor.dtype.kind == "f":
            tensor.requires_grad = True
    state = random.get_state()
    try:
        case.function(*tensors, **invalid.attrs)
    except MiniCNNError as error:
        text = str(error)
        if type(error) is not invalid.error:
            yield f"{type(error).__name__} ({text}) instead of {invalid.error.__name__}"
        if not re.search(invalid.match, text):
            yield f"the message {text!r} does not match {invalid.match!r}"
        if len(text) > LONGEST_MESSAGE:
            yield f"the message has {len(text)} characters"
    except Exception as error:
        yield f"{type(error).__name__} ({error}) instead of {invalid.error.__name__}"
    else:
        yield "was not refused"
    if random.get_state() != state:
        yield "the random state changed"
    for array, before in zip(arrays, invalid.inputs, strict=True):
        if hasattr(array, "dtype") and compare(move(array, "cpu"), before, 0.0):
            yield "an input changed"


CHECKS = (*PER_SAMPLE, "refused")


def check_case(
    case: OpCase, *, seed: int = 0, checks: Sequence[str] = CHECKS, place: str = "cpu"
) -> CaseReport:
    """Run the checks on one row of the operation table.

    Parameters
    ----------
    case : OpCase
    seed : int
        Chooses the samples' numbers.
    checks : sequence of str
        Out of ``CHECKS``: ``forward`` (the oracle's result), ``gradient`` (difference quotients),
        ``adjoint`` (exact on integers, for linear operands), ``float32``, ``layouts``, ``freed``,
        ``abstract`` (shape and dtype rules), ``refused`` (invalid calls).
    place : str
        The device.

    Returns
    -------
    CaseReport
        True if all passed.

    Examples
    --------
    >>> from minicnn.testing import op_registry
    >>> bool(check_case(op_registry()["relu"], checks=["forward", "gradient"]))
    True
    """
    samples = case.samples(random.new_generator(seed))
    report = CaseReport(case.name, len(samples))
    for number, sample in enumerate(samples):
        trial = Trial(case, sample, place, report)
        for name in checks:
            if name in PER_SAMPLE:
                prefix = f"{name}, sample {number} {describe(sample)}: "
                report.failures += [prefix + message for message in attempt(PER_SAMPLE[name], trial)]
    if "refused" in checks:
        report.failures += refused(case, place)
    return report


def attempt(check: Callable[[Trial], Iterator[str]], trial: Trial) -> list[str]:
    """The failures a check finds; an error on the way is one too."""
    try:
        return list(check(trial))
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]


def describe(sample: Sample) -> str:
    """A sample in a few words."""
    shapes = ", ".join(str(x.shape) if isinstance(x, np.ndarray) else repr(x) for x in sample.inputs)
    attrs = "".join(f", {name}={value!r}" for name, value in sample.attrs.items())
    return f"({shapes}{attrs})"
