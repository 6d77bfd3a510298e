# Programs: see include/program.h. Arrays that instructions read are kept, and never written.
from collections import namedtuple

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport calloc, free, realloc

cdef extern from "program.h" nogil:
    ctypedef enum mk_operation:
        MK_DO_CONV, MK_DO_WINOGRAD, MK_DO_DEPTHWISE, MK_DO_DENSE, MK_DO_MAX_POOL, MK_DO_AVG_POOL, MK_DO_MEAN_POOL
        MK_DO_LARGEST_POOL, MK_DO_BATCH_NORM, MK_DO_GROUP_NORM, MK_DO_MAP, MK_DO_NUMBER, MK_DO_TWO, MK_DO_SCALE
        MK_DO_COPY, MK_DO_LINES
    ctypedef struct mk_instruction:
        mk_operation operation
        int y, x, z, spare
        const float *weight[4]
        float number[2]
        int with_relu, zeros_around
        mk_conv conv
        mk_window window
        ptrdiff_t size[4]
        ptrdiff_t from_ "from"
        ptrdiff_t from_step[4]
        ptrdiff_t to
        ptrdiff_t to_step[4]
        ptrdiff_t x_floats, y_floats
        map_forward map
        of_number with_number
        of_two of_two_ "of_two"
        line_forward lines
    ctypedef struct mk_program:
        const mk_table *kernels
        mk_instruction *instructions
        ptrdiff_t count
        const ptrdiff_t *places
        ptrdiff_t buffers, arena, chunk, x_floats, y_floats
    int mk_execute(const mk_program *program, float *y, const float *x, ptrdiff_t images) noexcept
    ptrdiff_t mk_dense_packed_size "mk->dense_packed_size"(ptrdiff_t inputs, ptrdiff_t outputs) noexcept
    void mk_dense_pack "mk->dense_pack"(float *packed, const float *w, ptrdiff_t inputs, ptrdiff_t outputs) noexcept


# The kernels of the level in use, by the names of their operations.
cdef map_forward map_kernel(str name) except NULL:
    kernels = {
        "relu": <size_t>mk_relu_forward, "leaky_relu": <size_t>mk_leaky_relu_forward,
        "hardtanh": <size_t>mk_hardtanh_forward, "elu": <size_t>mk_elu_forward,
        "sigmoid": <size_t>mk_sigmoid_forward, "tanh": <size_t>mk_tanh_forward,
        "softplus": <size_t>mk_softplus_forward, "silu": <size_t>mk_silu_forward,
        "gelu": <size_t>mk_gelu_forward, "gelu_tanh": <size_t>mk_gelu_tanh_forward,
        "exp": <size_t>mk_exp_forward, "log": <size_t>mk_log_forward,
    }
    return <map_forward><size_t>kernels[name]


cdef of_number number_kernel(str name) except NULL:
    kernels = {
        "add": <size_t>mk_add_number, "sub_from": <size_t>mk_sub_from_number, "mul": <size_t>mk_mul_number,
    }
    return <of_number><size_t>kernels[name]


cdef of_two kernel_of_two(str name) except NULL:
    return <of_two><size_t>{"add": <size_t>mk_add, "sub": <size_t>mk_sub, "mul": <size_t>mk_mul}[name]


cdef ptrdiff_t packed_size(int which, mk_conv p) noexcept:
    return mk_winograd_packed_size(p.C, p.K) if which == WINOGRAD else mk_conv_packed_size(&p)


def conv_packed(str algorithm, cnp.ndarray y_like not None, cnp.ndarray x_like not None, cnp.ndarray w not None, *,
                stride, padding, dilation, groups):
    """The weights in the order in which "direct" or "winograd" reads them, for any number of images."""
    cdef mk_conv p = geometry(x_like, (<object>w).shape, y_like, stride, padding, dilation, groups)
    cdef int which = chosen(algorithm, p)
    cdef const float *weights = floats(w, cnp.PyArray_SIZE(w))
    packed = empty((packed_size(which, p),))
    if which == WINOGRAD:
        mk_winograd_pack(floats(packed, len(packed)), weights, p.C, p.K, 0)
    else:
        done(mk_conv_pack(floats(packed, len(packed)), weights, &p))
    return packed


