/*
 * Makes system calls that Node has no function for (mmap, fallocate, copy_file_range, renameat2, extended attributes),
 * and all others, with their exact result. It works in the directory that is its argument.
 *
 * A request is a line of words, the last of which is the length of the bytes that follow it. The answer is a line
 * "RESULT ERRNO LENGTH" and that many bytes. A file that shrinks under a mapping ends the process with SIGBUS.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WORDS_MAX 12
#define LINE_MAX_BYTES 16384
#define DATA_MAX_BYTES (64u << 20)

static char *data; /* of the request, then of the answer */
static size_t answer_bytes;
static char *word[WORDS_MAX];

static long long number(int i) { return strtoll(word[i], NULL, 10); }

static void describe(const struct stat *s) {
  answer_bytes = (size_t)sprintf(data, "%u %lu %u %u %lld %llu %lld %llu %lld.%09ld %lld.%09ld %lld.%09ld",
    s->st_mode, (unsigned long)s->st_nlink, s->st_uid, s->st_gid, (long long)s->st_size,
    (unsigned long long)s->st_ino, (long long)s->st_blocks, (unsigned long long)s->st_rdev,
    (long long)s->st_atim.tv_sec, s->st_atim.tv_nsec, (long long)s->st_mtim.tv_sec, s->st_mtim.tv_nsec,
    (long long)s->st_ctim.tv_sec, s->st_ctim.tv_nsec);
}

/* A mapping begins at a page. */
static char *map(int fd, off_t offset, size_t length, int protection, size_t *lead) {
  *lead = (size_t)(offset % sysconf(_SC_PAGESIZE));
  return mmap(NULL, length + *lead, protection, MAP_SHARED, fd, offset - (off_t)*lead);
}

static long map_read(int fd, off_t offset, size_t length) {
  size_t lead;
  char *at = map(fd, offset, length, PROT_READ, &lead);
  if (at == MAP_FAILED) return -1;
  memcpy(data, at + lead, length);
  answer_bytes = length;
  return munmap(at, length + lead);
}

static long map_write(int fd, off_t offset, size_t length, int synced) {
  size_t lead;
  char *at = map(fd, offset, length, PROT_READ | PROT_WRITE, &lead);
  if (at == MAP_FAILED) return -1;
  memcpy(at + lead, data, length);
  if (synced && msync(at, length + lead, MS_SYNC) != 0) return -1;
  return munmap(at, length + lead);
}

static long list(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  if (dir == NULL) return -1;
  errno = 0;
  while ((entry = readdir(dir)) != NULL) {
    answer_bytes += (size_t)sprintf(data + answer_bytes, "%s/%d\n", entry->d_name, entry->d_type);
  }
  int failed = errno;
  closedir(dir);
  errno = failed;
  return failed == 0 ? 0 : -1;
}

static long answered(ssize_t length) {
  if (length > 0) answer_bytes = (size_t)length;
  return length;
}

static long on_descriptor(const char *op, size_t length, int *known) {
  int fd = (int)number(1);
  *known = 1;
  if (!strcmp(op, "close")) return close(fd);
  if (!strcmp(op, "pread")) return answered(pread(fd, data, (size_t)number(3), number(2)));
  if (!strcmp(op, "read")) return answered(read(fd, data, (size_t)number(2)));
  if (!strcmp(op, "pwrite")) return pwrite(fd, data, length, number(2));
  if (!strcmp(op, "write")) return write(fd, data, length);
  if (!strcmp(op, "lseek")) return lseek(fd, number(2), (int)number(3));
  if (!strcmp(op, "ftruncate")) return ftruncate(fd, number(2));
  if (!strcmp(op, "mapread")) return map_read(fd, number(2), (size_t)number(3));
  if (!strcmp(op, "mapwrite")) return map_write(fd, number(2), length, (int)number(3));
  if (!strcmp(op, "fallocate")) return fallocate(fd, (int)number(2), number(3), number(4));
  if (!strcmp(op, "fsync")) return fsync(fd);
  if (!strcmp(op, "fdatasync")) return fdatasync(fd);
  if (!strcmp(op, "drop")) return (errno = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)) == 0 ? 0 : -1;
  if (!strcmp(op, "copyrange")) {
    off_t from = number(2), to = number(4);
    return copy_file_range(fd, &from, (int)number(3), &to, (size_t)number(5), 0);
  }
  if (!strcmp(op, "fstat")) {
    struct stat s;
    long result = fstat(fd, &s);
    if (result == 0) describe(&s);
    return result;
  }
  *known = 0;
  return 0;
}

