/* The table of the kernels of one CPU level. */
#include "mk.h"

extern "C" {
extern const mk_table MK(table);

#define MK_TEXT(level) #level
#define MK_NAME(level) MK_TEXT(level)
#define MK_FILL(result, name, arguments) MK(name),
const mk_table MK(table) = {MK_NAME(MK_LEVEL), MK_KERNELS(MK_FILL)};
}