def dense_packed(cnp.ndarray w not None):
    """The weights in the order in which a dense layer reads them."""
    cdef ptrdiff_t outputs = w.shape[0], inputs = w.shape[1]
    packed = empty((mk_dense_packed_size(inputs, outputs),))
    mk_dense_pack(floats(packed, len(packed)), floats(w, outputs * inputs), inputs, outputs)
    return packed


cdef mk_instruction blank(mk_operation operation, int y, int x, int z=-1, int spare=-1) noexcept:
    """An instruction on these buffers, all else zero."""
    cdef mk_instruction it
    memset(&it, 0, sizeof(mk_instruction))
    it.operation, it.y, it.x, it.z, it.spare = operation, y, x, z, spare
    return it


Buffer = namedtuple("Buffer", "place floats fixed")  # where it lies; floats for each image, and besides


cdef list touched(const mk_instruction *it):
    """(buffer, sizes of an image there, floats besides) of all buffers that an instruction names or needs.

    Numbers are Python's, which do not overflow.
    """
    cdef object a = it.size[0], b = it.size[1], c = it.size[2], d = it.size[3]
    cdef object operation = it.operation, x, y, z = None, spare = None, fixed = 0
    if operation in (MK_DO_CONV, MK_DO_WINOGRAD, MK_DO_DEPTHWISE):
        x, y = (it.conv.C, it.conv.H, it.conv.W), (it.conv.K, it.conv.OH, it.conv.OW)
        z = y if it.z != -1 else None
        if operation == MK_DO_DEPTHWISE:
            spare, fixed = (), mk_depthwise_workspace(&it.conv)
    elif operation == MK_DO_DENSE:
        x, y = (a, c), (b, c)
    elif operation in (MK_DO_MAX_POOL, MK_DO_AVG_POOL, MK_DO_MEAN_POOL, MK_DO_LARGEST_POOL):
        x, y = (a, it.window.H, it.window.W), (a, it.window.OH, it.window.OW)
        spare = {MK_DO_MAX_POOL: y, MK_DO_LARGEST_POOL: (2, *y)}.get(operation)
    elif operation == MK_DO_GROUP_NORM:
        x, y, spare = (a, b, d), (a, b, d), (2, c, d)
    elif operation in (MK_DO_BATCH_NORM, MK_DO_LINES):
        x = y = (a, b, c)
    elif operation == MK_DO_SCALE:
        x, y, z = (a, b), (a, b), (a,)
    elif operation == MK_DO_COPY:
        x, y = (reach_of((a, b, c, d), it.from_, it.from_step),), (reach_of((a, b, c, d), it.to, it.to_step),)
    else:
        x, y, z = (a,), (a,), (a,) if operation == MK_DO_TWO else None
    uses = [(it.y, y, 0), (it.x, x, 0), (it.z, z, 0), (it.spare, spare, fixed)]
    return [(number, sizes or (), besides) for number, sizes, besides in uses if sizes is not None or number != -1]


cdef object reach_of(tuple sizes, start, const ptrdiff_t *steps):
    """How many floats a copy needs in a buffer from its begin on; 0 if it leaves that, or copies nothing."""
    ways = [(n - 1) * <object>steps[d] for d, n in enumerate(sizes)]
    first, last = start + sum([way for way in ways if way < 0]), start + sum([way for way in ways if way > 0])
    return last + 1 if min(sizes) > 0 and first >= 0 else 0


