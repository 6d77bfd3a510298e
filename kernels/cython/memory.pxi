# Arrays whose memory comes from the pool of frame/memory.cpp and goes back to it, through NumPy's own
# interface for allocators (NEP 49): they own their data as any array does.
from cpython.pycapsule cimport PyCapsule_New
from libc.string cimport memcpy, memset

cdef extern from "memory.h" nogil:
    void *mk_take(size_t bytes) noexcept
    void mk_give(void *memory) noexcept
    size_t mk_capacity(const void *memory) noexcept
    void mk_trim() noexcept
    size_t mk_kept() noexcept

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *memory, size_t size) noexcept nogil
        void (*free)(void *ctx, void *memory, size_t size) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        unsigned char version
        PyDataMemAllocator allocator
    ctypedef struct PyArrayObject_fields:
        PyObject *mem_handler
    int NPY_ARRAY_OWNDATA


cdef void *pool_malloc(void *ctx, size_t size) noexcept nogil:
    return mk_take(size)


cdef void *pool_calloc(void *ctx, size_t count, size_t size) noexcept nogil:
    cdef void *memory = mk_take(count * size)
    if memory != NULL:
        memset(memory, 0, count * size)
    return memory


cdef void *pool_realloc(void *ctx, void *memory, size_t size) noexcept nogil:
    if memory != NULL and size <= mk_capacity(memory):
        return memory
    cdef void *larger = mk_take(size)
    if larger != NULL and memory != NULL:
        memcpy(larger, memory, mk_capacity(memory))
        mk_give(memory)
    return larger


cdef void pool_free(void *ctx, void *memory, size_t size) noexcept nogil:
    mk_give(memory)


cdef PyDataMem_Handler pool_handler
memcpy(pool_handler.name, b"minicnn", 8)
pool_handler.version = 1
pool_handler.allocator.ctx = NULL
pool_handler.allocator.malloc = pool_malloc
pool_handler.allocator.calloc = pool_calloc
pool_handler.allocator.realloc = pool_realloc
pool_handler.allocator.free = pool_free
cdef object pool = PyCapsule_New(&pool_handler, "mem_handler", NULL)


def empty(tuple shape):
    """A float32 array of that shape, its contents undefined, its memory from the pool."""
    cdef cnp.npy_intp sizes[64]
    cdef size_t count = 1
    cdef int d, ndim = len(shape)
    if ndim > 64:
        raise ValueError(f"an array has at most 64 dimensions, got {ndim}")
    for d in range(ndim):
        sizes[d] = shape[d]
        count *= sizes[d]
    cdef void *memory = mk_take(4 * (count if count else 1))
    if memory == NULL:
        raise MemoryError(f"no memory for {count} numbers")
    cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(ndim, sizes, cnp.NPY_FLOAT32, memory)
    Py_INCREF(pool)
    (<PyArrayObject_fields *>array).mem_handler = <PyObject *>pool
    cnp.PyArray_ENABLEFLAGS(array, NPY_ARRAY_OWNDATA)
    return array


cdef float *workspace(ptrdiff_t count) except NULL:
    """Memory for a kernel, to be given back with mk_give."""
    cdef void *memory = mk_take(4 * (count if count > 0 else 1))
    if memory == NULL:
        raise MemoryError(f"no memory for a workspace of {4 * count} bytes")
    return <float *>memory


def trim():
    """Give the memory that is kept for later back to the system."""
    mk_trim()


def kept():
    """How many bytes are kept for later."""
    return mk_kept()
