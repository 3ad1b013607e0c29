/* Memory for secrets, in the place of libsodium's sodium_allocarray and sodium_free. See secret_memory.c. */

#ifndef ZMQ_AUTH_SECRET_MEMORY_H
#define ZMQ_AUTH_SECRET_MEMORY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How many regions are kept at most. */
#define ZMQ_AUTH_SECRETS_KEPT_AT_MOST 256

/* A region of count * size bytes, or NULL with ENOMEM. The contents are not specified. */
void *zmq_auth_secret_allocarray (size_t count, size_t size);

/* Takes back a region of zmq_auth_secret_allocarray, wiped; NULL is no region. Ends the process where something was written in
   front of the region, or where it was taken back before. The region must be readable and writable. */
void zmq_auth_secret_free (void *secret);

/* How many regions are kept now. */
size_t zmq_auth_secrets_kept (void);

#ifdef __cplusplus
}
#endif

#endif
