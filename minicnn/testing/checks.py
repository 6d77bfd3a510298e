"""What holds for every operation: one function per promise, each giving a sentence per failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from minicnn.core import dispatch, random
from minicnn.core.device import MetaArray, move
from minicnn.core.flat import FlatFunction
from minicnn.core.gradcheck import adjoint_check, gradcheck
from minicnn.core.tensor import Tensor
from minicnn.errors import GradError, MiniCNNError
from minicnn.testing.bounds import Bounds
from minicnn.testing.judge import incoming, integers, judged
from minicnn.testing.layouts import LAYOUTS
from minicnn.testing.nonfinite import nonfinite
from minicnn.testing.spec import Invalid, OpCase, Sample
from minicnn.testing.tolerance import compare
from minicnn.testing.trial import CaseReport, Trial, attempt, describe, split
from minicnn.typing import ArrayModule

__all__ = ["CHECKS", "CaseReport", "check_case"]

LONGEST_MESSAGE = 400
ABSTRACT_DTYPES = ("bool", "int64", "float16", "float32", "float64")


def forward(trial: Trial) -> Iterator[str]:
    """The float64 result is the oracle's, for operands of several scales."""
    for scaled in trial.scaled():
        with np.errstate(all="ignore" if scaled is not trial else "warn"):
            tensors, _ = scaled.call(scaled.operands(np.float64))
        results, expected = [result.cpu_array() for result in tensors], scaled.expected()
        if len(results) != len(expected):
            yield f"{len(results)} results, the oracle gives {len(expected)}"
        bounds = scaled.bounds()
        allowed = np.zeros(1 << 12) if bounds is None else 2 * bounds.results(np.float64)
        for result, right, bound in zip(results, expected, split(allowed, results), strict=False):
            message = compare(result, right, bound)
            if message:
                yield scaled.sized() + message


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


def exact(trial: Trial) -> Iterator[str]:
    """What is linear or like a maximum does not round small integers: float32 is right to the last bit."""
    if trial.case.exact:
        whole = integers(trial)
        operands = whole.operands(np.float32)
        yield from judged(whole, operands, incoming(whole, operands, whole=True), np.float32, exact=True)


def float32(trial: Trial) -> Iterator[str]:
    """Results and gradients are float32 for float32, and within rounding of the float64 ones."""
    if not trial.floats():
        results, _ = trial.call(trial.operands(np.float32))
        yield from (f"a result is {r.dtype}" for r in results if r.dtype == np.float64)
        return
    for scaled in trial.scaled():
        yield from (scaled.sized() + message for message in in_float32(scaled))


def in_float32(trial: Trial) -> Iterator[str]:
    """The messages of :func:`float32` for operands of one scale."""
    rounded = [x.astype(np.float32) if i in trial.floating else x for i, x in enumerate(trial.sample.inputs)]
    bounds = Bounds(trial.case, Sample(tuple(rounded), trial.sample.attrs), trial.floats())
    x, y = bounds.x, bounds.y
    operands = trial.operands(np.float32)
    single = FlatFunction(trial.case.function, operands, trial.sample.attrs, trial.floats(), np.float32)
    message = compare(single.value(x).astype(np.float32), y, bounds.results(np.float32))
    if message:
        yield f"result: {message}"
    u = random.new_generator(1).uniform(0.5, 1.5, (1, y.size)).astype(np.float32).astype(np.float64)
    found, right = single.gradients(x, u)[0].astype(np.float32), bounds.f.gradients(x, u)[0]
    allowed = bounds.gradients(u[0], np.float32)
    for slot in single.slots:
        message = compare(found[slot.where], right[slot.where], allowed[slot.where])
        if message:
            yield f"gradient of {slot.name}: {message}"
    yield from single.problems


