/* Memory for results and workspaces, kept for the next one that needs as much (frame/memory.cpp). */
#ifndef MK_MEMORY_H
#define MK_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void *mk_take(size_t bytes);   /* aligned to 64 bytes, contents undefined; NULL if there is none */
void mk_give(void *memory);    /* back; NULL is allowed */
size_t mk_capacity(const void *memory); /* bytes that a block holds */
void mk_trim(void);            /* give what is kept back to the system */
size_t mk_kept(void);          /* bytes that are kept */

#ifdef __cplusplus
}
#endif

#endif
