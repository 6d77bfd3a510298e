"""Programs of random instructions: each is refused, or runs without touching what is not its own.

Run by test_program_bounds.py in a process of its own, as a mistake ends it. Prints of how many programs with
the same instruction at least ran, and were refused.
"""

import math
import sys

import numpy as np

from minicnn import _native

BUFFERS = 6
FLOATS = 96  # what most buffers have for an image
SIZES = (1, 1, 2, 3, 4, 5, 8)
WRONG = (0, -1, -7, 97, 1000, 2**31, 2**40, 2**62)


class Random:
    """Arguments of instructions: mostly such as could be right."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def one_of(self, values):
        return values[self.rng.integers(len(values))]

    def rarely(self):
        return self.rng.random() < 0.03

    def size(self):
        return self.one_of(WRONG if self.rarely() else SIZES)

    def sizes(self, count):
        return tuple(self.size() for _ in range(count))

    def buffer(self):
        return int(self.rng.integers(-2, BUFFERS + 2) if self.rarely() else self.rng.integers(BUFFERS))

    def written(self):
        return self.buffer() if self.rarely() else int(self.rng.integers(1, BUFFERS))

    def spare(self):
        return self.buffer() if self.rarely() else int(self.rng.integers(2, BUFFERS))

    def like(self, channels=None):
        """Images that show a shape; they have no memory of their own."""
        sizes = [abs(n) % 1000 for n in self.sizes(3)]
        return np.broadcast_to(np.float32(0), (2, channels or sizes[0], *sizes[1:]))

    def vector(self, length, optional=False):
        if optional and self.rng.random() < 0.3:
            return None
        length = length + 1 if self.rarely() else length
        return np.ones(length if 0 <= length < 10**6 else 3, np.float32)

    def window(self):
        sizes = ("kernel_size", "stride", "dilation")
        pairs = {name: tuple(min(n, 1000) for n in self.sizes(2)) for name in sizes}
        return pairs | {"padding": tuple((self.one_of((0, 0, 1, 2)), self.one_of((0, 1))) for _ in range(2))}

    # -- one for each instruction ------------------------------------------------------------

    def conv(self, add):
        kind = self.one_of(("direct", "winograd", "depthwise"))
        x, options = self.like(), self.window()
        w_shape = (self.size(), x.shape[1], *options.pop("kernel_size"))
        groups = 1
        if kind == "winograd":
            w_shape = (w_shape[0], x.shape[1], 3, 3)
            options = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1)}
        elif kind == "depthwise":
            groups, w_shape = x.shape[1], (x.shape[1], 1, *w_shape[2:])
        options["groups"] = groups
        y = np.broadcast_to(np.float32(0), (2, abs(w_shape[0]) % 1000, *x.shape[2:]))
        w = np.ones([min(abs(n), 50) for n in w_shape], np.float32)
        if kind != "depthwise":
            w = _native.conv_packed(kind, y, x, w, **options)
        z = self.buffer() if self.rng.random() < 0.3 and kind != "depthwise" else -1
        bias = self.vector(w_shape[0], optional=True)
        add.conv(
            self.written(), self.buffer(), z, self.spare(), kind, y, x, w_shape, w, bias, True, **options
        )

    def dense(self, add):
        outputs, inputs = self.sizes(2)
        packed = _native.dense_packed(np.ones([min(abs(n), 50) for n in (outputs, inputs)], np.float32))
        rows, bias = self.size(), self.vector(outputs, optional=True)
        add.dense(self.written(), self.buffer(), rows, (outputs, inputs), packed, bias, False)

    def max_pool(self, add):
        x = self.like()
        y = self.like(x.shape[1])
        add.max_pool(self.written(), self.buffer(), self.spare(), y, x, True, **self.window())

    def avg_pool(self, add):
        x, window = self.like(), self.window()
        window.pop("dilation")
        y = self.like(x.shape[1])
        add.avg_pool(self.written(), self.buffer(), y, x, **window, with_padding=True, divisor=0)

    def mean_pool(self, add):
        x = self.like()
        add.mean_pool(self.written(), self.buffer(), self.like(x.shape[1]), x)

    def largest_pool(self, add):
        x = self.like()
        add.largest_pool(self.written(), self.buffer(), self.spare(), self.like(x.shape[1]), x)

    def batch_norm(self, add):
        sizes = self.sizes(3)
        vectors = [self.vector(sizes[1], optional=i > 1) for i in range(4)]
        add.batch_norm(self.written(), self.buffer(), sizes, *vectors, 0.1)

    def group_norm(self, add):
        sizes = self.sizes(3)
        vectors = [self.vector(sizes[1], optional=True) for _ in range(2)]
        add.group_norm(self.written(), self.buffer(), self.spare(), sizes, self.size(), *vectors, 0.1)

    def map(self, add):
        add.map(self.written(), self.buffer(), self.one_of(("relu", "exp", "gelu")), math.prod(self.sizes(2)))

    def number(self, add):
        add.number(self.written(), self.buffer(), "mul", 2.0, math.prod(self.sizes(2)))

    def two(self, add):
        add.two(self.written(), self.buffer(), self.buffer(), "add", math.prod(self.sizes(2)))

    def scale(self, add):
        add.scale(self.written(), self.buffer(), self.buffer(), *self.sizes(2))

    def softmax(self, add):
        add.softmax(self.written(), self.buffer(), self.sizes(3), False)

    def copy(self, add):
        steps = [tuple(int(self.rng.integers(-3, 20)) for _ in range(4)) for _ in range(2)]
        starts = self.rng.integers(-2, 40, 2).tolist()
        add.copy(self.written(), self.buffer(), self.sizes(4), starts[0], steps[0], starts[1], steps[1], True)

    def finish(self, program):
        """Buffers in a row, some of which are too small or lie in each other."""
        chunk = self.one_of((1, 2, 3))
        floats = [1 if self.rarely() else FLOATS for _ in range(BUFFERS)]
        fixed = [0, 0, *(self.one_of((0, 64)) for _ in range(BUFFERS - 2))]
        places, arena = [0, 0], 2 * BUFFERS
        for n, more in zip(floats[2:], fixed[2:], strict=True):
            places.append(arena - (5 if self.rarely() else 0))
            arena += n * chunk + more
        arena -= 40 if self.rarely() else 0
        program.finish(places, floats, fixed, arena, chunk, (floats[1],))
        return np.ones((self.one_of((1, 2, 5)), floats[0]), np.float32)


INSTRUCTIONS = (
    "conv", "dense", "max_pool", "avg_pool", "mean_pool", "largest_pool", "batch_norm", "group_norm", "map",
    "number", "two", "scale", "softmax", "copy",
)  # fmt: skip


def main(first, count):
    ran = dict.fromkeys(INSTRUCTIONS, 0)
    refused = dict.fromkeys(INSTRUCTIONS, 0)
    for seed in range(first, first + count):
        random, program = Random(seed), _native.Program()
        names = [random.one_of(INSTRUCTIONS) for _ in range(random.one_of((1, 1, 2)))]
        try:
            for name in names:
                getattr(random, name)(program)
            images = random.finish(program)
        except (MemoryError, OverflowError, ValueError):
            for name in names:
                refused[name] += 1
            continue
        program(images)
        for name in names:
            ran[name] += 1
    print(min(ran.values()), min(refused.values()))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
