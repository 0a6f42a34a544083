/* Reads files one behind the other, each after its length, and prints what the decoder makes of each. */
#include <stdio.h>
#include <stdlib.h>

#include "rdz.h"

int main(int argc, char **argv) {
    uint8_t head[4], *layout = malloc(1 << 20);
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file || !layout) return 1;
    const size_t layout_size = fread(layout, 1, 1 << 20, file);
    fclose(file);
    while (fread(head, 1, 4, stdin) == 4) {
        const size_t size = head[0] | head[1] << 8 | head[2] << 16 | (size_t)head[3] << 24;
        uint8_t *data = malloc(size ? size : 1); /* exactly as large, so that a sanitizer sees the byte behind it */
        if (!data || fread(data, 1, size, stdin) != size) return 1;
        rdz_network network;
        const int status = rdz_read(data, size, layout, layout_size, 1 << 20, &network);
        uint64_t hash = 14695981039346656037u; /* FNV-1a */
        for (size_t i = 0; i < network.count; i++)
            for (uint64_t k = 0; k < network.tensors[i].bytes; k++)
                hash = (hash ^ ((uint8_t *)network.tensors[i].data)[k]) * 1099511628211u;
        printf("%d %zu %llu\n", status, network.count, (unsigned long long)hash);
        rdz_free(&network);
        free(data);
    }
    free(layout);
    return 0;
}
