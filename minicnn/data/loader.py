"""The loader: from a data set to batches, in a repeatable order, with or without threads.

Nothing that is random in here depends on a worker or on time. The order is a function of
(seed, epoch), and what happens to a sample one of (seed, epoch, its index, how often the sampler has
given that index before in this pass).
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.core.promises import of_many
from minicnn.core.random import SampleKeys, new_generator, next_seed, to_generator, use_generator, use_keys
from minicnn.data.collate import default_collate, default_convert
from minicnn.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from minicnn.data.threads import ordered_in_threads
from minicnn.errors import OptionError

__all__ = ["DataLoader"]

_MAX_SEED = 2**63
_Key = tuple[int, ...]  # what a generator is made from


class DataLoader:
    """Iterate over a data set in batches.

    The signature is PyTorch's, and ``seed`` comes on top. Every sample is fetched with a generator of its
    own in force, made from (seed, epoch, index), so augmentation gives the same numbers for any number
    of workers and when an epoch is taken up in the middle. An index that a sampler repeats within a pass
    gets other numbers each time.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__getitem__`` and ``__len__``.
    batch_size : int or None
        Samples in a batch; None gives single samples.
    shuffle : bool, optional
        A new random order in each epoch.
    sampler : iterable, optional
        Gives the indices, instead of ``shuffle``.
    batch_sampler : iterable, optional
        Gives lists of indices, instead of all four above.
    num_workers : int
        Threads that prepare batches ahead of time; 0 prepares them in the caller's thread. The batches are
        the same, bit for bit and in order. Kernels that they call use no other thread.
    multiprocessing_context : {None, "spawn"}
        With ``"spawn"`` the workers are processes, for transforms in pure Python that would hold up threads;
        they start anew for each pass. Decoding and NumPy let other threads run and gain nothing by it.
    collate_fn : callable, optional
        From the samples, a list or another sequence, to a batch; :func:`default_collate` by default.
    pin_memory, pin_memory_device, persistent_workers, in_order
        Taken for PyTorch's sake, without effect; batches are always in order.
    drop_last : bool
        Leave out the last batch if it is not full.
    timeout : float
        Seconds to wait for a batch from the workers; 0 waits for ever.
    worker_init_fn : callable, optional
        Called as ``worker_init_fn(number)`` at the start of each worker.
    generator : minicnn.Generator or numpy.random.Generator, optional
        Where the seed of each pass comes from if ``seed`` is None; the one in force by default.
    prefetch_factor : int, optional
        Batches that each worker prepares ahead; 2 by default.
    seed : int, optional
        Makes every epoch repeatable: the order is a function of the seed and the epoch, unless a sampler
        has a generator of its own. The epoch counts up with every pass and can be set with
        :meth:`set_epoch`.

    Raises
    ------
    OptionError
        If options are out of range or exclude each other.

    Examples
    --------
    >>> loader = DataLoader(np.arange(5), batch_size=2)
    >>> [batch.tolist() for batch in loader]
    [[0, 1], [2, 3], [4]]
    >>> [batch.tolist() for batch in loader.batches(start=2)]
    [[4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: np.random.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        _check_batching(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.num_workers = num_workers
        self.multiprocessing_context = _check_context(multiprocessing_context)
        self.prefetch_factor = prefetch_factor or 2
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = to_generator(generator, "DataLoader")
        self.seed = None if seed is None else int(seed) % _MAX_SEED
        self.epoch = 0
        self.pin_memory = pin_memory
        self.persistent_workers = persistent_workers
        self.drop_last = drop_last
        if sampler is None:
            sampler = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.batch_sampler = batch_sampler
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; the one after it has ``epoch + 1``, and so on."""
        if epoch < 0:
            raise OptionError(expected="an epoch >= 0", got=str(epoch), op="DataLoader")
        self.epoch = int(epoch)

    def __len__(self) -> int:
        return len(self.batch_sampler if self.batch_sampler is not None else self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Any]:
        """One pass over the data, from batch number ``start`` on.

        The batches are those that a whole pass would give from there, bit for bit, if the loader has a
        seed and is at the same epoch; what comes before them is not loaded.

        Parameters
        ----------
        start : int
            How many batches to leave out.
        """
        if start < 0:
            raise OptionError(expected="start >= 0", got=str(start), op="DataLoader")
        key = self._next_key()
        tasks = itertools.islice(self._tasks(key), start, None)

        fetch = _Fetch(self.dataset, self.collate_fn, self.batch_sampler is not None, key)
        if not self.num_workers:
            return (fetch(task) for task in tasks)
        in_order: Callable[..., Iterator[Any]] = ordered_in_threads
        if self.multiprocessing_context is not None:
            from minicnn.data.processes import ordered_in_processes as in_order  # multiprocessing is heavy
        return in_order(
            fetch,
            tasks,
            workers=self.num_workers,
            ahead=self.num_workers * self.prefetch_factor,
            timeout=self.timeout or None,
            init=self.worker_init_fn,
        )

    def _next_key(self) -> tuple[int, int]:
        """(seed, epoch) of a new pass."""
        epoch = self.epoch
        self.epoch += 1
        if self.seed is not None:
            return self.seed, epoch
        return next_seed() if self.generator is None else int(self.generator.integers(_MAX_SEED)), 0

    def _tasks(self, key: tuple[int, int]) -> Iterator[tuple[Any, Sequence[_Key]]]:
        """What the sampler gives in one pass, drawing from a generator of its own, with the samples' keys."""
        own = new_generator(*key)
        seen: Counter[int] = Counter()
        nothing: Any = object()
        with use_generator(own):  # some draw at once, others when they are asked
            tasks = iter(self.batch_sampler if self.batch_sampler is not None else self.sampler)
        while True:
            with use_generator(own):
                task = next(tasks, nothing)
            if task is nothing:
                return
            if self.batch_sampler is not None:
                task = list(task)  # it may be one that can be gone through once
            indices: Any = [task] if self.batch_sampler is None else task
            yield task, _sample_keys(indices, key, seen)


class _Fetch(NamedTuple):
    """From what the sampler gave, with the samples' keys, to a batch or a single sample; in any worker."""

    dataset: Any
    collate_fn: Callable[[Any], Any]
    in_batches: bool
    key: tuple[int, int]

    def __call__(self, task: Any) -> Any:
        indices, keys = task
        if not self.in_batches:
            with use_keys(keys[0]):
                return self.collate_fn(self.dataset[indices])
        many = of_many(self.dataset)
        samples = None
        # What is asked for many samples at once, and a collate_fn, may be random too.
        with use_keys((*keys[0], 1) if keys else self.key, keys):
            if many is not None:
                samples = many(indices)
            if samples is None:
                samples = [self._sample(index, own) for index, own in zip(indices, keys, strict=True)]
            return self.collate_fn(samples)

    def _sample(self, index: Any, key: _Key) -> Any:
        with use_keys(key):
            return self.dataset[index]


def _sample_keys(indices: Sequence[Any], key: tuple[int, int], seen: Counter[int]) -> Sequence[_Key]:
    """What the randomness of samples depends on; ``seen`` counts the indices of this pass."""
    # By far the most are integers of Python, and not worth a call each.
    numbers = [index % _MAX_SEED if type(index) is int else _number(index) for index in indices]
    fresh = set(numbers)
    if len(fresh) == len(numbers) and seen.keys().isdisjoint(fresh):
        seen.update(fresh)
        return SampleKeys(key, numbers)
    return [_sample_key(number, key, seen) for number in numbers]


def _sample_key(number: int, key: tuple[int, int], seen: Counter[int]) -> _Key:
    before = seen[number]
    seen[number] += 1
    # Two numbers more for a repeat: one more makes the key of a whole batch.
    return (*key, number, before, 0) if before else (*key, number)


def _number(index: Any) -> int:
    """A number for an index, whatever it is."""
    if not isinstance(index, (int, np.integer)):
        index = zlib.crc32(repr(index).encode())  # unlike hash(), the same in every process
    return int(index) % _MAX_SEED


def _check_workers(workers: int, timeout: float, prefetch_factor: int | None, persistent: bool) -> None:
    if workers < 0 or timeout < 0:
        raise OptionError(
            expected="num_workers >= 0 and timeout >= 0", got=f"{workers} and {timeout}", op="DataLoader"
        )
    if prefetch_factor is not None and (prefetch_factor < 1 or not workers):
        raise OptionError(
            expected="prefetch_factor >= 1, with num_workers > 0",
            got=f"{prefetch_factor} with {workers} workers",
            op="DataLoader",
        )
    if persistent and not workers:
        raise OptionError(
            expected="num_workers > 0 for persistent_workers", got=f"{workers} workers", op="DataLoader"
        )


def _check_context(context: Any) -> str | None:
    """The start method of worker processes; None for threads."""
    method = getattr(context, "get_start_method", lambda: context)()
    if method not in (None, "spawn"):
        raise OptionError(
            expected='multiprocessing_context None (threads) or "spawn"',
            got=repr(method),
            hint="a forked process may hang where threads computed before",
            op="DataLoader",
        )
    return method


def _check_batching(
    batch_size: int | None, shuffle: bool | None, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if sampler is not None and shuffle:
        raise OptionError("shuffle and sampler exclude each other", op="DataLoader")
    if batch_sampler is not None and (batch_size != 1 or shuffle or sampler is not None or drop_last):
        raise OptionError(
            "batch_sampler excludes batch_size, shuffle, sampler and drop_last", op="DataLoader"
        )
    if batch_size is None and drop_last:
        raise OptionError("drop_last needs a batch_size", op="DataLoader")
