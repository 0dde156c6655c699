/* Preloaded into a process: records every call that changes a folder, and dies at one of them.
 *
 * watch(folder, number, half, log): from now on each such call on a path in `folder` is written to
 * the file descriptor `log` (its name, paths, offset and bytes, see system_calls.py); at call
 * `number` the process kills itself, after it, or with `half` in the middle of a write. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[4096];
static long last, seen;
static int halves, log_file = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void watch(const char *where, long number, int half, int log) {
    snprintf(folder, sizeof folder, "%s", where);
    seen = 0, last = number, halves = half, log_file = log;
}

static int inside(const char *path) {
    return log_file >= 0 && strncmp(path, folder, strlen(folder)) == 0;
}

static int named(int file, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, 4095);
    path[length < 0 ? 0 : length] = 0;
    return length > 0 && inside(path);
}

/* Records a call that was made; dies if it is the one. */
static void note(const char *call, const char *path, const char *other, long at, const void *bytes, long size) {
    char head[9000];
    int length = snprintf(head, sizeof head, "%s\t%s\t%s\t%ld\t%ld\n", call, path, other, at, size);
    REAL(write)(log_file, head, length);
    if (size > 0) REAL(write)(log_file, bytes, size);
    if (seen++ == last) kill(getpid(), SIGKILL);
}

static int doomed(void) { return halves && seen == last; }

ssize_t write(int file, const void *bytes, size_t size) {
    char path[4096];
    if (file == log_file || !named(file, path)) return REAL(write)(file, bytes, size);
    long at = lseek(file, 0, SEEK_CUR);
    if (fcntl(file, F_GETFL) & O_APPEND) at = lseek(file, 0, SEEK_END);
    ssize_t done = REAL(write)(file, bytes, doomed() ? size / 2 : size);
    note("write", path, "", at, bytes, done < 0 ? 0 : done);
    return done;
}

static ssize_t write_at(int file, const void *bytes, size_t size, off_t at) {
    char path[4096];
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (!named(file, path)) return real(file, bytes, size, at);
    ssize_t done = real(file, bytes, doomed() ? size / 2 : size, at);
    note("write", path, "", at, bytes, done < 0 ? 0 : done);
    return done;
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return write_at(file, bytes, size, at); }
ssize_t pwrite64(int file, const void *bytes, size_t size, off_t at) { return write_at(file, bytes, size, at); }

#define ON_FILE(name, call, arguments, given, at)            \
    int name arguments {                                     \
        char path[4096];                                     \
        int done = REAL(name) given;                         \
        if (named(file, path)) note(call, path, "", at, 0, 0); \
        return done;                                         \
    }
ON_FILE(fsync, "sync", (int file), (file), 0)
ON_FILE(fdatasync, "sync", (int file), (file), 0)
ON_FILE(ftruncate, "truncate", (int file, off_t size), (file, size), (long)size)
ON_FILE(ftruncate64, "truncate", (int file, off_t size), (file, size), (long)size)

#define ON_PATH(name, call, arguments, given, other)                         \
    int name arguments {                                                     \
        int done = REAL(name) given;                                         \
        if (done == 0 && inside(path)) note(call, path, other, 0, 0, 0);     \
        return done;                                                         \
    }
ON_PATH(unlink, "unlink", (const char *path), (path), "")
ON_PATH(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode), "")
ON_PATH(rename, "rename", (const char *path, const char *new), (path, new), new)

#define OPENS(name)                                                                     \
    int name(const char *path, int flags, ...) {                                        \
        va_list rest;                                                                   \
        va_start(rest, flags);                                                          \
        int mode = va_arg(rest, int);                                                   \
        va_end(rest);                                                                   \
        int changes = inside(path) && (flags & (O_TRUNC | O_CREAT)) &&                  \
                      ((flags & O_TRUNC) || access(path, F_OK) != 0);                   \
        int done = REAL(name)(path, flags, mode);                                       \
        if (changes && done >= 0) note("create", path, "", 0, 0, 0);                    \
        return done;                                                                    \
    }
OPENS(open)
OPENS(open64)
