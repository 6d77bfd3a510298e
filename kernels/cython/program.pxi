# Programs: see include/program.h. Arrays that instructions read are kept, and never written.
from libc.stdlib cimport free, realloc

cdef extern from "program.h" nogil:
    ctypedef enum mk_operation:
        MK_DO_CONV, MK_DO_WINOGRAD, MK_DO_DEPTHWISE, MK_DO_DENSE, MK_DO_MAX_POOL, MK_DO_AVG_POOL, MK_DO_MEAN_POOL
        MK_DO_BATCH_NORM, MK_DO_MAP, MK_DO_ADD, MK_DO_COPY, MK_DO_LINES
    ctypedef struct mk_instruction:
        mk_operation operation
        int y, x, z, spare
        const float *weight[4]
        float number[2]
        int with_relu
        mk_conv conv
        mk_window window
        ptrdiff_t size[4]
        ptrdiff_t from_ "from"
        ptrdiff_t from_step[4]
        ptrdiff_t to
        ptrdiff_t to_step[4]
        ptrdiff_t x_floats, y_floats
        map_forward map
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
             cnp.ndarray x_like not None, cnp.ndarray w not None, bias, bint with_relu, *, stride, padding, dilation,
             groups):
        """y = the convolution of x, plus the bias, plus z, through a ReLU if asked for; the weights are packed here"""
        cdef mk_conv p = geometry(x_like, (<object>w).shape, y_like, stride, padding, dilation, groups)
        cdef int which = chosen(algorithm, p)
        cdef const float *weights = floats(w, cnp.PyArray_SIZE(w))
        cdef mk_instruction *it
        if which == DEPTHWISE:
            if z >= 0:
                raise ValueError("depthwise convolution adds no residual")
            it = self.add(MK_DO_DEPTHWISE, y, x, z, spare)
            it.weight[0] = self.keep(w, cnp.PyArray_SIZE(w))
        else:
            packed = empty((mk_winograd_packed_size(p.C, p.K) if which == WINOGRAD else mk_conv_packed_size(&p),))
            it = self.add(MK_DO_WINOGRAD if which == WINOGRAD else MK_DO_CONV, y, x, z, spare)
            it.weight[0] = self.keep(packed, len(packed))
            if which == WINOGRAD:
                mk_winograd_pack(<float *>it.weight[0], weights, p.C, p.K, 0)
            else:
                done(mk_conv_pack(<float *>it.weight[0], weights, &p))
        it.weight[1] = self.keep(bias, p.K)
        it.conv, it.with_relu = p, with_relu

    def dense(self, int y, int x, cnp.ndarray w not None, bias, bint with_relu):
        """y = the dense layer of x, through a ReLU if asked for; the weights are packed here"""
        cdef ptrdiff_t outputs = w.shape[0], inputs = w.shape[1]
        cdef const float *weights = floats(w, outputs * inputs)
        cdef mk_instruction *it = self.add(MK_DO_DENSE, y, x)
        packed = empty((mk_dense_packed_size(inputs, outputs),))
        it.weight[0], it.weight[1] = self.keep(packed, len(packed)), self.keep(bias, outputs)
        mk_dense_pack(<float *>it.weight[0], weights, inputs, outputs)
        it.size[0], it.size[1], it.with_relu = inputs, outputs, with_relu

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

    def batch_norm(self, int y, int x, ptrdiff_t channels, ptrdiff_t pixels, mean not None, var not None, w, b, float eps):
        """y = x normalized by fixed statistics"""
        cdef mk_instruction *it = self.add(MK_DO_BATCH_NORM, y, x)
        it.weight[0], it.weight[1] = self.keep(w, channels), self.keep(b, channels)
        it.weight[2], it.weight[3] = self.keep(mean, channels), self.keep(var, channels)
        it.size[0], it.size[1], it.number[0] = channels, pixels, eps

    def relu(self, int y, int x, ptrdiff_t n):
        """y = max(0, x)"""
        cdef mk_instruction *it = self.add(MK_DO_MAP, y, x)
        it.size[0], it.map = n, mk_relu_forward

    def add_up(self, int y, int x, int z, ptrdiff_t n):
        """y = x + z"""
        cdef mk_instruction *it = self.add(MK_DO_ADD, y, x, z)
        it.size[0] = n

    def softmax(self, int y, int x, tuple lines, bint logarithm):
        """y = the softmax of x, or its logarithm; lines: (outer, classes, inner) of an image"""
        cdef mk_instruction *it = self.add(MK_DO_LINES, y, x)
        it.size[0], it.size[1], it.size[2] = lines
        it.lines = mk_log_softmax_forward if logarithm else mk_softmax_forward

    def copy(self, int y, int x, ptrdiff_t y_floats, ptrdiff_t x_floats, tuple size, ptrdiff_t to, tuple to_step,
             ptrdiff_t from_, tuple from_step):
        """y[to + i · to_step] = x[from_ + i · from_step] for i in the range of `size` (4 numbers), zeros elsewhere"""
        for sizes, steps, start, floats_there in ((size, to_step, to, y_floats), (size, from_step, from_, x_floats)):
            reach = [start + sum((n - 1) * step for n, step in zip(sizes, steps) if sign * step > 0) for sign in (1, -1)]
            if min(sizes) > 0 and not (reach[0] < floats_there and reach[1] >= 0):
                raise ValueError("the copy leaves its buffers")
        cdef mk_instruction *it = self.add(MK_DO_COPY, y, x)
        cdef int d
        for d in range(4):
            it.size[d], it.to_step[d], it.from_step[d] = size[d], to_step[d], from_step[d]
        it.to, it.from_, it.x_floats, it.y_floats = to, from_, x_floats, y_floats

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
        cdef int failed
        with nogil:
            failed = mk_execute(&self.program, to, of, images)
        done(failed)
        return y


def depthwise_workspace(cnp.ndarray x not None, cnp.ndarray w not None, cnp.ndarray y not None, *, stride, padding,
                        dilation, groups):
    """How many floats a depthwise convolution of such shapes needs as its workspace"""
    cdef mk_conv p = geometry(x, (<object>w).shape, y, stride, padding, dilation, groups)
    return mk_depthwise_workspace(&p)