cdef int check(mk_instruction *it, list buffers, arena, chunk) except -1:
    """Refuse an instruction that touches what is not in its buffers, or a buffer that is not in the arena."""
    table = 2 * len(buffers)  # of the buffers' addresses, in front of them
    for number, sizes, besides in touched(it):
        if not 0 <= number < len(buffers):
            raise ValueError(f"an instruction names buffer {number} of {len(buffers)}")
        buffer, floats = buffers[number], math.prod(sizes) if sizes else 0
        if min(sizes, default=1) < 1 or floats > buffer.floats or besides > buffer.fixed:
            raise ValueError(f"an instruction takes {sizes} and {besides} of buffer {number}, which has {buffer}")
        if number > 1 and not table <= buffer.place <= arena - buffer.floats * chunk - buffer.fixed:
            raise ValueError(f"buffer {number}, {buffer}, leaves the arena of {arena}")
    if it.y == 0 or 0 <= it.spare < 2:
        raise ValueError("an instruction writes the images, or works in images or results")
    if it.spare > 1 and it.y > 1:
        y, spare = buffers[it.y], buffers[it.spare]
        if max(y.place, spare.place) < min([b.place + b.floats * chunk + b.fixed for b in (y, spare)]):
            raise ValueError("an instruction writes its result over its working memory")
    if it.operation == MK_DO_LARGEST_POOL and buffers[it.spare].place % 2:
        raise ValueError("an index of 8 bytes lies between two of them")
    if it.operation == MK_DO_GROUP_NORM and it.size[0] % it.size[2]:
        raise ValueError("channels that are not so many groups")
    if it.operation == MK_DO_COPY:
        it.y_floats, it.x_floats = buffers[it.y].floats, buffers[it.x].floats
    return 0


