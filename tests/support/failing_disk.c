/*
 * A disk that fails, and a wall clock that jumps, for a real program:
 *
 *     cc -shared -fPIC -O1 -o failing_disk.so failing_disk.c -ldl
 *     LD_PRELOAD=failing_disk.so FAILING_DISK_CONTROL=file FAILING_DISK_NAME=x.db program
 *
 * Stands between the program and the C library where files are opened, read,
 * written, made longer, and synced, and does to files whose path contains the
 * name what the control file says. That file is mapped, so that what the test
 * writes there holds from the next call on, and the test reads how often it
 * struck. Its layout is repeated in failing_disk.rs. Linux only; for tests only.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum fault { NONE, FULL, WRITE_ERROR, SYNC_ERROR, READ_ONLY, READ_ERROR, HANG, SLOW };

/* Kinds of files, as bits. SQLite names its files by their ending. */
enum { DATABASE = 1, LOG = 2, SHARED_MEMORY = 4, JOURNAL = 8 };

struct control {
    /* What happens, and to which kinds of files. */
    _Atomic int64_t fault;
    _Atomic int64_t files;
    /* Calls that are let through before it begins. */
    _Atomic int64_t skip;
    /* FULL: bytes that files may still grow by; negative: nothing is written. */
    _Atomic int64_t room;
    /* SLOW: how long each call takes, milliseconds. */
    _Atomic int64_t delay_ms;
    /* What is added to the wall clock, milliseconds. */
    _Atomic int64_t clock_ms;
    /* How often it struck: counted here, read by the test. */
    _Atomic int64_t struck;
};

static struct control *control;
static const char *name;

/* By descriptor: the kind of file, 0 for those of no interest. */
#define DESCRIPTORS 65536
static _Atomic unsigned char kinds[DESCRIPTORS];

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fallocate)(int, int, off_t, off_t);
static int (*real_unlink)(const char *);
static int (*real_clock_gettime)(clockid_t, struct timespec *);

#define FIND(function) real_##function = dlsym(RTLD_NEXT, #function)

static void find_all(void) {
    FIND(openat); FIND(close); FIND(read); FIND(write); FIND(pread); FIND(pwrite);
    FIND(fsync); FIND(fdatasync); FIND(ftruncate); FIND(fallocate); FIND(unlink);
    FIND(clock_gettime);
    /* Last: it tells that the others are known. */
    FIND(open);
}

static void ready(void) {
    if (!real_open) find_all();
}

__attribute__((constructor)) static void begin(void) {
    ready();
    const char *path = getenv("FAILING_DISK_CONTROL");
    name = getenv("FAILING_DISK_NAME");
    if (!path || !name) return;
    int file = real_open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    real_close(file);
    control = mapped;
}

static unsigned char kind_of_path(const char *path) {
    if (!control || !path || !strstr(path, name)) return 0;
    size_t length = strlen(path);
    if (length > 4 && !strcmp(path + length - 4, "-wal")) return LOG;
    if (length > 4 && !strcmp(path + length - 4, "-shm")) return SHARED_MEMORY;
    if (length > 8 && !strcmp(path + length - 8, "-journal")) return JOURNAL;
    return DATABASE;
}

static unsigned char kind_of(int file) {
    return control && file >= 0 && file < DESCRIPTORS ? kinds[file] : 0;
}

static int64_t now_fault(unsigned char kind) {
    return kind && (control->files & kind) ? control->fault : NONE;
}

static void wait_ms(int64_t ms) {
    struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
    nanosleep(&pause, NULL);
}

/* Whether `fault` is to strike this call; counts it if so. */
static int strikes(unsigned char kind, int64_t fault) {
    if (now_fault(kind) != fault) return 0;
    if (control->skip > 0 && atomic_fetch_sub(&control->skip, 1) > 0) return 0;
    control->struck++;
    return 1;
}

/* Disks that take their time. */
static void delay(unsigned char kind) {
    if (strikes(kind, SLOW)) wait_ms(control->delay_ms);
    if (strikes(kind, HANG)) {
        while (now_fault(kind) == HANG) wait_ms(1);
    }
}

static int fails(unsigned char kind, int64_t fault, int error) {
    if (!strikes(kind, fault)) return 0;
    errno = error;
    return 1;
}

/* How much of a write is taken; -1: none, with errno. */
static ssize_t room_for(int file, unsigned char kind, size_t bytes, off_t at) {
    delay(kind);
    if (fails(kind, WRITE_ERROR, EIO) || fails(kind, READ_ONLY, EROFS)) return -1;
    if (now_fault(kind) != FULL) return (ssize_t)bytes;
    struct stat about;
    if (control->room >= 0 && !fstat(file, &about)) {
        int64_t grows = (int64_t)at + (int64_t)bytes - (int64_t)about.st_size;
        if (grows <= 0) return (ssize_t)bytes;
        int64_t left = atomic_fetch_sub(&control->room, grows);
        if (left >= grows) return (ssize_t)bytes;
        if (left < 0) left = 0;
        control->room = 0;
        int64_t taken = (int64_t)bytes - grows + left;
        /* A disk takes what it can, and refuses the rest of it. */
        if (taken > 0) return (ssize_t)taken;
    }
    return fails(kind, FULL, ENOSPC) ? -1 : (ssize_t)bytes;
}