static long on_path(const char *op, size_t length, int *known) {
  const char *path = word[1];
  *known = 1;
  if (!strcmp(op, "open")) return open(path, (int)number(2), (mode_t)number(3));
  if (!strcmp(op, "truncate")) return truncate(path, number(2));
  if (!strcmp(op, "link")) return linkat(AT_FDCWD, path, AT_FDCWD, word[2], 0);
  if (!strcmp(op, "symlink")) return symlink(path, word[2]);
  if (!strcmp(op, "readlink")) return answered(readlink(path, data, 8192));
  if (!strcmp(op, "rename")) return syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, word[2], (unsigned)number(3));
  if (!strcmp(op, "unlink")) return unlink(path);
  if (!strcmp(op, "rmdir")) return rmdir(path);
  if (!strcmp(op, "mkdir")) return mkdir(path, (mode_t)number(2));
  if (!strcmp(op, "mknod")) return mknod(path, (mode_t)number(2), (dev_t)number(3));
  if (!strcmp(op, "chmod")) return chmod(path, (mode_t)number(2));
  if (!strcmp(op, "lchown")) return lchown(path, (uid_t)number(2), (gid_t)number(3));
  if (!strcmp(op, "utimes")) {
    struct timespec times[2] = {{number(2), number(3)}, {number(4), number(5)}};
    return utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
  }
  if (!strcmp(op, "setxattr")) return lsetxattr(path, word[2], data, length, (int)number(3));
  if (!strcmp(op, "getxattr")) return answered(lgetxattr(path, word[2], data, (size_t)number(3)));
  if (!strcmp(op, "listxattr")) return answered(llistxattr(path, data, (size_t)number(2)));
  if (!strcmp(op, "removexattr")) return lremovexattr(path, word[2]);
  if (!strcmp(op, "readdir")) return list(path);
  if (!strcmp(op, "lstat") || !strcmp(op, "stat")) {
    struct stat s;
    long result = op[0] == 'l' ? lstat(path, &s) : stat(path, &s);
    if (result == 0) describe(&s);
    return result;
  }
  *known = 0;
  return 0;
}

static void fatal(const char *what) {
  perror(what);
  exit(2);
}

int main(int argc, char **argv) {
  static char line[LINE_MAX_BYTES];
  if (argc != 2) fatal("usage: syscall-agent DIRECTORY");
  if (chdir(argv[1]) != 0) fatal(argv[1]);
  if ((data = malloc(DATA_MAX_BYTES)) == NULL) fatal("malloc");
  umask(022);
  while (fgets(line, sizeof line, stdin) != NULL) {
    int words = 0, known = 0;
    for (char *at = strtok(line, " \n"); at != NULL && words < WORDS_MAX; at = strtok(NULL, " \n")) word[words++] = at;
    if (words < 2) fatal("short request");
    size_t length = (size_t)number(words - 1);
    if (length > DATA_MAX_BYTES || (length > 0 && fread(data, 1, length, stdin) != length)) fatal("data");
    for (int i = words; i < WORDS_MAX; i++) word[i] = "0";
    answer_bytes = 0;
    errno = 0;
    long result = on_descriptor(word[0], length, &known);
    if (!known) result = on_path(word[0], length, &known);
    if (!known) fatal(word[0]);
    if (result >= 0) errno = 0;
    else answer_bytes = 0;
    printf("%ld %d %zu\n", result, errno, answer_bytes);
    if (answer_bytes > 0) fwrite(data, 1, answer_bytes, stdout);
    fflush(stdout);
  }
  return 0;
}