cdef class Program:
    """Kernels called one after another, on buffers given by numbers: 0 is the images, 1 the results.

    Instructions are added in their order. Arrays named `x_like` and `y_like` show the shapes of x and y for some
    images; other sizes are those of one image. `finish` says where the buffers lie.
    """

    cdef mk_program program
    cdef ptrdiff_t *places
    cdef list kept
    cdef tuple y_shape
    cdef readonly ptrdiff_t weights  # how many constant numbers there are

    @property
    def chunk(self):
        """How many images are computed at a time, at most."""
        return self.program.chunk

    def __cinit__(self):
        self.program.kernels = mk
        self.kept = []

    def __dealloc__(self):
        free(self.program.instructions)
        free(self.places)

    cdef int add(self, mk_instruction it) except -1:
        """One more instruction, complete."""
        cdef ptrdiff_t count = self.program.count
        if self.places != NULL:
            raise ValueError("the program is finished")
        cdef void *grown = realloc(self.program.instructions, (count + 1) * sizeof(mk_instruction))
        if grown == NULL:
            raise MemoryError("no memory for a program")
        self.program.instructions = <mk_instruction *>grown
        self.program.instructions[count] = it
        self.program.count = count + 1
        return 0

    cdef const float *keep(self, array, ptrdiff_t n) except? NULL:
        """The address of n constant numbers, which live as long as the program; NULL for None."""
        self.kept.append(array)
        self.weights += n if array is not None else 0
        return floats_or_null(array, n)

    def conv(self, int y, int x, int z, int spare, str algorithm, cnp.ndarray y_like not None,
             cnp.ndarray x_like not None, tuple w_shape, w not None, bias, bint with_relu, *, stride, padding,
             dilation, groups):
        """y = the convolution of x, plus bias and z, through a ReLU if asked for; depthwise weights are not packed"""
        cdef mk_conv p = geometry(x_like, w_shape, y_like, stride, padding, dilation, groups)
        cdef int which = chosen(algorithm, p)
        covering(window_of(x_like, y_like, w_shape[2:], stride, padding, dilation))
        if which == DEPTHWISE and z >= 0:
            raise ValueError("depthwise convolution adds no residual")
        cdef mk_operation operation = (MK_DO_DEPTHWISE if which == DEPTHWISE else
                                       MK_DO_WINOGRAD if which == WINOGRAD else MK_DO_CONV)
        cdef mk_instruction it = blank(operation, y, x, z, spare)
        if math.prod(w_shape) > w.size:
            raise ValueError("the weights are fewer than their shape says")
        it.weight[0] = self.keep(w, p.K * p.KH * p.KW if which == DEPTHWISE else packed_size(which, p))
        it.weight[1] = self.keep(bias, p.K)
        it.conv, it.with_relu = p, with_relu
        self.add(it)

    def dense(self, int y, int x, ptrdiff_t rows, tuple w_shape, packed not None, bias, bint with_relu):
        """y = the dense layer of x, which has so many rows, through a ReLU if asked for"""
        cdef ptrdiff_t outputs, inputs
        outputs, inputs = w_shape
        cdef mk_instruction it = blank(MK_DO_DENSE, y, x)
        if math.prod(w_shape) > packed.size:
            raise ValueError("the weights are fewer than their shape says")
        it.weight[0] = self.keep(packed, mk_dense_packed_size(inputs, outputs))
        it.weight[1] = self.keep(bias, outputs)
        it.size[0], it.size[1], it.size[2], it.with_relu = inputs, outputs, rows, with_relu
        self.add(it)

    def max_pool(self, int y, int x, int spare, cnp.ndarray y_like not None, cnp.ndarray x_like not None,
                 bint with_relu, *, kernel_size, stride, padding, dilation):
        """y = the maxima of x's windows, through a ReLU if asked for; spare: a byte or an int32 for each"""
        cdef mk_instruction it = blank(MK_DO_MAX_POOL, y, x, -1, spare)
        it.window = covering(window_of(x_like, y_like, kernel_size, stride, padding, dilation))
        it.size[0], it.with_relu = x_like.shape[1], with_relu
        self.add(it)

    def avg_pool(self, int y, int x, cnp.ndarray y_like not None, cnp.ndarray x_like not None, *, kernel_size, stride,
                 padding, bint with_padding, float divisor):
        """y = the means of x's windows"""
        cdef mk_instruction it = blank(MK_DO_AVG_POOL, y, x)
        it.window = covering(window_of(x_like, y_like, kernel_size, stride, padding, (1, 1)))
        it.size[0], it.size[1], it.number[0] = x_like.shape[1], with_padding, divisor
        self.add(it)

    def mean_pool(self, int y, int x, cnp.ndarray y_like not None, cnp.ndarray x_like not None):
        """y = the means of x, cut into as many parts as y has pixels"""
        cdef mk_instruction it = blank(MK_DO_MEAN_POOL, y, x)
        it.window = window_of(x_like, y_like, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
        it.size[0] = x_like.shape[1]
        self.add(it)

    def largest_pool(self, int y, int x, int spare, cnp.ndarray y_like not None, cnp.ndarray x_like not None):
        """y = the maxima of x, cut in the same way; spare: an int64 for each"""
        cdef mk_instruction it = blank(MK_DO_LARGEST_POOL, y, x, -1, spare)
        it.window = window_of(x_like, y_like, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
        it.size[0] = x_like.shape[1]
        self.add(it)

    def batch_norm(self, int y, int x, tuple sizes, mean not None, var not None, w, b, float eps):
        """y = x normalized by fixed statistics; sizes: (outer, channels, inner) of an image"""
        cdef mk_instruction it = blank(MK_DO_BATCH_NORM, y, x)
        it.size[2], it.size[0], it.size[1] = sizes
        it.weight[0], it.weight[1] = self.keep(w, it.size[0]), self.keep(b, it.size[0])
        it.weight[2], it.weight[3] = self.keep(mean, it.size[0]), self.keep(var, it.size[0])
        it.number[0] = eps
        self.add(it)

    def group_norm(self, int y, int x, int spare, tuple sizes, ptrdiff_t groups, w, b, float eps):
        """y = x normalized by the statistics of groups of channels; sizes: the same; spare: 2 floats a group"""
        cdef mk_instruction it = blank(MK_DO_GROUP_NORM, y, x, -1, spare)
        it.size[3], it.size[0], it.size[1] = sizes
        it.weight[0], it.weight[1] = self.keep(w, it.size[0]), self.keep(b, it.size[0])
        it.size[2], it.number[0] = groups, eps
        self.add(it)

    def map(self, int y, int x, str name, ptrdiff_t n, float a=0, float b=0):
        """y = a function of each element of x, with its parameters"""
        cdef map_forward kernel = map_kernel(name)
        cdef mk_instruction it = blank(MK_DO_MAP, y, x)
        it.size[0], it.map, it.number[0], it.number[1] = n, kernel, a, b
        self.add(it)

    def number(self, int y, int x, str name, float number, ptrdiff_t n):
        """y = x + number, number - x or x · number: "add", "sub_from", "mul" """
        cdef of_number kernel = number_kernel(name)
        cdef mk_instruction it = blank(MK_DO_NUMBER, y, x)
        it.size[0], it.with_number, it.number[0] = n, kernel, number
        self.add(it)

    def two(self, int y, int x, int z, str name, ptrdiff_t n):
        """y = x + z, x - z or x · z: "add", "sub", "mul" """
        cdef of_two kernel = kernel_of_two(name)
        cdef mk_instruction it = blank(MK_DO_TWO, y, x, z)
        it.size[0], it.of_two_ = n, kernel
        self.add(it)

    def scale(self, int y, int x, int z, ptrdiff_t rows, ptrdiff_t n):
        """y[r] = x[r] · z[r], z a number for each row of n"""
        cdef mk_instruction it = blank(MK_DO_SCALE, y, x, z)
        it.size[0], it.size[1] = rows, n
        self.add(it)

    def softmax(self, int y, int x, tuple lines, bint logarithm):
        """y = the softmax of x, or its logarithm; lines: (outer, classes, inner) of an image"""
        cdef mk_instruction it = blank(MK_DO_LINES, y, x)
        it.size[0], it.size[1], it.size[2] = lines
        it.lines = mk_log_softmax_forward if logarithm else mk_softmax_forward
        self.add(it)

    def copy(self, int y, int x, tuple size, ptrdiff_t to, tuple to_step, ptrdiff_t from_, tuple from_step,
             bint zeros_around):
        """y[to + i · to_step] = x[from_ + i · from_step] for i in the range of `size` (4 numbers)"""
        cdef mk_instruction it = blank(MK_DO_COPY, y, x)
        cdef int d
        for d in range(4):
            it.size[d], it.to_step[d], it.from_step[d] = size[d], to_step[d], from_step[d]
        it.to, it.from_, it.zeros_around = to, from_, zeros_around
        self.add(it)

    def finish(self, list places, list floats, list fixed, arena, chunk, tuple y_shape):
        """Buffer b lies at places[b] in an arena of so many floats, and has floats[b] for each image and fixed[b]
        besides; a chunk has so many images at most. Instructions that leave their buffers are refused."""
        cdef ptrdiff_t count = len(places), i
        if self.places != NULL or count < 2 or len(floats) != count or len(fixed) != count:
            raise ValueError("the program is finished, or lacks buffers")
        if chunk < 1 or min(*floats, *fixed) < 0 or floats[1] != math.prod(y_shape):
            raise ValueError("no images in a chunk, buffers of no size, or results of another shape")
        if not 2 * count <= arena <= INT64_MAX // 4:
            raise ValueError("an arena of no such size")
        buffers = [Buffer(*buffer) for buffer in zip(places, floats, fixed)]
        for i in range(self.program.count):
            check(self.program.instructions + i, buffers, arena, chunk)
        self.places = <ptrdiff_t *>calloc(count, sizeof(ptrdiff_t))
        if self.places == NULL:
            raise MemoryError("no memory for a program")
        for i in range(count):
            self.places[i] = places[i]
        self.y_shape = y_shape
        self.program.places, self.program.buffers = self.places, count
        self.program.arena, self.program.chunk = arena, chunk
        self.program.x_floats, self.program.y_floats = floats[0], floats[1]

    def __call__(self, cnp.ndarray x not None):
        """The results of images in one C-contiguous run."""
        if self.places == NULL or x.ndim == 0:
            raise ValueError("the program is not finished, or there are no images")
        cdef ptrdiff_t images = cnp.PyArray_DIM(x, 0)
        cdef float *of = floats(x, images * <object>self.program.x_floats)
        cdef cnp.ndarray y = empty((images, *self.y_shape))
        cdef float *to = <float *>cnp.PyArray_DATA(y)
        cdef int failed = 0
        if images == 0:
            return y
        with nogil:
            failed = mk_execute(&self.program, to, of, images)
        done(failed)
        return y


def depthwise_workspace(cnp.ndarray x not None, cnp.ndarray w not None, cnp.ndarray y not None, *, stride, padding,
                        dilation, groups):
    """How many floats a depthwise convolution of such shapes needs as its workspace"""
    cdef mk_conv p = geometry(x, (<object>w).shape, y, stride, padding, dilation, groups)
    return mk_depthwise_workspace(&p)
