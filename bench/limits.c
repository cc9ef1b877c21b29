/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What this machine can do at best, to hold throughput figures against: the steps of Produce and
 * Fetch alone, on page-aligned buffers, in CPU seconds per GB of this thread. One JSON line.
 * The peer of a socket pair runs in a process of its own, so that its cost is not counted.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"

enum {
    PIECE_MAX = 1024 * 1024,
    BYTES = 256 * 1024 * 1024, /* per measurement */
    SYNCS = 50,
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double clock_s(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static uint8_t *pages(size_t size)
{
    uint8_t *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
        die("mmap");
    }
    memset(p, 'x', size);
    return p;
}

static double per_gb(double seconds)
{
    return seconds / ((double)BYTES / 1e9);
}

static bool first_result = true;

static void result(const char *name, double value)
{
    printf("%s\"%s\": %.6g", first_result ? "{" : ", ", name, value);
    first_result = false;
}

/* Two ends of a TCP connection on loopback. */
static void connection(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0 ||
        connect(ends[0], (struct sockaddr *)&address, size) != 0 ||
        (ends[1] = accept(listener, NULL, NULL)) < 0) {
        die("connection");
    }
    close(listener);
}

static pid_t spawn_peer(void (*peer)(int fd), int ends[2])
{
    connection(ends);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        peer(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    return pid;
}

static void peer_sends(int fd)
{
    uint8_t *data = pages(PIECE_MAX);
    while (send(fd, data, PIECE_MAX, MSG_NOSIGNAL) > 0) {
    }
}

static void peer_discards(int fd)
{
    void *nowhere = NULL;
    while (recv(fd, nowhere, PIECE_MAX, MSG_TRUNC) > 0) {
    }
}

static double measure_recv(size_t piece, uint8_t *buffer)
{
    int ends[2];
    pid_t peer = spawn_peer(peer_sends, ends);
    double begin = cpu_s();
    for (size_t received = 0; received < BYTES;) {
        ssize_t n = recv(ends[0], buffer, piece, MSG_WAITALL);
        if (n <= 0) {
            die("recv");
        }
        received += (size_t)n;
    }
    double used = cpu_s() - begin;
    close(ends[0]);
    waitpid(peer, NULL, 0);
    return per_gb(used);
}

static double measure_sendfile(int file, size_t piece)
{
    int ends[2];
    pid_t peer = spawn_peer(peer_discards, ends);
    /* With the kernel's own, larger choice the data falls out of the cache: up to 3 times dearer.
     */
    int send_buffer = 100 * 1024;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
    double begin = cpu_s();
    off_t position = 0;
    while (position < BYTES) {
        if (sendfile(ends[0], file, &position, piece) <= 0) {
            die("sendfile");
        }
    }
    double used = cpu_s() - begin;
    close(ends[0]);
    waitpid(peer, NULL, 0);
    return per_gb(used);
}

static double measure_pwrite(int file, size_t piece, const uint8_t *buffer)
{
    double begin = cpu_s();
    for (off_t position = 0; position < BYTES; position += (off_t)piece) {
        if (pwrite(file, buffer, piece, position) != (ssize_t)piece) {
            die("pwrite");
        }
    }
    return per_gb(cpu_s() - begin);
}

static double measure_memcpy(uint8_t *to, const uint8_t *from, size_t piece)
{
    double begin = cpu_s();
    for (size_t done = 0; done < BYTES; done += piece) {
        memcpy(to, from, piece);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    return per_gb(cpu_s() - begin);
}

static double measure_crc(const uint8_t *data, size_t piece)
{
    uint32_t crc = 0;
    double begin = cpu_s();
    for (size_t done = 0; done < BYTES; done += piece) {
        crc ^= crc32c(0, data, piece);
    }
    double used = cpu_s() - begin;
    __asm__ volatile("" : : "r"(crc));
    return per_gb(used);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_fdatasync(int file, const uint8_t *buffer)
{
    double times[SYNCS];
    for (int i = 0; i < SYNCS; i++) {
        if (pwrite(file, buffer, 4096, BYTES + (off_t)i * 4096) != 4096) {
            die("pwrite");
        }
        double begin = clock_s(CLOCK_MONOTONIC);
        if (fdatasync(file) != 0) {
            die("fdatasync");
        }
        times[i] = clock_s(CLOCK_MONOTONIC) - begin;
    }
    qsort(times, SYNCS, sizeof(times[0]), by_value);
    result("fdatasync after 4 KiB, median ms", times[SYNCS / 2] * 1e3);
    result("fdatasync after 4 KiB, worst ms", times[SYNCS - 1] * 1e3);
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 2 || snprintf(path, sizeof(path), "%s/limits.data", argv[1]) >= 4096) {
        fprintf(stderr, "usage: limits DIRECTORY\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int file = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) {
        die(path);
    }
    unlink(path); /* the open descriptor keeps it */
    uint8_t *a = pages(PIECE_MAX);
    uint8_t *b = pages(PIECE_MAX);
    uint8_t *large = pages(BYTES);
    result("memcpy 64 KiB", measure_memcpy(a, b, 65536));
    result("CRC-32C 16 KiB in cache", measure_crc(a, 16384));
    result("CRC-32C from memory", measure_crc(large, BYTES));
    result("recv 16 KiB", measure_recv(16384, a));
    result("recv 1 MiB", measure_recv(PIECE_MAX, a));
    result("pwrite new pages 4 KiB", measure_pwrite(file, 4096, a));
    if (ftruncate(file, 0) != 0) {
        die("ftruncate");
    }
    result("pwrite new pages 64 KiB", measure_pwrite(file, 65536, a));
    result("pwrite cached pages 64 KiB", measure_pwrite(file, 65536, a));
    result("sendfile 16 KiB", measure_sendfile(file, 16384));
    result("sendfile 1 MiB", measure_sendfile(file, PIECE_MAX));
    measure_fdatasync(file, a);
    puts("}");
    return 0;
}
