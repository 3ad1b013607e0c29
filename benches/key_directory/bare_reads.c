/* The minimal work of loading a directory: opens, stats, reads and closes each of its .key files. Prints "ns N". */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char buffer[65537];

int main(int argc, char **argv) {
    char path[4096];
    struct timespec start, end;
    unsigned long files = 0, bytes = 0;
    if (argc != 2) return 2;
    clock_gettime(CLOCK_MONOTONIC, &start);
    DIR *directory = opendir(argv[1]);
    if (!directory) return 1;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t length = strlen(entry->d_name);
        if (length < 4 || strcmp(entry->d_name + length - 4, ".key")) continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        struct stat status;
        int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (file < 0 || fstat(file, &status)) return 1;
        ssize_t got = read(file, buffer, sizeof buffer);
        if (got < 0 || close(file)) return 1;
        files++;
        bytes += (unsigned long) got;
    }
    closedir(directory);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("ns %lld\nfiles %lu\nbytes %lu\n", (end.tv_sec - start.tv_sec) * 1000000000LL + end.tv_nsec - start.tv_nsec, files,
           bytes);
    return 0;
}
