"""Work done ahead of time in processes of their own, in order: for transforms in pure Python.

Processes are spawned, never forked: a fork of a process that computes in threads may hang. Each is led by a
thread here, which gives it a task and waits for the answer before it gives the next: at no time do both sides
write, so neither can wait for the other with its pipe full. The arrays of a result come through memory that
both sides see; only their shapes, and what is no array, go through the pipe.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import functools
import itertools
import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, resource_tracker, util
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.core.threads import set_num_threads
from minicnn.data.threads import ordered_in_threads
from minicnn.errors import OptionError

__all__ = ["ordered_in_processes"]

_ALIGNMENT = 64  # bytes
_STOPS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 5  # seconds for all workers to end by themselves
_REASONS = (
    "the system may have had no memory for it, also for what is shared (/dev/shm), or the script has no "
    "`if __name__ == '__main__':` around what it runs"
)
_NO_ROOM = (
    "no room for {} bytes of a batch in memory shared between processes (/dev/shm); fewer workers, a smaller "
    "batch or prefetch_factor take less, `docker run --shm-size` gives more, and threads need none"
)


class _Array(NamedTuple):
    """Stands for an array in a result that goes through a pipe."""

    offset: int
    shape: tuple[int, ...]
    dtype: str
    is_tensor: bool


class _Answer(NamedTuple):
    """A result on its way."""

    value: Any  # with an _Array for each array
    block: str | None  # of shared memory, where these lie; None if there is none


class _Failure(NamedTuple):
    """What a worker sends instead."""

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
    OptionError
        If the function cannot be sent.
    RuntimeError
        If a worker ends by itself, as when the system has no memory for it.
    OSError
        If there is no room in shared memory for a result.
    TimeoutError
        If a result takes longer than ``timeout``.
    """
    pool: list[_Worker] = []
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    ending = threading.Event()
    # Also when the program ends in the middle of a pass: workers do not heed multiprocessing's SIGTERM.
    end = util.Finalize(None, _end, (pool, idle, ending), exitpriority=0)

    def ask(task: Any) -> Callable[[], Any]:
        worker = idle.get()
        try:
            return functools.partial(worker.result, None if ending.is_set() else worker.ask(task))
        finally:
            idle.put(worker)

    try:
        for number in range(workers):
            pool.append(_Worker(function, init, number))
            idle.put(pool[-1])
        answers = ordered_in_threads(
            ask, tasks, workers=workers, ahead=ahead, timeout=timeout, init=None, stop=end
        )
        with contextlib.closing(answers):  # type: ignore[type-var]
            for answer in answers:
                yield answer()
    finally:
        end()


def _end(pool: Sequence[_Worker], idle: queue.SimpleQueue[_Worker], ending: threading.Event) -> None:
    """All at the same time, each after the task that it has; whoever takes too long is killed."""
    ending.set()
    try:
        latest = time.monotonic() + _PATIENCE
        with contextlib.suppress(queue.Empty):
            for _ in pool:
                idle.get(timeout=max(0, latest - time.monotonic())).close()
        for worker in pool:
            worker.join(max(0, latest - time.monotonic()))
    finally:  # also when a second Ctrl-C comes
        for worker in pool:
            worker.kill()
            idle.put(worker)  # a thread may be waiting for one


@contextlib.contextmanager
def _stops_blocked() -> Iterator[None]:
    """SIGINT and SIGTERM wait until the end of the block; a process that is started never gets them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # or its own start would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Worker:
    """A process, seen from its parent."""

    def __init__(self, function: Callable[[Any], Any], init: Any, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (function, init, number, theirs)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        try:
            with _stops_blocked():
                self._process.start()
        except (OSError, RuntimeError):  # no process could be started
            raise
        except Exception as error:  # an open file, a lock, a lambda
            raise OptionError(
                f"the data set, its transforms or collate_fn cannot be sent to a process: {error}",
                hint="write them as classes or functions of a module, or leave out multiprocessing_context",
                op="DataLoader",
            ) from error
        theirs.close()
        self._blocks: dict[str, SharedMemory] = {}
        self._free: list[str] = []  # blocks whose contents have been taken
        self._given: set[str] = set()  # names of all blocks that there may be

    def ask(self, task: Any) -> _Answer | _Failure | None:
        """What it answers, None if it has ended; waits for it, in one thread at a time."""
        name = self._free.pop() if self._free else None
        fresh = f"minicnn_{os.urandom(6).hex()}"  # short, as macOS wants it
        self._given.add(fresh)
        try:
            self._pipe.send((task, name, fresh))
            if self._pipe not in connection.wait([self._pipe, self._process.sentinel]):
                return None
            answer = self._pipe.recv()
        except (EOFError, ConnectionError):
            return None
        if not isinstance(answer, _Answer) or answer.block != fresh:
            self._given.discard(fresh)
        if name is not None and isinstance(answer, _Answer):
            if answer.block is None:
                self._free.append(name)
            elif answer.block != name:  # it was too small, and is no more
                self._blocks.pop(name).close()
                self._given.discard(name)
        return answer

    def result(self, answer: _Answer | _Failure | None) -> Any:
        """From an answer to the result, copied out of the shared memory."""
        if answer is None:
            self._process.join()
            raise RuntimeError(
                f"DataLoader: a worker process ended with exit code {self._process.exitcode}; {_REASONS}"
            )
        if isinstance(answer, _Failure):
            raise _raised(answer)
        if answer.block is None:
            return answer.value
        if answer.block not in self._blocks:
            self._blocks[answer.block] = SharedMemory(answer.block)
        result = _restored(answer.value, self._blocks[answer.block].buf)
        self._free.append(answer.block)
        return result

    def close(self) -> None:
        """Let it end by itself."""
        self._pipe.close()

    def join(self, timeout: float) -> None:
        """Wait until it has."""
        self._process.join(timeout)

    def kill(self) -> None:
        """End it if it has not, and remove what it shared."""
        self._process.kill()
        self._process.join()
        for block in self._blocks.values():
            block.close()
        if self._process.exitcode:  # it could not do that itself
            for name in self._given:
                _remove(name)
        self._given.clear()


def _remove(name: str) -> None:
    """Remove a block of shared memory, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        block = SharedMemory(name)
        block.close()
        block.unlink()


