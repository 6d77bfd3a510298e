/* The one place that asks the CPU what it can do. */
#include "mk.h"

#include <string.h>

extern "C" {
extern const mk_table mk_table_baseline;
#ifdef MK_X86
extern const mk_table mk_table_avx2, mk_table_avx512;
#endif
}

namespace {

struct Level {
    const mk_table *table;
    bool (*is_there)();
};

const Level levels[] = {
/* best first; setup.py has the compiler's flags of each */
#ifdef MK_X86
    {&mk_table_avx512,
     [] {
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("fma");
     }},
    {&mk_table_avx2, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }},
#endif
    {&mk_table_baseline, [] { return true; }},
};

} // namespace

const mk_table *mk_choose(const char *wanted)
{
    for (const Level &level : levels)
        if (level.is_there() && (!wanted || strcmp(wanted, level.table->level) == 0))
            return level.table;
    return nullptr;
}

const mk_table *mk = mk_choose(nullptr);
