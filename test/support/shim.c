// Loaded by LD_PRELOAD into a server under test: makes one system call on files whose path contains FT_PATH fail, and
// logs every sync of them. Counts in the whole process, all threads and native code included.
//
//   FT_PATH  part of the path                FT_OP   fdatasync | fsync | pwrite | write | open | rename | link | unlink | truncate,
//                                                    sync (fdatasync and fsync), any (all of them)
//   FT_N     which one, from 1 (0: none)     FT_ACT  eio | enospc | kill | torn (half a write, then SIGKILL) | lie (success, nothing done)
//   FT_SLOW  file that says how many milliseconds each sync of such a file takes at least; read again while it waits, and absent
//            or empty for none
//   FT_DELAY_MS  time between the decision and the error: what was under way elsewhere settles
//   FT_LOG   file that gets a line for each sync of such a file, for the fault, and with FT_N=0 for each call that counts:
//            <monotonic ns> <fault|ok|error|again|call> <operation> <fd> <count> <path>
//            `again`: a sync of the very file whose sync has failed
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATH_BYTES 1024
#define REAL(name) ({ static typeof(&name) real; if (!real) real = (typeof(&name))dlsym(RTLD_NEXT, #name); real; })

static atomic_long count;
static const char *path_part, *operation, *action, *slow;
static long nth, delay_ms;
static int log_fd = -1;
// The file whose sync was made to fail: inode numbers are used again, moments of birth are not.
static struct statx failed;
static atomic_int has_failed;

__attribute__((constructor)) static void init(void) {
  path_part = getenv("FT_PATH");
  operation = getenv("FT_OP");
  action = getenv("FT_ACT");
  slow = getenv("FT_SLOW");
  nth = getenv("FT_N") ? atol(getenv("FT_N")) : 0;
  delay_ms = getenv("FT_DELAY_MS") ? atol(getenv("FT_DELAY_MS")) : 0;
  const char *log = getenv("FT_LOG");
  if (log) log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int path_of(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_BYTES - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, path_part) != NULL;
}

static void note(const char *what, const char *name, int fd, long n, const char *path) {
  if (log_fd < 0) return;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  char line[PATH_BYTES + 128];
  int length = snprintf(line, sizeof line, "%lld %s %s %d %ld %s\n",
    now.tv_sec * 1000000000LL + now.tv_nsec, what, name, fd, n, path);
  if (REAL(write)(log_fd, line, length) != length) abort();
}

// The number of this call among those that count, or 0 where it does not.
static long counted(const char *name) {
  if (!operation) return 0;
  int is_sync = !strcmp(name, "fdatasync") || !strcmp(name, "fsync");
  int counts = !strcmp(operation, "any") || !strcmp(operation, name) || (is_sync && !strcmp(operation, "sync"));
  return counts ? atomic_fetch_add(&count, 1) + 1 : 0;
}

static int is_failed(int fd) {
  struct statx now;
  if (!atomic_load(&has_failed) || statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &now)) return 0;
  return now.stx_ino == failed.stx_ino && now.stx_btime.tv_sec == failed.stx_btime.tv_sec && now.stx_btime.tv_nsec == failed.stx_btime.tv_nsec;
}

static void wait_a_little(void) {
  struct timespec t = { delay_ms / 1000, delay_ms % 1000 * 1000000 };
  while (nanosleep(&t, &t) && errno == EINTR) {}
}

