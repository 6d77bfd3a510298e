/* A step of training needs the same memory as the step before. Blocks that were given back are kept by size,
 * so that the next step finds them, their pages already mapped: fresh pages cost more than most kernels.
 *
 * Sizes are rounded up to eight steps per doubling. No more is kept than was in use at the busiest moment. */
#include "memory.h"

#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace {

constexpr size_t ALIGNMENT = 64, SMALLEST = 256;
constexpr int STEPS = 8, CLASSES = 50 * STEPS;
constexpr size_t HUGE_PAGE = size_t(2) << 20, LARGE = 2 * HUGE_PAGE;
constexpr size_t SPARE = size_t(64) << 20; /* kept in any case */

struct alignas(ALIGNMENT) Block {
    Block *next;
    int size_class;
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Block *kept[CLASSES];
size_t kept_bytes, used_bytes, most_used;

size_t class_bytes(int size_class)
{
    return (SMALLEST / STEPS * (STEPS + size_class % STEPS)) << (size_class / STEPS);
}

int class_of(size_t bytes)
{
    int size_class = 0;
    while (class_bytes(size_class + STEPS) <= bytes)
        size_class += STEPS;
    while (class_bytes(size_class) < bytes)
        size_class++;
    return size_class;
}

Block *fresh(int size_class)
{
    size_t bytes = sizeof(Block) + class_bytes(size_class), alignment = bytes < LARGE ? ALIGNMENT : HUGE_PAGE;
    void *memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes))
        return nullptr;
#ifdef MADV_HUGEPAGE
    if (bytes >= LARGE)
        madvise(memory, bytes, MADV_HUGEPAGE); /* a wish: kernels walk through planes of a page each */
#endif
    return static_cast<Block *>(memory);
}

void release_all()
{
    for (Block *&first : kept)
        while (first) {
            Block *next = first->next;
            free(first);
            first = next;
        }
    kept_bytes = 0;
}

} // namespace

void *mk_take(size_t bytes)
{
    if (bytes > (size_t(1) << 46))
        return nullptr;
    int size_class = class_of(bytes);
    pthread_mutex_lock(&lock);
    Block *block = kept[size_class];
    if (block) {
        kept[size_class] = block->next;
        kept_bytes -= class_bytes(size_class);
    } else if (!(block = fresh(size_class))) {
        release_all();
        block = fresh(size_class);
    }
    if (block) {
        block->size_class = size_class;
        used_bytes += class_bytes(size_class);
        most_used = used_bytes > most_used ? used_bytes : most_used;
    }
    pthread_mutex_unlock(&lock);
    return block ? block + 1 : nullptr;
}

void mk_give(void *memory)
{
    if (!memory)
        return;
    Block *block = static_cast<Block *>(memory) - 1;
    size_t bytes = class_bytes(block->size_class);
    pthread_mutex_lock(&lock);
    used_bytes -= bytes;
    bool keep = used_bytes + kept_bytes + bytes <= most_used + SPARE;
    if (keep) {
        block->next = kept[block->size_class];
        kept[block->size_class] = block;
        kept_bytes += bytes;
    }
    pthread_mutex_unlock(&lock);
    if (!keep)
        free(block);
}

size_t mk_capacity(const void *memory)
{
    return class_bytes((static_cast<const Block *>(memory) - 1)->size_class);
}

void mk_trim(void)
{
    pthread_mutex_lock(&lock);
    release_all();
    most_used = used_bytes;
    pthread_mutex_unlock(&lock);
}

size_t mk_kept(void)
{
    return kept_bytes;
}
