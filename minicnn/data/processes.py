"""Work done ahead of time in processes of their own, in order: for transforms in pure Python.

Processes are spawned, never forked: a fork of a process that computes in threads may hang. A result's arrays
come through memory that both sides see, one block for each result that is on its way; only their shapes, and
what is no array, go through a pipe.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing import connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.core.threads import set_num_threads
from minicnn.errors import OptionError

__all__ = ["ordered_in_processes"]

_ALIGNMENT = 64  # bytes
_REASONS = (
    "the system may have had no memory for it, or the script has no `if __name__ == '__main__':` around "
    "what it runs"
)


class _Array(NamedTuple):
    """Stands for an array in a result that goes through a pipe."""

    offset: int
    shape: tuple[int, ...]
    dtype: str
    is_tensor: bool


class _Failure(NamedTuple):
    """What a worker sends instead of a result."""

    error: BaseException | None  # None if it cannot be sent
    text: str


def ordered_in_processes(
    function: Callable[[Any], Any],
    tasks: Iterator[Any],
    *,
    workers: int,
    ahead: int,
    timeout: float | None,
    init: Callable[[int], None] | None,
) -> Iterator[Any]:
    """``map(function, tasks)``, several ahead of time in spawned processes.

    Parameters
    ----------
    function : callable
        Sent to each process once; what it refers to must be importable there.
    tasks, workers, ahead, timeout, init
        As for :func:`~minicnn.data.threads.ordered_in_threads`.

    Raises
    ------
    RuntimeError
        If a worker ends by itself, as when the system has no memory for it.
    TimeoutError
        If a result takes longer than ``timeout``.
    """
    pool = [_Worker(function, init, number) for number in range(workers)]
    turns = itertools.cycle(pool)
    pending: deque[_Worker] = deque()

    def submit(count: int) -> None:
        for task in itertools.islice(tasks, count):
            worker = next(turns)
            worker.ask(task)
            pending.append(worker)

    try:
        submit(ahead)
        while pending:
            result = pending.popleft().answer(timeout)
            submit(1)
            yield result
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """A process, seen from its parent."""

    def __init__(self, function: Callable[[Any], Any], init: Any, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (function, init, number, theirs)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        try:
            self._process.start()
        except (TypeError, AttributeError) as error:  # a lambda, an open file, a lock
            raise OptionError(
                f"the data set, its transforms or collate_fn cannot be sent to a process: {error}",
                hint="write them as classes or functions of a module, or leave out multiprocessing_context",
                op="DataLoader",
            ) from error
        theirs.close()
        self._blocks: dict[str, SharedMemory] = {}
        self._free: list[str] = []  # blocks whose contents have been taken

    def ask(self, task: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # answer() tells that it has ended
            self._pipe.send((task, self._free.pop() if self._free else None))

    def answer(self, timeout: float | None) -> Any:
        """The result of the oldest task that was asked."""
        ready = connection.wait([self._pipe, self._process.sentinel], timeout)
        if not ready:
            raise TimeoutError(f"DataLoader: no batch came within {timeout} seconds")
        try:
            value, name, released = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join()
            raise RuntimeError(
                f"DataLoader: a worker process ended with exit code {self._process.exitcode}; {_REASONS}"
            ) from error
        if isinstance(value, _Failure):
            raise _raised(value)
        for old in released:
            self._blocks.pop(old).close()
        if name is None:
            return value
        if name not in self._blocks:
            self._blocks[name] = SharedMemory(name)
        result = _restored(value, self._blocks[name].buf)
        self._free.append(name)
        return result

    def end(self) -> None:
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        for block in self._blocks.values():
            block.close()
            if self._process.exitcode:  # it could not do that itself
                with contextlib.suppress(FileNotFoundError):
                    block.unlink()


def _raised(failure: _Failure) -> BaseException:
    error = failure.error or RuntimeError("in a DataLoader's worker process")
    error.add_note(failure.text)
    return error


# -- in the worker -------------------------------------------------------------------------------


def _work(function: Callable[[Any], Any], init: Any, number: int, pipe: Any) -> None:
    """The life of a worker process; it ends when its parent closes the pipe, or with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    set_num_threads(1)
    blocks: dict[str, SharedMemory] = {}
    failure = None
    try:
        if init is not None:
            init(number)
    except BaseException as error:  # every task reports it
        failure = _failure(error)
    try:
        while True:
            task, name = pipe.recv()
            if failure is None:
                try:
                    pipe.send(_answer(function(task), name, blocks))
                    continue
                except BaseException as error:
                    sent = _failure(error)
            else:
                sent = failure
            _send_failure(pipe, sent)
    except (EOFError, ConnectionError):
        pass
    finally:
        for block in blocks.values():
            block.close()
            with contextlib.suppress(FileNotFoundError):
                block.unlink()


def _failure(error: BaseException) -> _Failure:
    return _Failure(error, traceback.format_exc())


def _send_failure(pipe: Any, failure: _Failure) -> None:
    try:
        copy.copy(failure.error)  # is made as the parent will make it
        pipe.send((failure, None, ()))
    except (EOFError, ConnectionError):
        raise
    except Exception:  # an error that cannot be sent, or made again
        pipe.send((_Failure(None, failure.text), None, ()))


def _answer(
    result: Any, name: str | None, blocks: dict[str, SharedMemory]
) -> tuple[Any, str | None, tuple[str, ...]]:
    """What is sent: the result with its arrays in a block, the block's name, and blocks that are no more."""
    arrays: list[np.ndarray] = []
    value = _detached(result, arrays, itertools.count())
    if not arrays:
        return value, name if name in blocks else None, ()
    offsets = list(itertools.accumulate((_padded(array.nbytes) for array in arrays), initial=0))
    released: tuple[str, ...] = ()
    if name is None or blocks[name].size < offsets[-1]:
        if name is not None:
            released = (name,)
            old = blocks.pop(name)
            old.close()
            old.unlink()
        block = SharedMemory(create=True, size=max(offsets[-1], 1))
        blocks[block.name] = block
        name = block.name
    buffer = blocks[name].buf
    for array, offset in zip(arrays, offsets, strict=False):
        np.ndarray(array.shape, array.dtype, buffer, offset)[...] = array
    return _placed(value, offsets), name, released


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _detached(value: Any, arrays: list[np.ndarray], count: Iterator[int]) -> Any:
    """The result with each array of numbers replaced by an :class:`_Array` whose offset is its number."""
    array = value.array if type(value) is Tensor else value
    if isinstance(array, np.ndarray) and array.dtype.kind in "biufc":
        arrays.append(array)
        return _Array(next(count), array.shape, array.dtype.str, type(value) is Tensor)
    return _mapped(value, lambda part: _detached(part, arrays, count))


def _placed(value: Any, offsets: list[int]) -> Any:
    """With offsets in place of numbers."""
    if isinstance(value, _Array):
        return value._replace(offset=offsets[value.offset])
    return _mapped(value, lambda part: _placed(part, offsets))


def _restored(value: Any, buffer: Any) -> Any:
    """The result with its arrays, copied out of the block."""
    if isinstance(value, _Array):
        array = np.ndarray(value.shape, value.dtype, buffer, value.offset).copy()
        return Tensor.wrap(array) if value.is_tensor else array
    return _mapped(value, lambda part: _restored(part, buffer))


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same list, tuple or mapping with the function applied to each part; other values as they are."""
    if isinstance(value, dict):
        return {key: function(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(function, value))
    if type(value) in (list, tuple):
        return type(value)(map(function, value))
    return value