static long slow_ms(void) {
  char text[32] = "";
  int fd = open(slow, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  return length > 0 ? atol(text) : 0;
}

static long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// As long as the file says, in steps, so that a disk that is stuck can come back.
static void be_slow(void) {
  if (!slow) return;
  for (long start = now_ms(); now_ms() - start <= slow_ms();) {
    struct timespec step = { 0, 2000000 };
    nanosleep(&step, NULL);
  }
}

static int synced(int fd, const char *name, int (*real)(int)) {
  char path[PATH_BYTES];
  if (!path_part || !path_of(fd, path)) return real(fd);
  be_slow();
  long n = counted(name);
  if (nth && n == nth) {
    note("fault", name, fd, n, path);
    wait_a_little();
    if (!strcmp(action, "kill")) raise(SIGKILL);
    if (!strcmp(action, "lie")) return 0;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &failed) == 0) atomic_store(&has_failed, 1);
    errno = !strcmp(action, "enospc") ? ENOSPC : EIO;
    return -1;
  }
  int result = real(fd);
  int saved = errno;
  note(is_failed(fd) ? "again" : result ? "error" : "ok", name, fd, n, path);
  errno = saved;
  return result;
}

int fsync(int fd) { return synced(fd, "fsync", REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, "fdatasync", REAL(fdatasync)); }

// Counts a call that is no sync. 1 where it is the one to fail, and the process lives: errno and *result are set.
static int fails(const char *name, int fd, const char *path, ssize_t lie, ssize_t *result) {
  long n = counted(name);
  if (!n) return 0;
  if (!nth) note("call", name, fd, n, path);
  if (n != nth) return 0;
  note("fault", name, fd, n, path);
  wait_a_little();
  if (!strcmp(action, "torn")) return 1;
  if (!strcmp(action, "kill")) raise(SIGKILL);
  *result = !strcmp(action, "lie") ? lie : -1;
  errno = !strcmp(action, "eio") ? EIO : ENOSPC;
  return 1;
}

static int is_torn(void) { return action && !strcmp(action, "torn"); }

static ssize_t pwritten(int fd, const void *bytes, size_t length, off64_t offset) {
  char path[PATH_BYTES];
  ssize_t result = -1;
  if (path_part && path_of(fd, path) && fails("pwrite", fd, path, length, &result)) {
    if (is_torn()) { REAL(pwrite64)(fd, bytes, length / 2, offset); raise(SIGKILL); }
    return result;
  }
  return REAL(pwrite64)(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwritten(fd, bytes, length, offset); }
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwritten(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
  char path[PATH_BYTES];
  ssize_t result = -1;
  if (path_part && path_of(fd, path) && fails("write", fd, path, length, &result)) {
    if (is_torn()) { REAL(write)(fd, bytes, length / 2); raise(SIGKILL); }
    return result;
  }
  return REAL(write)(fd, bytes, length);
}

// A call on names. There is no half of one: `torn` kills before it.
static int name_fails(const char *name, const char *path, const char *other, int *result) {
  ssize_t wide = -1;
  if (!path_part || !(strstr(path, path_part) || (other && strstr(other, path_part)))) return 0;
  if (!fails(name, -1, other ? other : path, 0, &wide)) return 0;
  if (is_torn()) raise(SIGKILL);
  *result = wide;
  return 1;
}

int rename(const char *from, const char *to) {
  int result;
  return name_fails("rename", from, to, &result) ? result : REAL(rename)(from, to);
}

int link(const char *from, const char *to) {
  int result;
  return name_fails("link", from, to, &result) ? result : REAL(link)(from, to);
}

int unlink(const char *path) {
  int result;
  return name_fails("unlink", path, NULL, &result) ? result : REAL(unlink)(path);
}

static int truncated(int fd, off64_t length) {
  char path[PATH_BYTES];
  ssize_t result = -1;
  if (path_part && path_of(fd, path) && fails("truncate", fd, path, 0, &result)) {
    if (is_torn()) raise(SIGKILL);
    return result;
  }
  return REAL(ftruncate64)(fd, length);
}

int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }
int ftruncate(int fd, off_t length) { return truncated(fd, length); }

static int opened(const char *path, int flags, mode_t mode) {
  int result;
  // A lie would hand out the descriptor of something else.
  if (action && strcmp(action, "lie") && name_fails("open", path, NULL, &result)) return result;
  return REAL(open64)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode);
}