/* Whether a file may be opened so; sets errno if not. */
static int refuses_open(unsigned char kind, const char *path, int flags) {
    if (!kind) return 0;
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && fails(kind, READ_ONLY, EROFS)) return 1;
    if ((flags & O_CREAT) && access(path, F_OK) && control->room <= 0) {
        return fails(kind, FULL, ENOSPC);
    }
    return 0;
}

static int opened(int file, unsigned char kind) {
    if (file >= 0 && file < DESCRIPTORS) kinds[file] = kind;
    return file;
}

#define MODE(flags, mode)                          \
    mode_t mode = 0;                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {         \
        va_list rest;                              \
        va_start(rest, flags);                     \
        mode = va_arg(rest, mode_t);               \
        va_end(rest);                              \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    ready();
    unsigned char kind = kind_of_path(path);
    if (refuses_open(kind, path, flags)) return -1;
    return opened(real_open(path, flags, mode), kind);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open(path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    ready();
    unsigned char kind = kind_of_path(path);
    if (refuses_open(kind, path, flags)) return -1;
    return opened(real_openat(folder, path, flags, mode), kind);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return openat(folder, path, flags | O_LARGEFILE, mode);
}

int close(int file) {
    ready();
    opened(file, 0);
    return real_close(file);
}

ssize_t read(int file, void *buffer, size_t bytes) {
    ready();
    if (fails(kind_of(file), READ_ERROR, EIO)) return -1;
    return real_read(file, buffer, bytes);
}

ssize_t pread(int file, void *buffer, size_t bytes, off_t at) {
    ready();
    if (fails(kind_of(file), READ_ERROR, EIO)) return -1;
    return real_pread(file, buffer, bytes, at);
}

ssize_t pread64(int file, void *buffer, size_t bytes, off64_t at) {
    return pread(file, buffer, bytes, at);
}

ssize_t write(int file, const void *buffer, size_t bytes) {
    ready();
    unsigned char kind = kind_of(file);
    if (kind) {
        ssize_t taken = room_for(file, kind, bytes, lseek(file, 0, SEEK_CUR));
        if (taken < 0) return -1;
        bytes = (size_t)taken;
    }
    return real_write(file, buffer, bytes);
}

ssize_t pwrite(int file, const void *buffer, size_t bytes, off_t at) {
    ready();
    unsigned char kind = kind_of(file);
    if (kind) {
        ssize_t taken = room_for(file, kind, bytes, at);
        if (taken < 0) return -1;
        bytes = (size_t)taken;
    }
    return real_pwrite(file, buffer, bytes, at);
}

ssize_t pwrite64(int file, const void *buffer, size_t bytes, off64_t at) {
    return pwrite(file, buffer, bytes, at);
}

static int syncs(int file, int (*sync)(int)) {
    unsigned char kind = kind_of(file);
    delay(kind);
    if (fails(kind, SYNC_ERROR, EIO)) return -1;
    return sync(file);
}

int fsync(int file) {
    ready();
    return syncs(file, real_fsync);
}

int fdatasync(int file) {
    ready();
    return syncs(file, real_fdatasync);
}

int ftruncate(int file, off_t length) {
    ready();
    unsigned char kind = kind_of(file);
    if (kind && room_for(file, kind, 0, length) < 0) return -1;
    return real_ftruncate(file, length);
}

int ftruncate64(int file, off64_t length) {
    return ftruncate(file, length);
}

int fallocate(int file, int mode, off_t at, off_t length) {
    ready();
    unsigned char kind = kind_of(file);
    if (kind && room_for(file, kind, 0, at + length) < 0) return -1;
    return real_fallocate(file, mode, at, length);
}

int fallocate64(int file, int mode, off64_t at, off64_t length) {
    return fallocate(file, mode, at, length);
}

int posix_fallocate(int file, off_t at, off_t length) {
    return fallocate(file, 0, at, length) ? errno : 0;
}

int posix_fallocate64(int file, off64_t at, off64_t length) {
    return posix_fallocate(file, at, length);
}

int unlink(const char *path) {
    ready();
    if (fails(kind_of_path(path), READ_ONLY, EROFS)) return -1;
    return real_unlink(path);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    ready();
    int answer = real_clock_gettime(clock, time);
    if (!answer && clock == CLOCK_REALTIME && control) {
        int64_t ms = control->clock_ms;
        time->tv_sec += ms / 1000;
        time->tv_nsec += ms % 1000 * 1000000;
        if (time->tv_nsec >= 1000000000) {
            time->tv_sec++;
            time->tv_nsec -= 1000000000;
        } else if (time->tv_nsec < 0) {
            time->tv_sec--;
            time->tv_nsec += 1000000000;
        }
    }
    return answer;
}
