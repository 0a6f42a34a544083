/* Reads .rdz files, the form that docs/format.md and docs/codec.md describe. See rdz.c. */
#ifndef RDZ_H
#define RDZ_H

#include <stddef.h>
#include <stdint.h>

enum rdz_status {
    RDZ_OK,
    RDZ_FOREIGN,   /* not a .rdz file, or of another version */
    RDZ_DAMAGED,   /* cut short, spliced, or with bytes that no encoder writes */
    RDZ_LAYOUT,    /* of a registered network, and the layout given is missing or another network's */
    RDZ_TOO_LARGE, /* more bytes of tensors than the limit */
    RDZ_MEMORY     /* no memory */
};

typedef struct {
    char *name;       /* UTF-8; NULL for a tensor of a bare payload */
    const char *type; /* NumPy's name: "float32", "int32", "int64", ... */
    int dims;
    uint64_t shape[32];
    uint64_t bytes;
    void *data; /* in C order; of buffers little-endian, of all others in the machine's order */
} rdz_tensor;

typedef struct {
    size_t count;
    rdz_tensor *tensors;
} rdz_network;

/* Read a whole file, or one in quality layers up to the end of any of them. `layout`: the layout's JSON text, needed for a registered network alone, else NULL.
   `limit`: bytes of tensors at most. `network` is filled in when RDZ_OK is returned, else left empty. */
int rdz_read(const uint8_t *file, size_t size, const uint8_t *layout, size_t layout_size, uint64_t limit,
             rdz_network *network);

/* Read a bare payload. `network` comes with names and shapes; its data are filled in as int32. */
int rdz_read_payload(const uint8_t *payload, size_t size, uint64_t limit, rdz_network *network);

/* Read one stream of a payload tensor by tensor, for programs that know the shapes. `rdz_open` copies nothing: `data`
   stays where it is until `rdz_close`, which takes NULL, too. */
typedef struct rdz_stream rdz_stream;

rdz_stream *rdz_open(const uint8_t *data, size_t size); /* NULL: no memory */

/* The header of the next tensor, which has values; at most 32 dims. 0: all its values are zero, and it is read. */
int rdz_next(rdz_stream *stream, int dims, const uint64_t *shape);

/* Its values, which are zeros before, in C order. */
int rdz_weights(rdz_stream *stream, int in_order, int32_t *values);

/* Go on with another payload, keeping what was learnt: quality layers are read so, one behind the other. */
void rdz_go_on(rdz_stream *stream, const uint8_t *data, size_t size);

/* The header of the next tensor whose cells a quality layer splits. 0: each weight is in the first cell that it may be
   in. */
int rdz_next_cells(rdz_stream *stream, int dims, const uint64_t *shape);

/* Its cells. Before: the first of the finer cells that each weight may be in, with its sign. `options`: how many of them
   there are for a weight that is 0 so far, and for any other. */
int rdz_cells(rdz_stream *stream, const int options[2], int32_t *cells);

uint64_t rdz_words(const rdz_stream *stream); /* of 32 bits, read so far */
int rdz_overrun(const rdz_stream *stream);    /* whether more has been read than an encoder writes */
void rdz_close(rdz_stream *stream);

void rdz_free(rdz_network *network);

/* What a status means, in one sentence. */
const char *rdz_message(int status);

#endif
