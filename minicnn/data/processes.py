"""Work done ahead of time in processes of their own, in order: for transforms in pure Python.

Processes are spawned, never forked: a fork of a process that computes in threads may hang. A result's arrays
come through memory that both sides see, one block for each result that is on its way; only their shapes, and
what is no array, go through a pipe.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, resource_tracker, util
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.tensor import Tensor
from minicnn.core.threads import set_num_threads
from minicnn.data.threads import in_order
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
    # Also when the program ends in the middle of a pass: workers do not heed multiprocessing's SIGTERM.
    end = util.Finalize(None, _end, (pool,), exitpriority=0)

    def ask(task: Any) -> Callable[[], Any]:
        worker = next(turns)
        worker.ask(task)
        return lambda: worker.answer(timeout)

    try:
        pool.extend(_Worker(function, init, number) for number in range(workers))
        turns = itertools.cycle(pool)
        yield from in_order(ask, tasks, ahead)
    finally:
        end()


def _end(pool: Sequence[_Worker]) -> None:
    """All at the same time; whoever takes too long is killed."""
    for worker in pool:
        worker.close()
    try:
        latest = time.monotonic() + _PATIENCE
        for worker in pool:
            worker.join(max(0, latest - time.monotonic()))
    finally:  # also when a second Ctrl-C comes
        for worker in pool:
            worker.kill()


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
                with contextlib.suppress(FileNotFoundError):
                    block.unlink()


def _raised(failure: _Failure) -> BaseException:
    error = failure.error or RuntimeError("in a DataLoader's worker process")
    error.add_note(failure.text)
    return error


# -- in the worker -------------------------------------------------------------------------------


def _work(function: Callable[[Any], Any], init: Any, number: int, pipe: Any) -> None:
    """The life of a worker process; it ends when its parent closes the pipe, or with it.

    A terminal or a scheduler sends its signals to all processes; the parent needs its batches to the last.
    """
    for number_of_signal in _STOPS:
        signal.signal(number_of_signal, signal.SIG_IGN)
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
        block = _new_block(max(offsets[-1], 1))
        blocks[block.name] = block
        name = block.name
    buffer = blocks[name].buf
    for array, offset in zip(arrays, offsets, strict=False):
        np.ndarray(array.shape, array.dtype, buffer, offset)[...] = array
    return _placed(value, offsets), name, released


def _new_block(size: int) -> SharedMemory:
    """Memory that is really there: what only has a size ends the process where it is written to."""
    block = SharedMemory(create=True, size=size)
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
