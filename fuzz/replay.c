/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over files of a corpus, for builds without libFuzzer:
 * every input that ever mattered is tried in each test run, sanitizers or not. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly the right size, so that the sanitizer sees one byte too many. */
static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    const long size = ftell(file);
    uint8_t *data = size < 0 ? NULL : malloc((size_t)size + (size == 0));
    rewind(file);
    if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        return 1;
    }
    (void)fclose(file);
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 0;
}

static int run_directory(const char *path, int *file_count)
{
    char name[4096];
    int failed = 0;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        perror(path);
        return 1;
    }
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
            failed |= run_file(name);
            (*file_count)++;
        }
    }
    (void)closedir(directory);
    return failed;
}

int main(int argc, char **argv)
{
    int file_count = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= run_directory(argv[i], &file_count);
    }
    (void)printf("%d inputs\n", file_count);
    return failed != 0 || file_count == 0;
}