def _raised(failure: _Failure) -> BaseException:
    error = failure.error or RuntimeError("in a DataLoader's worker process")
    error.add_note(failure.text)
    return error


# -- in the worker -------------------------------------------------------------------------------


def _work(function: Callable[[Any], Any], init: Any, number: int, pipe: Any) -> None:
    """The life of a worker process; it ends when its parent closes the pipe, or with it."""
    _pass_over_stops()
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
            task, name, fresh = pipe.recv()
            _send(pipe, failure or _answer_to(function, task, name, fresh, blocks))
    except (EOFError, ConnectionError):
        pass
    finally:
        for block in blocks.values():
            block.close()
            with contextlib.suppress(FileNotFoundError):
                block.unlink()


def _pass_over_stops() -> None:
    """A terminal or a scheduler sends its signals to all processes; the parent needs its batches to the last.

    Handlers, and no mask: unlike SIG_IGN, they are not handed on to the programs that a transform starts.
    """
    for number in _STOPS:
        signal.signal(number, lambda number, frame: None)
    if hasattr(signal, "pthread_sigmask"):
        for number in _STOPS:
            signal.siginterrupt(number, False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)


def _answer_to(
    function: Callable[[Any], Any], task: Any, name: str | None, fresh: str, blocks: dict[str, SharedMemory]
) -> _Answer | _Failure:
    try:
        return _answer(function(task), name, fresh, blocks)
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> _Failure:
    text = traceback.format_exc()
    try:
        copy.copy(error)  # is made as the parent will make it
    except Exception:
        return _Failure(None, text)
    return _Failure(error, text)


def _send(pipe: Any, answer: _Answer | _Failure) -> None:
    """The answer or, if it cannot be sent, the reason; nothing has been written then."""
    try:
        pipe.send(answer)
    except (EOFError, ConnectionError):
        raise
    except Exception as error:
        _send(pipe, _Failure(None, answer.text) if isinstance(answer, _Failure) else _failure(error))


def _answer(result: Any, name: str | None, fresh: str, blocks: dict[str, SharedMemory]) -> _Answer:
    """The result, its arrays in the block of that name or, where they do not fit, in one of a fresh name."""
    arrays: list[np.ndarray] = []
    value = _detached(result, arrays, itertools.count())
    if not arrays:
        return _Answer(value, None)
    offsets = list(itertools.accumulate((_padded(array.nbytes) for array in arrays), initial=0))
    size = max(offsets.pop(), 1)
    if name is not None and blocks[name].size < size:
        old = blocks.pop(name)
        old.close()
        old.unlink()
        name = None
    if name is None:
        name = fresh
        blocks[name] = _new_block(name, size)
    for array, offset in zip(arrays, offsets, strict=True):
        np.ndarray(array.shape, array.dtype, blocks[name].buf, offset)[...] = array
    return _Answer(_placed(value, offsets), name)


def _new_block(name: str, size: int) -> SharedMemory:
    """Memory that is really there: what only has a size ends the process where it is written to."""
    block = SharedMemory(name, create=True, size=size)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(block._fd, 0, size)  # type: ignore[attr-defined]
    except OSError as error:
        block.close()
        block.unlink()
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(errno.ENOSPC, _NO_ROOM.format(f"{size:,}")) from error
    return block


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _detached(value: Any, arrays: list[np.ndarray], count: Iterator[int]) -> Any:
    """The result with each array of numbers replaced by an :class:`_Array` whose offset is its number."""
    array = value.array if type(value) is Tensor else value
    if type(array) is np.ndarray and array.dtype.kind in "biufc":
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
    """The same list, tuple or dict with the function applied to each part; all else as it is."""
    kind: Any = type(value)
    if kind is dict:
        return {key: function(part) for key, part in value.items()}
    if issubclass(kind, tuple) and hasattr(kind, "_make"):
        return kind._make(map(function, value))
    return kind(map(function, value)) if kind in (list, tuple) else value