def layouts(trial: Trial) -> Iterator[str]:
    """Results and gradients do not depend on how operands and incoming gradients lie in memory.

    Each operand goes through all layouts in an order of its own, at changing scales.
    """
    rng = random.new_generator(3)
    draws = list(trial.scaled())
    for dtype in (np.float64, np.float32):
        orders = [rng.permutation(list(LAYOUTS)) for _ in range(len(trial.sample.inputs) + 1)]
        for turn, (*names, of_gradients) in enumerate(zip(*orders, strict=True)):
            scaled = draws[turn % len(draws)]
            plain = scaled.operands(dtype)
            with np.errstate(all="ignore"):
                gys = incoming(scaled, plain)
                messages = list(in_layout(scaled, dtype, plain, names, gys, of_gradients))
            pairs = zip((*names, of_gradients), (*plain, gys[0]), strict=True)
            told = [name for name, a in pairs if getattr(a, "dtype", None) is not None]
            yield from (f"{', '.join(told)}, {np.dtype(dtype)}, {message}" for message in messages)


def in_layout(
    trial: Trial, dtype: Any, plain: list[Any], names: Sequence[str], gys: list[Any], of_gradients: str
) -> Iterator[str]:
    """How the results and gradients in these layouts differ from those of C-contiguous operands."""
    xp = dispatch.backend_of(plain).xp
    laid = [LAYOUTS[n](xp, a) if hasattr(a, "dtype") else a for n, a in zip(names, plain, strict=True)]
    laid_gys = [None if gy is None else LAYOUTS[of_gradients](xp, gy) for gy in gys]
    straight, straight_gys = ([plainly(xp, a) for a in arrays] for arrays in (laid, laid_gys))
    results, gradients = trial.numbers(laid, laid_gys)
    right, right_gradients = trial.numbers(straight, straight_gys)
    pairs = [*zip(results, right, strict=True), *((gradients[i], right_gradients[i]) for i in gradients)]
    if not any(compare(a, b, 0.0) for a, b in pairs):
        return  # the same bits: what rounding may do need not be known
    bounds = trial.on([move(a, "cpu") if hasattr(a, "dtype") else a for a in straight]).bounds()
    if bounds is None:
        yield "a result that is not rounded differs"
        return
    allowed = split(2 * bounds.results(dtype), results)
    for number, (a, b, bound) in enumerate(zip(results, right, allowed, strict=True)):
        message = compare(a, b, bound)
        if message:
            yield f"result {number}: {message}"
    u = np.concatenate([move(gy, "cpu").ravel() for gy in straight_gys if gy is not None])
    of_inputs = 2 * bounds.gradients(u, dtype)
    for slot in bounds.f.slots:
        i = slot.positions[0]
        if i not in gradients:
            continue
        message = compare(gradients[i], right_gradients[i], of_inputs[slot.where].reshape(slot.shape))
        if message:
            yield f"gradient of {slot.name}: {message}"


def plainly(xp: ArrayModule, a: Any) -> Any:
    """An array as a C-contiguous copy in this machine's byte order; all else as it is."""
    return xp.array(a, a.dtype.newbyteorder("="), order="C") if hasattr(a, "dtype") else a


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
            shapes = [MetaArray(a.shape, a.dtype) if hasattr(a, "dtype") else a for a in operands]
            meta = outcome(trial, shapes)
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
    check.__name__: check
    for check in (forward, gradient, adjoint, exact, float32, layouts, nonfinite, freed, abstract)
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
WITH_TAILS = ("forward", "exact")


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
        ``adjoint`` (exact on integers, for linear operands), ``exact`` (all is, on integers),
        ``float32``, ``layouts``, ``nonfinite`` (NaN and infinities), ``freed``, ``abstract`` (shape and
        dtype rules), ``refused`` (invalid calls).
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
    rng = random.new_generator(seed)
    samples = case.samples(rng)
    tails = case.tails(rng) if case.tails else ()
    report = CaseReport(case.name, len(samples))
    for number, sample in enumerate([*samples, *tails]):
        trial = Trial(case, sample, place, report)
        for name in checks:
            if name in PER_SAMPLE and (number < len(samples) or name in WITH_TAILS):
                prefix = f"{name}, sample {number} {describe(sample)}: "
                report.failures += [prefix + message for message in attempt(PER_SAMPLE[name], trial)]
    if "refused" in checks:
        report.failures += refused(case, place)
    return report
