/* Recycled memory for secrets, replacing libsodium's sodium_allocarray and sodium_free.

   libzmq keeps six secrets of each CURVE connection in libsodium's memory: each has its own page, between inaccessible pages and
   locked into RAM. Allocating and freeing a region takes ten system calls, a connection sixty, which was 40 % of a server's
   processor time for a short connection. Here, a freed region is wiped and kept for the next secret of its size:

       libsodium ── sodium_malloc ──▶ in use ── free: check the mark, wipe ──▶ kept (at most 256) ── allocarray ──▶ in use
                                                                                 │ displaced by a newer one
       libsodium ◀── sodium_free ─────────────────────────────────────────────────┘

   A secret is at the end of a libsodium region, so that a write past it still faults:

       | libsodium's own | mark | secret | no access
                         ^ region       ^ end of a page

   The mark is checked when the secret is freed, as libsodium checks its canary. It is wiped with the secret, so that freeing a
   secret twice fails the same check. A kept region is all zero; if it isn't when it is reused, somebody has written to it in
   between, and the process ends. (A read in between goes unnoticed; on a region that libsodium has unmapped it would fault.)

   sodium_mprotect_* can't be used on these regions. libzmq doesn't use them. */

#include "secret_memory.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

/* The longest region that is kept, mark included. With libsodium's 16 bytes it fits in the smallest page size. Longer regions are
   allocated and freed each time: a client chooses the length of its INITIATE, and must not choose how much is kept for it. */
#define LONGEST_KEPT ((size_t) 4096 - 16)

/* Precedes each secret. 32 bytes on every machine, a multiple of 16, so that secrets are aligned as libsodium aligns them. */
struct mark
{
    /* The length of the region: mark and secret. */
    uint64_t length;
    /* The process that allocated it, as a count of forks: a child doesn't inherit locks. */
    uint32_t forks;
    uint32_t is_locked;
    /* Random, combined with the fields above, so that a stray write to any of them is noticed. */
    unsigned char canary[16];
};

_Static_assert (sizeof (struct mark) == 32, "there is padding");

struct kept
{
    unsigned char *region;
    size_t length;
    /* The higher, the later it was freed. */
    uint64_t turn;
    uint32_t is_locked;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned char secret_canary[16];

/* Protects everything below. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kept kept[ZMQ_AUTH_SECRETS_KEPT_AT_MOST];
static size_t kept_count;
static uint64_t turns;
/* Changes in a child alone, while it has one thread. */
static uint32_t forks;

static void before_fork (void)
{
    pthread_mutex_lock (&mutex);
}

static void after_fork_in_parent (void)
{
    pthread_mutex_unlock (&mutex);
}

/* A child inherits the pages, but not their being locked. */
static void after_fork_in_child (void)
{
    forks++;
    while (kept_count > 0)
        sodium_free (kept[--kept_count].region);
    pthread_mutex_unlock (&mutex);
}

static void begin (void)
{
    if (sodium_init () == -1
        || pthread_atfork (before_fork, after_fork_in_parent, after_fork_in_child) != 0)
        abort ();
    randombytes_buf (secret_canary, sizeof secret_canary);
}

/* The end that libsodium chooses. */
static void misused (void)
{
    raise (SIGSEGV);
    abort ();
}

static void canary_of (const struct mark *mark, unsigned char *canary)
{
    unsigned char above[16];
    memcpy (above, mark, sizeof above);
    for (size_t i = 0; i < sizeof above; i++)
        canary[i] = secret_canary[i] ^ above[i];
}

/* Writes the mark, and returns the address after it. It uses memcpy, because a region's start is only as aligned as its length. */
static void *marked (unsigned char *region, size_t length, uint32_t is_locked)
{
    struct mark mark = {.length = length, .forks = forks, .is_locked = is_locked};
    canary_of (&mark, mark.canary);
    memcpy (region, &mark, sizeof mark);
    return region + sizeof mark;
}

/* Takes a kept region of this length, preferably a recent one, whose page is in the caches. */
static int take (size_t length, struct kept *taken)
{
    int found = 0;
    pthread_mutex_lock (&mutex);
    for (size_t i = kept_count; i-- > 0;)
        if (kept[i].length == length) {
            *taken = kept[i];
            kept[i] = kept[--kept_count];
            found = 1;
            break;
        }
    pthread_mutex_unlock (&mutex);
    return found;
}

/* Keeps a region. Returns the region that it displaces, or NULL. That is the oldest, so that lengths which were needed once make
   room for those that are needed often. */
static unsigned char *keep (struct kept returned)
{
    unsigned char *displaced = NULL;
    pthread_mutex_lock (&mutex);
    size_t place = kept_count;
    if (place < ZMQ_AUTH_SECRETS_KEPT_AT_MOST)
        kept_count++;
    else {
        place = 0;
        for (size_t i = 1; i < kept_count; i++)
            if (kept[i].turn < kept[place].turn)
                place = i;
        displaced = kept[place].region;
    }
    returned.turn = ++turns;
    kept[place] = returned;
    pthread_mutex_unlock (&mutex);
    return displaced;
}

void *zmq_auth_secret_allocarray (size_t count, size_t size)
{
    if ((count > 0 && size >= SIZE_MAX / count) || count * size > SIZE_MAX - sizeof (struct mark)) {
        errno = ENOMEM;
        return NULL;
    }
    if (pthread_once (&once, begin) != 0)
        abort ();
    const size_t length = sizeof (struct mark) + count * size;

    struct kept taken;
    if (length <= LONGEST_KEPT && take (length, &taken)) {
        if (!sodium_is_zero (taken.region, length))
            misused ();
        /* It exceeded the limit of locked memory when it was allocated, but may fit now. */
        if (!taken.is_locked)
            taken.is_locked = sodium_mlock (taken.region, length) == 0;
        return marked (taken.region, length, taken.is_locked);
    }
    unsigned char *region = sodium_malloc (length);
    if (region == NULL)
        return NULL;
    /* sodium_malloc tried to lock it, but doesn't say whether it could: try again if the region will be kept. */
    const uint32_t is_locked = length <= LONGEST_KEPT && sodium_mlock (region, length) == 0;
    return marked (region, length, is_locked);
}

void zmq_auth_secret_free (void *secret)
{
    if (secret == NULL)
        return;
    struct mark mark;
    unsigned char *region = (unsigned char *) secret - sizeof mark, canary[16];
    memcpy (&mark, region, sizeof mark);
    canary_of (&mark, canary);
    if (sodium_memcmp (canary, mark.canary, sizeof canary) != 0)
        misused ();
    /* Including its mark: see above. */
    sodium_memzero (region, (size_t) mark.length);
    if (mark.length > LONGEST_KEPT || mark.forks != forks) {
        sodium_free (region);
        return;
    }
    struct kept returned = {.region = region, .length = (size_t) mark.length, .is_locked = mark.is_locked};
    sodium_free (keep (returned));
}

size_t zmq_auth_secrets_kept (void)
{
    pthread_mutex_lock (&mutex);
    const size_t count = kept_count;
    pthread_mutex_unlock (&mutex);
    return count;
}
