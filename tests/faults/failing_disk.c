/* A disk that fails, for programs started with this library in LD_PRELOAD: tests/faults/disks.py says how.
 *
 * FAULT_FOLDER   files below it are hit
 * FAULT_KIND     ENOSPC, EIO: writing fails so; SHORT: a write takes half of what it is given
 * FAULT_AFTER    as many writes go well before the first that does not
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static long writes;

static int is_hit(int fd)
{
    char link[64], path[4096];
    const char *folder = getenv("FAULT_FOLDER");
    if (!folder)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (strncmp(path, folder, strlen(folder)))
        return 0;
    return __atomic_add_fetch(&writes, 1, __ATOMIC_SEQ_CST) > atol(getenv("FAULT_AFTER"));
}

/* Returns whether a write is to fail, with errno set, or halves what it takes. */
static int fails(int fd, size_t *count)
{
    if (!is_hit(fd))
        return 0;
    const char *kind = getenv("FAULT_KIND");
    if (!strcmp(kind, "SHORT")) {
        if (*count > 1)
            *count /= 2;
        return 0;
    }
    errno = strcmp(kind, "EIO") ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t count)
{
    return fails(fd, &count) ? -1 : REAL(write)(fd, data, count);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset)
{
    return fails(fd, &count) ? -1 : REAL(pwrite)(fd, data, count, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
{
    return fails(fd, &count) ? -1 : REAL(pwrite64)(fd, data, count, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int number)
{
    size_t whole = 2;
    if (fails(fd, &whole))
        return -1;
    if (whole == 1 && number > 1)
        number /= 2;
    return REAL(writev)(fd, pieces, number);
}

int ftruncate(int fd, off_t length)
{
    size_t one = 1;
    return fails(fd, &one) ? -1 : REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
    size_t one = 1;
    return fails(fd, &one) ? -1 : REAL(ftruncate64)(fd, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    size_t one = 1;
    return fails(fd, &one) ? errno : REAL(posix_fallocate)(fd, offset, length);
}
