/* The thread pool. Tasks are numbered; each thread starts with its own run of them, so that a thread
 * meets the same images from layer to layer, and helps the others when its own are done.
 *
 * Workers spin for a moment before they sleep: a launch while they spin costs a tenth of a microsecond.
 * One call at a time uses the pool; a second Python thread that calls meanwhile computes alone. After a
 * fork the child has no workers: it starts its own at its next call. */
#include "parallel.h"

#include <atomic>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

namespace {

constexpr int MOST_THREADS = 64;
constexpr int SPINS = 3000; /* some 50 microseconds */

struct Share { /* a thread's run of tasks, on a cache line of its own: the others help themselves from it */
    alignas(64) std::atomic<ptrdiff_t> next;
    ptrdiff_t end;
};

struct Job {
    mk_task task;
    const void *context;
    int threads;
    Share shares[MOST_THREADS];
};

enum State { IDLE, LAUNCHED, RUNNING };

struct Worker {
    alignas(64) std::atomic<int> state;
    std::atomic<bool> asleep;
};

struct Scratch {
    void *memory;
    size_t bytes;
};

Job job;
Worker workers[MOST_THREADS]; /* workers[0] stands for the caller and is never launched */
Scratch scratches[MOST_THREADS];
int started = 1; /* threads there are, the caller counted; under `busy`, as are the three above */
std::atomic<int> wanted{1};
std::atomic<size_t> most_scratch{0};
pthread_mutex_t busy = PTHREAD_MUTEX_INITIALIZER; /* held by the call that uses the pool */
pthread_mutex_t bed = PTHREAD_MUTEX_INITIALIZER;  /* workers sleep on it */
pthread_cond_t alarm_clock = PTHREAD_COND_INITIALIZER;
thread_local bool alone = false; /* the thread that asked for it computes alone */
pthread_key_t own_scratch;       /* of a thread that computes alone */
pthread_once_t once = PTHREAD_ONCE_INIT;

inline void pause_a_little()
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

bool reserve(Scratch &scratch, size_t bytes)
{
    if (bytes <= scratch.bytes)
        return true;
    size_t whole_pages = (bytes + 4095) / 4096 * 4096;
    void *memory = nullptr;
    if (posix_memalign(&memory, 64, whole_pages))
        return false;
    free(scratch.memory);
    scratch = {memory, whole_pages};
    return true;
}

void note_scratch(size_t bytes) /* two threads that note at once may lose one: it is only looked at */
{
    if (bytes > most_scratch.load(std::memory_order_relaxed))
        most_scratch.store(bytes, std::memory_order_relaxed);
}

void take_tasks(int me)
{
    for (int k = 0; k < job.threads; k++) {
        Share &share = job.shares[(me + k) % job.threads];
        for (;;) {
            ptrdiff_t i = share.next.fetch_add(1, std::memory_order_relaxed);
            if (i >= share.end)
                break;
            job.task(job.context, i, scratches[me].memory);
        }
    }
}

void wait_for_launch(Worker &self)
{
    for (int spin = 0; spin < SPINS; spin++) {
        if (self.state.load(std::memory_order_acquire) == LAUNCHED)
            return;
        pause_a_little();
    }
    pthread_mutex_lock(&bed);
    self.asleep = true;
    while (self.state != LAUNCHED)
        pthread_cond_wait(&alarm_clock, &bed);
    self.asleep = false;
    pthread_mutex_unlock(&bed);
}

void *live(void *argument)
{
    int me = static_cast<int>(reinterpret_cast<intptr_t>(argument));
    Worker &self = workers[me];
    for (;;) {
        wait_for_launch(self);
        int launched = LAUNCHED; /* the caller may have finished alone and taken the launch back */
        if (self.state.compare_exchange_strong(launched, RUNNING)) {
            take_tasks(me);
            self.state.store(IDLE, std::memory_order_release);
        }
    }
    return nullptr;
}

/* Starts the workers that are missing. If the system gives fewer, fewer work. */
void start_workers()
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    while (started < wanted) {
        pthread_t thread;
        void *number = reinterpret_cast<void *>(static_cast<intptr_t>(started));
        if (pthread_create(&thread, &attributes, live, number))
            break;
        started++;
    }
    pthread_attr_destroy(&attributes);
}

