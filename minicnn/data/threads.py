"""Work done ahead of time in threads, with the results in order."""

from __future__ import annotations

import contextvars
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from minicnn.core.threads import compute_alone

__all__ = ["ordered_in_threads"]


class _Job:
    """One task on its way through a worker."""

    def __init__(self, task: Any) -> None:
        self.task = task
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def wait(self, timeout: float | None) -> Any:
        """The result, or the error that came instead of it."""
        if not self.done.wait(timeout):
            raise TimeoutError(f"DataLoader: no batch came within {timeout} seconds")
        if self.error is not None:
            raise self.error
        return self.result


def ordered_in_threads(
    function: Callable[[Any], Any],
    tasks: Iterator[Any],
    *,
    workers: int,
    ahead: int,
    timeout: float | None,
    init: Callable[[int], None] | None,
    stop: Callable[[], object] = lambda: None,
) -> Iterator[Any]:
    """``map(function, tasks)``, computed ahead in threads.

    Tasks are drawn in the caller's thread. An error, of ``function`` or of the tasks, is raised where its
    result would have come. The threads end with the iterator, also when it is dropped or closed half-way.

    Parameters
    ----------
    function : callable
        Called from several threads at once.
    tasks : iterator
        Its arguments.
    workers : int
        The number of threads.
    ahead : int
        At most so many results wait to be taken.
    timeout : float or None
        Seconds to wait for one result.
    init : callable, optional
        Called with the worker's number first.
    stop : callable, optional
        Called at the end: what a thread is waiting for in ``function`` will not come any more.

    Raises
    ------
    TimeoutError
        If a result takes longer than ``timeout``.

    Examples
    --------
    >>> squares = ordered_in_threads(
    ...     lambda n: n * n, iter(range(5)), workers=2, ahead=3, timeout=None, init=None
    ... )
    >>> list(squares)
    [0, 1, 4, 9, 16]
    """
    jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
    stopping = threading.Event()

    threads = [
        # Each runs in a copy of the caller's context, so that no_grad and the like hold there too.
        threading.Thread(
            target=contextvars.copy_context().run,
            args=(_work, function, jobs, stopping, init, n),
            daemon=True,
        )
        for n in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        coming = _begun(tasks, jobs)
        pending = deque(itertools.islice(coming, ahead))
        while pending:
            result = pending.popleft().wait(timeout)
            pending.extend(itertools.islice(coming, 1))
            yield result
    finally:
        stopping.set()
        for _ in threads:
            jobs.put(None)
        stop()
        latest = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            # The garbage collector may close the iterator from within one of its own workers.
            if thread.ident is not None and thread is not threading.current_thread():
                # A worker that hangs cannot be ended; it is a daemon.
                thread.join(None if latest is None else max(0.0, latest - time.monotonic()))


def _begun(tasks: Iterator[Any], jobs: queue.SimpleQueue[_Job | None]) -> Iterator[_Job]:
    """The jobs of all tasks, each handed to the workers when it is asked for."""
    try:
        for task in tasks:
            job = _Job(task)
            jobs.put(job)
            yield job
    except Exception as error:  # what was begun before it comes first
        failed = _Job(None)
        failed.error = error
        failed.done.set()
        yield failed


def _work(
    function: Callable[[Any], Any],
    jobs: queue.SimpleQueue[_Job | None],
    stopping: threading.Event,
    init: Callable[[int], None] | None,
    number: int,
) -> None:
    """The life of one worker."""
    failure: BaseException | None = None
    try:
        if init is not None:
            init(number)
    except BaseException as error:  # every job of this worker reports it
        failure = error
    while (job := jobs.get()) is not None and not stopping.is_set():
        try:
            if failure is not None:
                raise failure
            compute_alone()  # each time: a backend may be loaded late
            job.result = function(job.task)
        except BaseException as error:  # the caller has to see it, whatever it is, or it would wait for ever
            job.error = error
        job.done.set()
        del job  # or it would keep its batch alive while waiting for the next
