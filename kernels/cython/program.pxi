# Programs: see include/program.h. Arrays that instructions read are kept, and never written.
from libc.stdlib cimport free, realloc

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

    cdef mk_instruction *add(self, mk_operation operation, int y, int x, int z=-1, int spare=-1) except NULL:
        """A new instruction, all else zero; valid until the next one."""
        cdef ptrdiff_t count = self.program.count
        cdef void *grown = realloc(self.program.instructions, (count + 1) * sizeof(mk_instruction))
        if self.places != NULL:
            raise ValueError("the program is finished")
        if grown == NULL:
            raise MemoryError("no memory for a program")
        self.program.instructions = <mk_instruction *>grown
        self.program.count = count + 1
        cdef mk_instruction *it = self.program.instructions + count
        memset(it, 0, sizeof(mk_instruction))
        it.operation, it.y, it.x, it.z, it.spare = operation, y, x, z, spare
        return it

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
        if which == DEPTHWISE and z >= 0:
            raise ValueError("depthwise convolution adds no residual")
        cdef mk_operation operation = (MK_DO_DEPTHWISE if which == DEPTHWISE else
                                       MK_DO_WINOGRAD if which == WINOGRAD else MK_DO_CONV)
        cdef mk_instruction *it = self.add(operation, y, x, z, spare)
        it.weight[0] = self.keep(w, p.K * p.KH * p.KW if which == DEPTHWISE else packed_size(which, p))
        it.weight[1] = self.keep(bias, p.K)
        it.conv, it.with_relu = p, with_relu

    def dense(self, int y, int x, ptrdiff_t rows, tuple w_shape, packed not None, bias, bint with_relu):
        """y = the dense layer of x, which has so many rows, through a ReLU if asked for"""
        cdef ptrdiff_t outputs, inputs
        outputs, inputs = w_shape
        cdef mk_instruction *it = self.add(MK_DO_DENSE, y, x)
        it.weight[0] = self.keep(packed, mk_dense_packed_size(inputs, outputs))
        it.weight[1] = self.keep(bias, outputs)
        it.size[0], it.size[1], it.size[2], it.with_relu = inputs, outputs, rows, with_relu

    def max_pool(self, int y, int x, int spare, cnp.ndarray y_like not None, cnp.ndarray x_like not None,
                 bint with_relu, *, kernel_size, stride, padding, dilation):
        """y = the maxima of x's windows, through a ReLU if asked for; spare: a byte or an int32 for each"""
        cdef mk_instruction *it = self.add(MK_DO_MAX_POOL, y, x, -1, spare)
        it.window = window_of(x_like, y_like, kernel_size, stride, padding, dilation)
        it.size[0], it.with_relu = x_like.shape[1], with_relu

    def avg_pool(self, int y, int x, cnp.ndarray y_like not None, cnp.ndarray x_like not None, *, kernel_size, stride,
                 padding, bint with_padding, float divisor):
        """y = the means of x's windows"""
        cdef mk_instruction *it = self.add(MK_DO_AVG_POOL, y, x)
        it.window = window_of(x_like, y_like, kernel_size, stride, padding, (1, 1))
        it.size[0], it.size[1], it.number[0] = x_like.shape[1], with_padding, divisor

    def mean_pool(self, int y, int x, cnp.ndarray y_like not None, cnp.ndarray x_like not None):
        """y = the means of x, cut into as many parts as y has pixels"""
        cdef mk_instruction *it = self.add(MK_DO_MEAN_POOL, y, x)
        it.window = window_of(x_like, y_like, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
        it.size[0] = x_like.shape[1]

    def largest_pool(self, int y, int x, int spare, cnp.ndarray y_like not None, cnp.ndarray x_like not None):
        """y = the maxima of x, cut in the same way; spare: an int64 for each"""
        cdef mk_instruction *it = self.add(MK_DO_LARGEST_POOL, y, x, -1, spare)
        it.window = window_of(x_like, y_like, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
        it.size[0] = x_like.shape[1]

    def batch_norm(self, int y, int x, tuple sizes, mean not None, var not None, w, b, float eps):
        """y = x normalized by fixed statistics; sizes: (outer, channels, inner) of an image"""
        cdef mk_instruction *it = self.add(MK_DO_BATCH_NORM, y, x)
        it.size[2], it.size[0], it.size[1] = sizes
        it.weight[0], it.weight[1] = self.keep(w, it.size[0]), self.keep(b, it.size[0])
        it.weight[2], it.weight[3] = self.keep(mean, it.size[0]), self.keep(var, it.size[0])
        it.number[0] = eps

    def group_norm(self, int y, int x, int spare, tuple sizes, ptrdiff_t groups, w, b, float eps):
        """y = x normalized by the statistics of groups of channels; sizes: the same; spare: 2 floats a group"""
        cdef mk_instruction *it = self.add(MK_DO_GROUP_NORM, y, x, -1, spare)
        it.size[3], it.size[0], it.size[1] = sizes
        it.weight[0], it.weight[1] = self.keep(w, it.size[0]), self.keep(b, it.size[0])
        it.size[2], it.number[0] = groups, eps

    def map(self, int y, int x, str name, ptrdiff_t n, float a=0, float b=0):
        """y = a function of each element of x, with its parameters"""
        cdef map_forward kernel = map_kernel(name)
        cdef mk_instruction *it = self.add(MK_DO_MAP, y, x)
        it.size[0], it.map, it.number[0], it.number[1] = n, kernel, a, b

    def number(self, int y, int x, str name, float number, ptrdiff_t n):
        """y = x + number, number - x or x · number: "add", "sub_from", "mul" """
        cdef of_number kernel = number_kernel(name)
        cdef mk_instruction *it = self.add(MK_DO_NUMBER, y, x)
        it.size[0], it.with_number, it.number[0] = n, kernel, number

    def two(self, int y, int x, int z, str name, ptrdiff_t n):
        """y = x + z, x - z or x · z: "add", "sub", "mul" """
        cdef of_two kernel = kernel_of_two(name)
        cdef mk_instruction *it = self.add(MK_DO_TWO, y, x, z)
        it.size[0], it.of_two_ = n, kernel

    def scale(self, int y, int x, int z, ptrdiff_t rows, ptrdiff_t n):
        """y[r] = x[r] · z[r], z a number for each row of n"""
        cdef mk_instruction *it = self.add(MK_DO_SCALE, y, x, z)
        it.size[0], it.size[1] = rows, n

    def softmax(self, int y, int x, tuple lines, bint logarithm):
        """y = the softmax of x, or its logarithm; lines: (outer, classes, inner) of an image"""
        cdef mk_instruction *it = self.add(MK_DO_LINES, y, x)
        it.size[0], it.size[1], it.size[2] = lines
        it.lines = mk_log_softmax_forward if logarithm else mk_softmax_forward

    def copy(self, int y, int x, ptrdiff_t y_floats, ptrdiff_t x_floats, tuple size, ptrdiff_t to, tuple to_step,
             ptrdiff_t from_, tuple from_step, bint zeros_around):
        """y[to + i · to_step] = x[from_ + i · from_step] for i in the range of `size` (4 numbers)"""
        for sizes, steps, start, floats_there in ((size, to_step, to, y_floats), (size, from_step, from_, x_floats)):
            reach = [start + sum((n - 1) * step for n, step in zip(sizes, steps) if sign * step > 0)
                     for sign in (1, -1)]
            if min(sizes) > 0 and not (reach[0] < floats_there and reach[1] >= 0):
                raise ValueError("the copy leaves its buffers")
        cdef mk_instruction *it = self.add(MK_DO_COPY, y, x)
        cdef int d
        for d in range(4):
            it.size[d], it.to_step[d], it.from_step[d] = size[d], to_step[d], from_step[d]
        it.to, it.from_, it.x_floats, it.y_floats, it.zeros_around = to, from_, x_floats, y_floats, zeros_around

    def finish(self, list places, ptrdiff_t arena, ptrdiff_t chunk, ptrdiff_t x_floats, tuple y_shape):
        """The buffers' places in an arena, in floats, and how many images a chunk has."""
        cdef ptrdiff_t count = len(places), i
        if self.places != NULL or chunk < 1 or count < 2:
            raise ValueError("the program is finished, or has no buffers or no chunk")
        self.places = <ptrdiff_t *>realloc(NULL, count * sizeof(ptrdiff_t))
        if self.places == NULL:
            raise MemoryError("no memory for a program")
        for i in range(count):
            self.places[i] = places[i]
        self.y_shape = y_shape
        self.program.places, self.program.buffers = self.places, count
        self.program.arena, self.program.chunk = arena, chunk
        self.program.x_floats, self.program.y_floats = x_floats, math.prod(y_shape)

    def __call__(self, cnp.ndarray x not None):
        """The results of images in one C-contiguous run."""
        cdef ptrdiff_t images = cnp.PyArray_DIM(x, 0)
        if self.places == NULL:
            raise ValueError("the program is not finished")
        cdef float *of = floats(x, images * self.program.x_floats)
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