void launch()
{
    bool somebody_sleeps = false;
    for (int t = 1; t < job.threads; t++) {
        workers[t].state = LAUNCHED;
        somebody_sleeps |= workers[t].asleep;
    }
    if (somebody_sleeps) {
        pthread_mutex_lock(&bed);
        pthread_cond_broadcast(&alarm_clock);
        pthread_mutex_unlock(&bed);
    }
}

void wait_for_workers()
{
    for (int t = 1; t < job.threads; t++) {
        int launched = LAUNCHED;
        if (workers[t].state.compare_exchange_strong(launched, IDLE))
            continue; /* it had not begun, and there is nothing left to do */
        for (int spin = 0; workers[t].state.load(std::memory_order_acquire) == RUNNING; spin++)
            if (spin < SPINS)
                pause_a_little();
            else
                sched_yield(); /* where other programs hold the processors, it may wait for this one */
    }
}

void forget_workers() /* in the child of a fork, only the thread that forked lives */
{
    for (Worker &worker : workers) {
        worker.state = IDLE;
        worker.asleep = false;
    }
    started = 1;
    alone = false;
    pthread_mutex_init(&busy, nullptr);
    pthread_mutex_init(&bed, nullptr);
    pthread_cond_init(&alarm_clock, nullptr);
}

void free_own_scratch(void *own)
{
    free(static_cast<Scratch *>(own)->memory);
    free(own);
}

void prepare()
{
    pthread_key_create(&own_scratch, free_own_scratch);
    pthread_atfork(nullptr, nullptr, forget_workers);
}

int run_alone(ptrdiff_t tasks, size_t scratch_bytes, mk_task task, const void *context)
{
    if (!scratch_bytes) { /* nothing to get, so nothing that can fail */
        for (ptrdiff_t i = 0; i < tasks; i++)
            task(context, i, nullptr);
        return 0;
    }
    Scratch *own = static_cast<Scratch *>(pthread_getspecific(own_scratch));
    if (!own) {
        own = static_cast<Scratch *>(calloc(1, sizeof(Scratch)));
        if (!own)
            return -1;
        pthread_setspecific(own_scratch, own);
    }
    if (!reserve(*own, scratch_bytes))
        return -1;
    note_scratch(scratch_bytes);
    for (ptrdiff_t i = 0; i < tasks; i++)
        task(context, i, own->memory);
    return 0;
}

int run_together(ptrdiff_t tasks, size_t scratch_bytes, mk_task task, const void *context)
{
    start_workers();
    int threads = started < wanted ? started : static_cast<int>(wanted);
    threads = tasks < threads ? static_cast<int>(tasks) : threads;
    for (int t = 0; t < threads; t++) {
        if (!reserve(scratches[t], scratch_bytes))
            return -1;
        job.shares[t].next.store(tasks * t / threads, std::memory_order_relaxed);
        job.shares[t].end = tasks * (t + 1) / threads;
    }
    note_scratch(threads * scratch_bytes);
    job.task = task;
    job.context = context;
    job.threads = threads;
    launch();
    take_tasks(0);
    wait_for_workers();
    return 0;
}

} // namespace

int mk_run(ptrdiff_t tasks, size_t scratch_bytes, mk_task task, const void *context)
{
    pthread_once(&once, prepare);
    if (tasks <= 1 || wanted == 1 || alone || pthread_mutex_trylock(&busy))
        return run_alone(tasks, scratch_bytes, task, context);
    int failed = run_together(tasks, scratch_bytes, task, context);
    pthread_mutex_unlock(&busy);
    return failed;
}

void mk_set_threads(int threads)
{
    wanted = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
}

int mk_get_threads(void)
{
    return wanted;
}

void mk_compute_alone(void)
{
    alone = true;
}

size_t mk_most_scratch(void)
{
    return most_scratch.exchange(0);
}
