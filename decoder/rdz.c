/* A decoder of .rdz files in one C file without dependencies, written from docs/format.md and docs/codec.md.

       cc -std=c99 -O2 -o rdz rdz.c
       ./rdz FILE.rdz OUT [LAYOUT.json]         the tensors' values, one behind the other, and on standard output a
                                                line a tensor: type, shape, name
       ./rdz --payload FILE OUT 8x3x3x3 10 ...  the integers of a bare payload, given the shapes; "-" is a scalar's

   With -DRDZ_NO_MAIN it is a library: rdz.h. Sizes are checked before memory is taken, every read is bounded, and
   nothing but what is read decides: no locale, no floating point but the last product of level and step.

   In this order, each part standing on those before it:

       numbers, bytes, zlib, BLAKE2b       what a library would bring
       the model                           one decision: docs/codec.md, "Integer for integer"
       a tensor's header, the predictor,   a tensor: likewise
       a tensor's weights
       the cells of a quality layer        docs/codec.md, "Quality layers, integer for integer"
       a stream, segments                  a payload: docs/codec.md, "Segments"
       the layout                          which tensors there are: docs/format.md, "Network"
       levels and steps, quality layers    docs/format.md, "Section 2" and "Section 128"
       a file, the program                 docs/format.md, "Container"

   For integers alone (rdz_open and what follows it in rdz.h) the model to the segments are enough. */

#include "rdz.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        int status_ = (call);                                                                                          \
        if (status_) return status_;                                                                                   \
    } while (0)

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

#if (-1 >> 1) == -1 /* rounds towards minus infinity */
static i64 shifted(i64 x, int n) { return x >> n; }
static i32 shifted32(i32 x, int n) { return x >> n; }
#else
static i64 shifted(i64 x, int n) { return x < 0 ? ~(~x >> n) : x >> n; }
static i32 shifted32(i32 x, int n) { return (i32)shifted(x, n); }
#endif
static i64 clip(i64 x, i64 a, i64 b) { return x < a ? a : x > b ? b : x; }
static i64 least(i64 a, i64 b) { return a < b ? a : b; }
static i64 size_of(i64 x) { return x < 0 ? -x : x; }

static void *zeros(u64 count, size_t size) {
    if (count > SIZE_MAX / size) return NULL;
    return calloc(count ? (size_t)count : 1, size);
}

/* ---- bytes: docs/format.md, the head and Container --------------------------------------------------------------- */

typedef struct {
    const u8 *at;
    size_t left;
} cursor;

static int take(cursor *c, u64 count, const u8 **found) {
    if (count > c->left) return RDZ_DAMAGED;
    *found = c->at;
    c->at += count;
    c->left -= (size_t)count;
    return RDZ_OK;
}

static int varint(cursor *c, u64 *value) {
    *value = 0;
    for (int i = 0; i < 9; i++) {
        const u8 *byte;
        TRY(take(c, 1, &byte));
        *value |= (u64)(*byte & 0x7f) << (7 * i);
        if (*byte < 0x80) return RDZ_OK;
    }
    return RDZ_DAMAGED;
}

static u32 crc32(u32 crc, const u8 *data, size_t size) { /* going on from that of what is before */
    u32 table[256];
    for (u32 i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320 : 0);
    }
    crc = ~crc;
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return ~crc;
}

/* ---- zlib: RFC 1950 and 1951 ------------------------------------------------------------------------------------- */

typedef struct {
    cursor in;
    u32 hold;
    int held, bad;
    u8 *out;
    size_t filled, room;
} inflater;

typedef struct {
    unsigned short count[16], symbol[288];
} huffman;

static u32 bits(inflater *z, int count) {
    while (z->held < count) {
        const u8 *byte;
        if (take(&z->in, 1, &byte)) {
            z->bad = 1;
            return 0;
        }
        z->hold |= (u32)*byte << z->held;
        z->held += 8;
    }
    u32 value = z->hold & ((1u << count) - 1);
    z->hold >>= count;
    z->held -= count;
    return value;
}

static int codes(huffman *h, const u8 *lengths, int count) { /* 0: complete, > 0: not all codes used, < 0: too many */
    int offsets[16], left = 1;
    memset(h, 0, sizeof *h);
    for (int i = 0; i < count; i++) h->count[lengths[i]]++;
    for (int n = 1; n < 16; n++)
        if ((left = 2 * left - h->count[n]) < 0) return left;
    offsets[1] = 0;
    for (int n = 1; n < 15; n++) offsets[n + 1] = offsets[n] + h->count[n];
    for (int i = 0; i < count; i++)
        if (lengths[i]) h->symbol[offsets[lengths[i]]++] = (unsigned short)i;
    return left;
}

static int symbol(inflater *z, const huffman *h) {
    int code = 0, first = 0, index = 0;
    for (int n = 1; n < 16; n++) {
        code |= (int)bits(z, 1);
        if (code - h->count[n] < first) return h->symbol[index + code - first];
        index += h->count[n];
        first = (first + h->count[n]) << 1;
        code <<= 1;
    }
    z->bad = 1;
    return 0;
}

static int put(inflater *z, u8 byte) {
    if (z->filled == z->room) return RDZ_DAMAGED;
    z->out[z->filled++] = byte;
    return RDZ_OK;
}

static int block(inflater *z, const huffman *lengths, const huffman *distances) {
    static const short base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const u8 extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const short far[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
        int one = symbol(z, lengths);
        if (z->bad) return RDZ_DAMAGED;
        if (one == 256) return RDZ_OK;
        if (one < 256) {
            TRY(put(z, (u8)one));
            continue;
        }
        if ((one -= 257) >= 29) return RDZ_DAMAGED;
        u32 length = (u32)base[one] + bits(z, extra[one]);
        int two = symbol(z, distances);
        if (z->bad || two >= 30) return RDZ_DAMAGED;
        u32 distance = (u32)far[two] + bits(z, two < 4 ? 0 : (two >> 1) - 1);
        if (z->bad || distance > z->filled) return RDZ_DAMAGED;
        while (length--) TRY(put(z, z->out[z->filled - distance]));
    }
}

static int tables(inflater *z, int kind, huffman *lengths, huffman *distances) {
    static const u8 order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    u8 found[320] = {0};
    if (kind == 1) {
        for (int i = 0; i < 288; i++) found[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
        codes(lengths, found, 288);
        memset(found, 5, 30);
        codes(distances, found, 30);
        return RDZ_OK;
    }
    int literals = (int)bits(z, 5) + 257, far = (int)bits(z, 5) + 1, count = (int)bits(z, 4) + 4, at = 0;
    if (z->bad || literals > 286 || far > 30) return RDZ_DAMAGED;
    for (int i = 0; i < count; i++) found[order[i]] = (u8)bits(z, 3);
    if (z->bad || codes(lengths, found, 19)) return RDZ_DAMAGED;
    memset(found, 0, sizeof found);
    while (at < literals + far) {
        int one = symbol(z, lengths);
        if (z->bad) return RDZ_DAMAGED;
        if (one < 16) {
            found[at++] = (u8)one;
            continue;
        }
        if (one == 16 && !at) return RDZ_DAMAGED;
        u8 again = one == 16 ? found[at - 1] : 0;
        int times = one == 16 ? 3 + (int)bits(z, 2) : one == 17 ? 3 + (int)bits(z, 3) : 11 + (int)bits(z, 7);
        if (z->bad || at + times > literals + far) return RDZ_DAMAGED;
        while (times--) found[at++] = again;
    }
    if (!found[256]) return RDZ_DAMAGED;
    int left = codes(lengths, found, literals);
    if (left && (left < 0 || literals - lengths->count[0] != 1)) return RDZ_DAMAGED;
    left = codes(distances, found + literals, far);
    return left && (left < 0 || far - distances->count[0] > 1) ? RDZ_DAMAGED : RDZ_OK;
}

/* Inflate all of `data` into `out`, of at most `room` bytes. */
static int inflated(cursor data, u8 *out, size_t room, size_t *filled) {
    inflater z = {data, 0, 0, 0, out, 0, room};
    huffman lengths, distances;
    u32 head = bits(&z, 8) << 8, last = 0, a = 1, b = 0, sum = 0;
    head |= bits(&z, 8);
    if (z.bad || head % 31 || (head >> 8 & 15) != 8 || head >> 12 > 7 || head & 32) return RDZ_DAMAGED;
    while (!last) {
        last = bits(&z, 1);
        u32 kind = bits(&z, 2);
        if (z.bad || kind == 3) return RDZ_DAMAGED;
        if (kind) {
            TRY(tables(&z, (int)kind, &lengths, &distances));
            TRY(block(&z, &lengths, &distances));
            continue;
        }
        bits(&z, z.held & 7);
        u32 length = bits(&z, 16);
        if (z.bad || length != (bits(&z, 16) ^ 0xffff) || z.bad) return RDZ_DAMAGED;
        while (length--) {
            u8 byte = (u8)bits(&z, 8);
            if (z.bad) return RDZ_DAMAGED;
            TRY(put(&z, byte));
        }
    }
    bits(&z, z.held & 7);
    for (int i = 0; i < 4; i++) sum = sum << 8 | bits(&z, 8);
    for (size_t i = 0; i < z.filled; i++) {
        a = (a + out[i]) % 65521;
        b = (b + a) % 65521;
    }
    if (z.bad || sum != (b << 16 | a) || z.in.left || z.held) return RDZ_DAMAGED;
    *filled = z.filled;
    return RDZ_OK;
}

/* ---- BLAKE2b with a digest of two bytes: RFC 7693 ---------------------------------------------------------------- */

static u64 turned(u64 x, int n) { return x >> n | x << (64 - n); }

static void blake2b_2(const u8 *data, size_t size, u8 digest[2]) {
    static const u64 first[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                 0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    static const u8 order[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
    u64 h[8];
    memcpy(h, first, sizeof h);
    h[0] ^= 0x01010000 ^ 2;
    size_t done = 0;
    do {
        u8 chunk[128] = {0};
        size_t count = size - done < 128 ? size - done : 128;
        memcpy(chunk, data + done, count);
        done += count;
        u64 v[16], m[16] = {0};
        for (int i = 0; i < 128; i++) m[i / 8] |= (u64)chunk[i] << (8 * (i % 8));
        memcpy(v, h, sizeof h);
        memcpy(v + 8, first, sizeof first);
        v[12] ^= done;
        if (done == size) v[14] = ~v[14];
        for (int round = 0; round < 12; round++) {
            const u8 *s = order[round % 10];
            for (int i = 0; i < 8; i++) {
                int turn = i / 4, a = i % 4, b = 4 + (i + turn) % 4, c = 8 + (i + 2 * turn) % 4, d = 12 + (i + 3 * turn) % 4;
                v[a] += v[b] + m[s[2 * i]], v[d] = turned(v[d] ^ v[a], 32), v[c] += v[d], v[b] = turned(v[b] ^ v[c], 24);
                v[a] += v[b] + m[s[2 * i + 1]], v[d] = turned(v[d] ^ v[a], 16), v[c] += v[d], v[b] = turned(v[b] ^ v[c], 63);
            }
        }
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
    } while (done < size);
    digest[0] = (u8)h[0], digest[1] = (u8)(h[0] >> 8);
}

/* ---- the model: docs/codec.md, Integer for integer, Tables to A mixed decision ----------------------------------- */

enum {
    INPUTS = 8, TOP = 95, SLOPES = 2816, FLOOR = 16, MOST_SEEN = 1000,
    KINDS = 45, SETS = 64, SIGN = 36, REST = 37, POSITIONS = 26,
    CONTEXTS = 2432, SIGN_CONTEXTS = 1024, REST_CONTEXTS = 1152,
    SIGNS_AT = 36 * INPUTS * CONTEXTS,
    RESTS_AT = SIGNS_AT + INPUTS * SIGN_CONTEXTS,
    HEADER_AT = RESTS_AT + INPUTS * REST_CONTEXTS * 8,
    COUNTERS = HEADER_AT + 40,
    WINDOW_ROWS = 5, MOST_TAPPED = 26
};

typedef struct rows { /* what a tensor's rows were like */
    struct rows *next;
    u64 count, extent;
    u8 *levels;
} rows;

typedef struct gains { /* of the predictor, for kernels of so many taps */
    struct gains *next;
    u64 taps;
    i32 of[POSITIONS][MOST_TAPPED];
} gains;

typedef struct { /* what is learnt of the tensors of one form */
    u32 counters[COUNTERS]; /* 22 bits of probability, 10 of how often it was adapted */
    i32 weights[2][KINDS * SETS][INPUTS], biases[2][KINDS * SETS], maps[KINDS][TOP + 1][33];
    int level; /* 0: it has not begun */
    gains *gains;
} model;

typedef struct {
    u64 rows, columns, taps, width; /* of the tensor */
    u64 live_rows, live_columns;    /* in use */
    int level, predicted, distance, ordered, vector;
} matrix;

struct rdz_stream {
    int16_t stretch[65536]; /* narrow: most of the time goes into waiting for it */
    uint16_t squash[2 * SLOPES + 1];
    u8 octave[4096];
    i32 rate[MOST_SEEN + 1];
    model models[2], *model;   /* of vectors and of all other tensors, and the one at work */
    rows *latest, *remembered; /* the tensor before, which may be none of those remembered */
    const u8 *data;            /* the payload and the range decoder */
    u64 size, at, words, range, offset;
    int fault;
    matrix next; /* of which the header was read, for programs that read tensor by tensor */
};

typedef struct rdz_stream decoder;

static i64 log2_24(i64 n) {
    int e = 0;
    while (n >> (e + 1)) e++;
    u64 m = ((u64)n << 30) >> e;
    i64 f = 0;
    for (int i = 0; i < 24; i++) {
        m = m * m >> 30;
        u64 c = m >> 31;
        m >>= c;
        f = 2 * f + (i64)c;
    }
    return ((i64)e << 24) + f;
}

static void make_tables(decoder *d) {
    for (i64 p = 0; p < 32768; p++) {
        const i64 apart = log2_24(131071 - 2 * p) - log2_24(2 * p + 1), nats = ((apart * 11629080 >> 24) + 32768) >> 16;
        d->stretch[p] = (int16_t)-nats, d->stretch[65535 - p] = (int16_t)nats;
    }
    i64 below = 0, within = 0;
    for (i64 s = -SLOPES; s <= SLOPES; s++) {
        while (below < 65536 && d->stretch[below] < s) below++;
        while (within < 65536 && d->stretch[within] <= s) within++;
        d->squash[s + SLOPES] = (uint16_t)clip((below + within) / 2, 1, 65535);
    }
    for (i64 n = 0; n < 4096; n++) d->octave[n] = (u8)(log2_24(n ? n : 1) >> 22);
    for (i32 n = 0; n <= MOST_SEEN; n++) d->rate[n] = 655360 / (10 * n + 18);
}

static void forget_rows(decoder *d) {
    if (d->latest && d->latest->count == 1) {
        free(d->latest->levels);
        free(d->latest);
    }
    d->latest = NULL;
}

static void forget(decoder *d) { /* all that was learnt */
    forget_rows(d);
    while (d->remembered) {
        rows *one = d->remembered;
        d->remembered = one->next;
        free(one->levels);
        free(one);
    }
    for (int i = 0; i < 2; i++) {
        d->models[i].level = 0;
        while (d->models[i].gains) {
            gains *one = d->models[i].gains;
            d->models[i].gains = one->next;
            free(one);
        }
    }
}

/* Take up the model of vectors or of other tensors, which has learnt nothing at first. */
static void choose(decoder *d, int vector) {
    model *m = d->model = &d->models[vector];
    if (m->level) return;
    m->level = vector ? 28 : 20;
    for (int i = 0; i < COUNTERS; i++) m->counters[i] = 1u << 31;
    for (int i = 0; i < 2 * KINDS * SETS; i++) {
        i32 *row = m->weights[i / (KINDS * SETS)][i % (KINDS * SETS)];
        for (int j = 0; j < INPUTS; j++) row[j] = 8430;
    }
    memset(m->biases, 0, sizeof m->biases);
    for (int i = 0; i < KINDS * (TOP + 1); i++)
        for (int j = 0; j < 33; j++) m->maps[i / (TOP + 1)][i % (TOP + 1)][j] = d->squash[176 * j];
}

static u64 next_word(decoder *d) {
    u64 word = 0, from = d->at * 4;
    for (u64 i = from; i < from + 4; i++) word = word << 8 | (i < d->size ? d->data[i] : 0);
    d->at++;
    return word;
}

static void go_on(decoder *d, const u8 *data, u64 size) { /* with another payload, all that was learnt kept */
    d->data = data, d->size = size, d->at = 0, d->fault = 0;
    d->words = (size + 3) / 4 > 2 ? (size + 3) / 4 : 2;
    d->range = UINT64_MAX;
    d->offset = next_word(d) << 32;
    d->offset |= next_word(d);
}

static void begin(decoder *d, const u8 *data, u64 size) {
    forget(d);
    go_on(d, data, size);
}

static int overrun(const decoder *d) { return d->fault || d->at > d->words + 2; }

static inline int decision(decoder *d, i64 p) {
    const u64 scale = d->range >> 24, none = scale * ((((u64)(65536 - p) * 16777214) >> 16) + 1);
    const int bit = d->offset >= none;
    if (bit) {
        d->offset -= none;
        d->range = (scale << 24) - none;
        if (d->offset >= d->range) d->fault = 1, d->offset = d->range - 1;
    } else {
        d->range = none;
    }
    if (d->range < (u64)1 << 32) {
        d->range <<= 32;
        d->offset = d->offset << 32 | next_word(d);
    }
    return bit;
}

static i64 plain(decoder *d, int count) {
    i64 value = 0;
    while (count-- > 0) value = 2 * value + decision(d, 32768);
    return value;
}

/* An adaptive probability after a bit, 65535 or 0. Products fit into 32 bits, so that eight are made side by side. */
static inline u32 adapted(u32 counter, i32 rate, i32 bit) {
    const u32 seen = counter & 1023;
    const i32 p = (i32)(counter >> 10), apart = bit * 64 - p;
    const i32 change = shifted32(shifted32(apart, 8) * rate + ((apart & 255) * rate >> 8), 8);
    return ((u32)(p + change) << 10 | seen) + (seen < MOST_SEEN);
}

static int adaptive(decoder *d, int h) {
    u32 *counter = &d->model->counters[HEADER_AT + h];
    const int bit = decision(d, clip(*counter >> 16, FLOOR, 65536 - FLOOR));
    *counter = adapted(*counter, d->rate[*counter & 1023], bit ? 65535 : 0);
    return bit;
}

typedef struct { /* what votes are mixed by, and the log odds that come of it */
    i32 *weights, *bias, odds;
} mixer;

static inline mixer mix(model *in, int which, int set, const i32 *votes, i32 bias) {
    mixer m = {in->weights[which][set], &in->biases[which][set], 0};
    i64 sum = (i64)*m.bias * bias;
    for (int j = 0; j < INPUTS; j++) sum += (i64)m.weights[j] * votes[j];
    m.odds = (i32)clip(shifted(sum, 16), -SLOPES, SLOPES);
    return m;
}

static inline i32 corrected(i32 weight, i32 vote, i32 step) {
    return (i32)((u32)weight + (u32)shifted32(vote * step + 131072, 18)); /* the product is below 2^30 */
}

static inline void correct(const decoder *d, const mixer *m, const i32 *votes, i32 bias, i32 bit) {
    const i32 step = (bit - d->squash[m->odds + SLOPES]) * 4;
    for (int j = 0; j < INPUTS; j++) m->weights[j] = corrected(m->weights[j], votes[j], step);
    *m->bias = corrected(*m->bias, bias, step);
}

typedef struct { /* a mixed decision */
    u32 counters[INPUTS];
    i32 votes[INPUTS], rates[INPUTS], bias, *map;
    mixer a, b;
} mixture;

static inline void learn(const decoder *d, mixture *m, const u32 *slots, i32 bit) {
    correct(d, &m->a, m->votes, m->bias, bit), correct(d, &m->b, m->votes, m->bias, bit);
    for (int j = 0; j < INPUTS; j++) m->counters[j] = adapted(m->counters[j], m->rates[j], bit);
    for (int j = 0; j < INPUTS; j++) d->model->counters[slots[j]] = m->counters[j];
    *m->map += shifted32(bit - *m->map, 6);
}

static inline int mixed(decoder *d, int kind, const u32 *slots, int a, int b, i32 bias, i64 x) {
    model *in = d->model;
    mixture m;
    for (int j = 0; j < INPUTS; j++) m.counters[j] = in->counters[slots[j]];
    for (int j = 0; j < INPUTS; j++) m.votes[j] = d->stretch[m.counters[j] >> 16];
    for (int j = 0; j < INPUTS; j++) m.rates[j] = d->rate[m.counters[j] & 1023];
    m.bias = bias, m.map = in->maps[kind][x];
    m.a = mix(in, 0, kind * SETS + a, m.votes, bias), m.b = mix(in, 1, kind * SETS + b, m.votes, bias);
    const u32 odds = (u32)(shifted32(m.a.odds + m.b.odds, 1) + SLOPES), l = odds / 176 < 31 ? odds / 176 : 31;
    const u32 o = odds - 176 * l, refined = ((u32)m.map[l] * (176 - o) + (u32)m.map[l + 1] * o) / 176;
    m.map += 2 * o > 176 ? l + 1 : l;
    /* A branch, with what follows from it on either side: a processor goes ahead with the one that it expects. */
    if (decision(d, clip((3 * (u32)d->squash[odds] + refined) >> 2, FLOOR, 65536 - FLOOR))) {
        learn(d, &m, slots, 65535);
        return 1;
    }
    learn(d, &m, slots, 0);
    return 0;
}

/* ---- a tensor's header: Integer for integer, A tensor, What is known before -------------------------------------- */

static int level(const decoder *d, i64 mean) {
    int s = 0;
    while (mean >= 4096) mean >>= 4, s += 16;
    return (int)least(d->octave[mean] + s, TOP);
}

static i64 mean_of(int level) { return (i64)(level & 1 ? 1722 : 1218) << (level >> 1) >> 10; }
static int few(i64 m) { return m < 3 ? (int)m : m < 5 ? 3 : m < 9 ? 4 : m < 17 ? 5 : 6; }
static int dozen(i64 n) {
    return n < 5 ? (int)n : n < 7 ? 5 : n < 10 ? 6 : n < 14 ? 7 : n < 20 ? 8 : n < 30 ? 9 : n < 50 ? 10 : 11;
}
static int ter(i64 v) { return 1 + (v > 0) - (v < 0); }
static int lean(i64 s, i64 n) {
    i64 ratio = 16 * s * s / (n + 1);
    int r = 0;
    while (r < 12 && (r + 1) * (r + 1) <= ratio) r++;
    return s > 0 ? 12 + r : 12 - r;
}
static int known(int l) { return l ? (int)least((l >> 1) + 1, 47) : 0; }

static rows *beside(const decoder *d, u64 count) {
    for (rows *one = d->remembered; one; one = one->next)
        if (one->count == count) return one;
    return NULL;
}

/* Keep what the rows of a tensor were like; takes `levels`. */
static int remember(decoder *d, u64 count, u64 extent, u8 *levels) {
    rows *one = count > 1 ? beside(d, count) : NULL;
    if (!one) {
        if (!(one = zeros(1, sizeof *one))) {
            free(levels);
            return RDZ_MEMORY;
        }
        if (count > 1) one->next = d->remembered, d->remembered = one;
    }
    forget_rows(d);
    free(one->levels);
    one->count = count, one->extent = extent, one->levels = levels;
    d->latest = one;
    return RDZ_OK;
}

static gains *gains_of(decoder *d, u64 taps) {
    for (gains *one = d->model->gains; one; one = one->next)
        if (one->taps == taps) return one;
    gains *one = zeros(1, sizeof *one);
    if (one) one->taps = taps, one->next = d->model->gains, d->model->gains = one;
    return one;
}

static matrix matrix_of(int dims, const u64 *shape) {
    matrix m = {1, 1, 1, 1, 0, 0, 0, 0, 0, 0, dims < 2};
    if (dims < 2) {
        if (dims) m.columns = shape[0];
        return m;
    }
    m.rows = shape[0], m.columns = shape[1];
    for (int i = 2; i < dims; i++) m.taps *= shape[i];
    if (dims > 2) m.width = shape[dims - 1];
    return m;
}

static u64 in_use(decoder *d, u64 whole, u64 guess, int h) {
    if (whole < 2 || !adaptive(d, h)) return whole;
    if (guess < whole && !adaptive(d, h + 1)) return guess;
    int count = 0;
    while ((whole - 2) >> count) count++;
    u64 found = 1 + (u64)plain(d, count);
    return found < whole - 1 ? found : whole - 1;
}

/* The tensor before or the latest one with as many rows as these are columns, and columns for each of its rows. */
static rows *before(const decoder *d, u64 columns, u64 *each) {
    *each = 1;
    if (!d->latest || d->latest->count < 2 || columns % d->latest->count) return beside(d, columns);
    *each = columns / d->latest->count;
    return d->latest;
}

static int read_level(decoder *d, int vector) {
    choose(d, vector);
    const int previous = d->model->level;
    if (!adaptive(d, 0)) return 0;
    if (!adaptive(d, 1)) return previous;
    int up = adaptive(d, 2), s = 1;
    while (s < 47 && adaptive(d, 2 + (int)least(s, 20))) s++;
    return d->model->level = (int)clip(up ? previous + s : previous - s, 1, 47);
}

static void read_header(decoder *d, matrix *m) {
    m->level = read_level(d, m->vector);
    if (!m->level) return;
    u64 each;
    rows *same = beside(d, m->rows), *prior = before(d, m->columns, &each);
    u64 rows_guess = same ? same->extent : m->rows, columns_guess = prior ? prior->extent * each : m->columns;
    m->live_rows = in_use(d, m->rows, rows_guess ? rows_guess : 1, 24);
    m->live_columns = in_use(d, m->columns, columns_guess ? columns_guess : 1, 26);
    m->predicted = adaptive(d, 28);
    if (m->predicted && m->taps == 1 && adaptive(d, 30)) m->distance = (int)plain(d, 8);
}

/* What the predictor looks at: (rows back, entries back); how many. */
static int reach(const matrix *m, i64 found[MOST_TAPPED][2]) {
    int n = 0;
    i64 taps = (i64)m->taps;
    if (!m->predicted) return 0;
#define LOOK(row, entry) (found[n][0] = (row), found[n][1] = (entry), n++)
    if (taps == 1) {
        for (int i = 1; i <= 10; i++) LOOK(0, i);
        for (int i = 1; i >= -1; i--) LOOK(1, i);
        for (int i = -1; m->distance && i <= 1; i++) LOOK(0, m->distance + i);
        return n;
    }
    for (int i = 1; i <= 9; i++) LOOK(0, i);
    for (int i = 4; i >= -4; i--) LOOK(1, i);
    for (int i = 2; i <= 4; i++) LOOK(0, i * taps);
    for (int i = 2; i <= 4; i++) LOOK(i, 0);
    LOOK(1, taps);
    LOOK(1, -taps);
#undef LOOK
    return n;
}

typedef struct {
    i64 sum, count, signs;
} tally;

static int quartet(i64 a, i64 b, i64 c, i64 e) {
    return ((few(size_of(a)) * 7 + few(size_of(b))) * 7 + few(size_of(c))) * 7 + few(size_of(e));
}
static i64 decayed(i64 recent, i64 m) { return m ? recent + shifted(least(m, 4095) * 4096 - recent, 3) : recent - (recent >> 3); }
static void count_in(tally *t, i64 m, int sign) { t->sum += least(m, 4095), t->count++, t->signs += sign; }

/* ---- the predictor: Integer for integer, The predictor ----------------------------------------------------------- */

typedef struct {
    int inputs;
    i64 looks[MOST_TAPPED][2], margin, kept, unit; /* `kept`: entries of a row of the window, margins included */
    i64 from[MOST_TAPPED], at, forecast;
    i32 z[MOST_TAPPED], energy, *window, *g;
    gains *learnt;
} predictor;

static int open_predictor(decoder *d, const matrix *m, i64 mean, predictor *p) {
    p->unit = mean > 82 ? mean : 82;
    if (!(p->inputs = reach(m, p->looks))) return RDZ_OK;
    for (int i = 0; i < p->inputs; i++)
        if (size_of(p->looks[i][1]) > p->margin) p->margin = size_of(p->looks[i][1]);
    p->kept = 2 * p->margin + (i64)(m->live_columns * m->taps);
    p->window = zeros((u64)p->kept * WINDOW_ROWS, sizeof *p->window);
    p->learnt = gains_of(d, m->taps);
    return p->window && p->learnt ? RDZ_OK : RDZ_MEMORY;
}

static void begin_row(predictor *p, i64 row) {
    p->at = row % WINDOW_ROWS * p->kept + p->margin;
    for (int i = 0; i < p->inputs; i++)
        p->from[i] = (row + WINDOW_ROWS - p->looks[i][0]) % WINDOW_ROWS * p->kept + p->margin - p->looks[i][1];
}

static void predict(predictor *p, i64 seen, i64 tap) {
    i64 total = 1 << 19;
    i32 energy = 205 * p->inputs;
    p->g = p->learnt->of[least(tap, POSITIONS - 1)];
    p->window[p->at + seen] = 0;
    for (int i = 0; i < p->inputs; i++) p->z[i] = p->window[p->from[i] + seen];
    for (int i = 0; i < p->inputs; i++) total += (i64)p->g[i] * p->z[i];
    for (int i = 0; i < p->inputs; i++) energy += p->z[i] * p->z[i];
    p->energy = energy;
    p->forecast = clip(shifted(total, 20), -512, 512);
}

static void learn_from(predictor *p, i64 seen, i64 value) {
    const i64 scaled = least((size_of(value) * 262144 + (p->unit >> 1)) / p->unit, 512);
    const i64 y = value < 0 ? -scaled : scaled;
    const i64 e = clip(y - p->forecast, -256, 256), c = 5368832 * size_of(e) / p->energy;
    const i32 change = (i32)(e < 0 ? -c : c), most = 1 << 24; /* its products with inputs are below 2^29 */
    p->window[p->at + seen] = (i32)y;
    for (int i = 0; i < p->inputs; i++) {
        const i32 gain = p->g[i] + shifted32(change * p->z[i] + 128, 8);
        p->g[i] = gain < -most ? -most : gain > most ? most : gain;
    }
}

/* ---- a tensor's weights: Integer for integer, Statistics, In order, A weight ------------------------------------- */

typedef struct { /* what is known of a weight before it is read */
    i64 left, up, up_left, up_right, across, above, near, joint, x, position, forecast;
    int T, R, C, N, tight;
} outlook;

static inline i64 read_magnitude(decoder *d, const outlook *o, int beside_C, int known_before) {
    const i64 overhead = size_of(o->above), most = o->tight && overhead < 5 ? overhead : 62, F = size_of(o->forecast);
    i64 k = 0;
    u32 slots[INPUTS] = {
        (u32)(3 * ((2 * o->joint + o->N) >> 1) + (o->near > 2 ? 2 : o->near > 0)),
        (u32)quartet(o->left, o->up, o->across, o->above),
        (u32)((o->R >> 1) * 48 + (o->C >> 1)),
        (u32)((o->C >> 1) * 48 + (o->T >> 1)),
        (u32)(dozen(o->near) * 96 + o->N),
        (u32)known_before,
        (u32)(clip(o->C + beside_C + o->R + 40, 0, 300) >> 1),
        (u32)(o->tight ? 1152 + least(overhead, 5) * 96 + o->R : least(3 * F >> 5, 23) * 48 + (o->x >> 1))};
    for (int j = 0; j < INPUTS; j++) slots[j] += (u32)(j * CONTEXTS);
    while (k < most) {
        const int kind = (int)least(k, 35);
        if (!mixed(d, kind, slots, o->T >> 2, (int)o->position, 256, o->x)) break;
        for (int j = 0; j < INPUTS && kind < 35; j++) slots[j] += INPUTS * CONTEXTS;
        k++;
    }
    if (k < 5) return k;
    const int r = (int)((k - 5) >> 1) + 1, modelled = (int)least(r, 3), G = (int)least(k - 5, 11);
    const i64 y[INPUTS] = {0, o->T, o->R, o->x, o->N, o->C, o->position, least(F >> 3, TOP)};
    int node = 1;
    i64 rest = 0;
    for (int i = 0; i < modelled; i++) {
        for (int j = 0; j < INPUTS; j++) slots[j] = (u32)(RESTS_AT + (j * REST_CONTEXTS + y[j] * 12 + G) * 8 + node);
        const int bit = mixed(d, REST + node, slots, G, 0, 256, o->x);
        node = 2 * node + bit, rest = 2 * rest + bit;
    }
    rest = rest << (r - modelled) | plain(d, r - modelled);
    return 1 + ((i64)(2 + ((k - 5) & 1)) << r) + rest;
}

static inline int read_negative(decoder *d, const outlook *o, i64 magnitude, i64 slope, int latest_sign,
                                const tally *in_row, const tally *in_column, const tally *in_tap) {
    const i64 F = o->forecast, tilt = least((5 * size_of(F) + 32) >> 6, 19), lean_F = F > 0 ? 19 + tilt : 19 - tilt;
    const i64 corner = ter(o->left) * 3 + ter(o->up);
    const i64 y[INPUTS] = {(corner * 3 + ter(o->up_left)) * 3 + ter(o->up_right),
                           (ter(o->across) * 3 + ter(o->above)) * 9 + corner,
                           lean(in_row->signs, in_row->count) * 3 + latest_sign,
                           lean(in_column->signs, in_column->count) + 25 * few(magnitude),
                           lean_F + 40 * least(magnitude - 1, 3),
                           o->position * 25 + lean(in_tap->signs, in_tap->count),
                           clip(slope, -15, 15) + 15 + 31 * least(magnitude - 1, 2),
                           lean_F * 9 + corner};
    u32 slots[INPUTS];
    for (int j = 0; j < INPUTS; j++) slots[j] = (u32)(SIGNS_AT + j * SIGN_CONTEXTS + y[j]);
    const i64 bias = clip(-F * least(magnitude, 8) * 2, -1024, 1024);
    return mixed(d, SIGN, slots, 0, (int)o->position, (i32)bias, o->x);
}

typedef struct { /* memory that a tensor needs while it is read */
    tally *columns, *taps;
    i32 *excess;
    u8 *levels;
    predictor predictor;
} workspace;

static int read_weights(decoder *d, const matrix *m, i32 *values, workspace *w) {
    const i64 taps = (i64)m->taps, width = (i64)m->width, columns = (i64)m->live_columns;
    const i64 stride = (i64)m->columns * taps, mean = mean_of(m->level);
    const int spatial = taps > 1;
    predictor *p = &w->predictor;
    u64 each;
    const rows *row_prior = beside(d, m->rows), *column_prior = before(d, m->columns, &each);
    w->columns = zeros((u64)columns, sizeof *w->columns), w->taps = zeros((u64)taps, sizeof *w->taps);
    w->excess = zeros((u64)columns + 2, sizeof *w->excess), w->levels = zeros(m->rows, 1);
    if (!w->columns || !w->taps || !w->excess || !w->levels) return RDZ_MEMORY;
    TRY(open_predictor(d, m, mean, p));
    memset(w->levels, 1, (size_t)m->rows);
    int latest_sign = 1;
    i64 kernels = 0;

    for (i64 row = 0; row < (i64)m->live_rows; row++) {
        tally in_row = {0, 0, 0};
        i64 recent = mean;
        outlook o = {0};
        o.T = 2 * m->level, o.tight = m->ordered && row > 0;
        const int row_known = known(row_prior ? row_prior->levels[row] : 0);
        begin_row(p, row);
        for (i64 column = 0; column < columns; column++) {
            tally *in_column = &w->columns[column];
            o.C = level(d, (in_column->sum * 4096 + 12 * mean) / (row * taps + 12));
            w->excess[column + 1] = o.C - o.T;
            const int beside_C = w->excess[column] + w->excess[column + 2];
            const int column_known = known(column_prior ? column_prior->levels[(u64)column / each] : 0);
            i64 kernel_sum = 0;
            for (i64 tap = 0; tap < taps; tap++) {
                const i64 here = row * stride + column * taps + tap, seen = column * taps + tap;
                tally *in_tap = &w->taps[tap];
                i64 local, slope, value = 0;
#define V(condition, back) ((condition) ? (i64)values[here - (back)] : 0)
                o.R = level(d, (in_row.sum * 4096 + 12 * mean) / (seen + 12));
                o.across = V(column, taps), o.above = V(row, stride), o.joint = clip(o.R + o.C - o.T, 0, TOP);
                if (spatial) {
                    const int inside = tap % width > 0, below = tap >= width, before_end = tap % width + 1 < width;
                    o.left = V(inside, 1), o.up = V(below, width);
                    o.up_left = V(inside && below, width + 1), o.up_right = V(below && before_end, width - 1);
                    o.near = 0;
                    local = (kernel_sum * 4096 + 2 * (in_row.sum * 4096 + 12 * mean) / (seen + 12)) / (tap + 2);
                    o.x = clip(o.joint + level(d, (in_tap->sum * 4096 + 24 * mean) / (kernels + 24)) - o.T, 0, TOP);
                    o.position = least(tap, POSITIONS - 1);
                    slope = 2 * o.left + 2 * o.up - o.up_left;
                } else {
                    o.left = o.across, o.up = o.above;
                    o.up_left = V(row && column, stride + 1), o.up_right = V(row && column + 1 < columns, stride - 1);
                    o.near = size_of(V(column > 1, 2));
                    local = recent, o.x = o.joint, o.position = POSITIONS;
                    slope = o.left + o.up;
                }
#undef V
                o.near += 2 * size_of(o.left) + 2 * size_of(o.up) + size_of(o.up_left) + size_of(o.up_right);
                o.N = level(d, local);
                if (p->inputs) predict(p, seen, tap);
                o.forecast = p->forecast;
                const i64 magnitude = read_magnitude(d, &o, beside_C, column_known * 48 + row_known);
                if (magnitude) {
                    const int negative = read_negative(d, &o, magnitude, slope, latest_sign, &in_row, in_column, in_tap);
                    const int sign = negative ? -1 : 1;
                    if (magnitude > (i64)INT32_MAX + negative) return RDZ_DAMAGED;
                    value = sign * magnitude;
                    values[here] = (i32)value;
                    latest_sign = 1 + sign;
                    count_in(&in_row, magnitude, sign);
                    count_in(in_column, magnitude, sign);
                    count_in(in_tap, magnitude, sign);
                    kernel_sum += least(magnitude, 4095);
                }
                recent = decayed(recent, magnitude);
                if (least(magnitude, 5) != least(size_of(o.above), 5)) o.tight = 0;
                if (p->inputs) learn_from(p, seen, value);
                if (overrun(d)) return RDZ_DAMAGED;
            }
            kernels++;
        }
        w->levels[row] = (u8)o.R;
    }
    u8 *levels = w->levels;
    w->levels = NULL;
    return remember(d, m->rows, m->live_rows, levels);
}

static int read_body(decoder *d, const matrix *m, i32 *values) {
    workspace w;
    memset(&w, 0, sizeof w);
    const int status = read_weights(d, m, values, &w);
    free(w.columns), free(w.taps), free(w.excess), free(w.levels), free(w.predictor.window);
    return status;
}

/* Whether the payload may hold a tensor: no weight costs less than 1/2839 of a bit, half of it where ranges are close. */
static int fits(const decoder *d, const matrix *m) {
    return m->rows * m->columns * m->taps <= (d->size + 16) * (16 * 2839);
}

/* The next tensor of the stream; `values` are zeros. */
static int read_tensor(decoder *d, matrix m, i32 *values) {
    read_header(d, &m);
    if (!m.level) return overrun(d) ? RDZ_DAMAGED : RDZ_OK;
    return fits(d, &m) ? read_body(d, &m, values) : RDZ_DAMAGED;
}

/* ---- the cells of a quality layer: docs/codec.md, Quality layers, integer for integer ---------------------------- */

/* What of a tensor's magnitudes is known before, in rows, columns and taps. */
static void count_coarse(const matrix *m, const i32 *values, i64 *rows, i64 *columns, i64 *taps) {
    for (u64 row = 0; row < m->rows; row++)
        for (u64 column = 0; column < m->columns; column++)
            for (u64 tap = 0; tap < m->taps; tap++) {
                const i64 magnitude = least(size_of(*values++), 4095);
                rows[row] += magnitude, columns[column] += magnitude, taps[tap] += magnitude;
            }
}

typedef struct { /* memory that a refinement needs */
    i64 *rows, *column_sums, *tap_sums;
    tally *columns, *taps;
} survey;

/* Split the cells that weights are in, of which `values` holds the first finer one, with its sign. */
static int split_cells(decoder *d, const matrix *m, i32 *values, const int options[2], survey *s) {
    const i64 rows = (i64)m->rows, columns = (i64)m->columns, taps = (i64)m->taps, width = (i64)m->width;
    const i64 stride = columns * taps, mean = least(mean_of(m->level), 1 << 24);
    const int T = 2 * m->level, spatial = taps > 1;
    s->rows = zeros(m->rows, sizeof *s->rows), s->column_sums = zeros(m->columns, sizeof *s->column_sums);
    s->tap_sums = zeros(m->taps, sizeof *s->tap_sums);
    s->columns = zeros(m->columns, sizeof *s->columns), s->taps = zeros(m->taps, sizeof *s->taps);
    if (!s->rows || !s->column_sums || !s->tap_sums || !s->columns || !s->taps) return RDZ_MEMORY;
    count_coarse(m, values, s->rows, s->column_sums, s->tap_sums);
    i64 total = 0, kernels = 0;
    for (i64 tap = 0; tap < taps; tap++) total += s->tap_sums[tap];
    const i64 coarse_mean = total * 4096 / (rows * stride) + 1;
    int latest_sign = 1;

    for (i64 row = 0; row < rows; row++) {
        tally in_row = {0, 0, 0};
        const i64 row_coarse = (s->rows[row] * 4096 + 12 * coarse_mean) / (stride + 12);
        const i64 row_prior = least(mean * row_coarse / coarse_mean, 1 << 24);
        const int row_known = known(level(d, row_coarse));
        i64 recent = row_prior;
        for (i64 column = 0; column < columns; column++) {
            tally *in_column = &s->columns[column];
            const i64 start = row * stride + column * taps;
            const i64 column_coarse = (s->column_sums[column] * 4096 + 12 * coarse_mean) / (rows * taps + 12);
            const i64 column_prior = least(mean * column_coarse / coarse_mean, 1 << 24);
            const int C = level(d, (in_column->sum * 4096 + 12 * column_prior) / (row * taps + 12));
            const int column_known = known(level(d, column_coarse));
            i64 kernel_sum = 0;
            for (i64 tap = 0; tap < taps; tap++) kernel_sum += least(size_of(values[start + tap]), 4095);
            for (i64 tap = 0; tap < taps; tap++) {
                const i64 here = start + tap, seen = column * taps + tap, before = values[here];
                const int option = options[before != 0];
                tally *in_tap = &s->taps[tap];
                i64 magnitude = size_of(before);
                if (option > 1) {
#define V(condition, ahead) ((condition) ? (i64)values[here + (ahead)] : 0)
                    const int more_rows = row + 1 < rows, more_columns = column + 1 < columns;
                    const i64 across = V(column, -taps), beyond = V(more_columns, taps);
                    const i64 above = V(row, -stride), below = V(more_rows, stride);
                    const i64 row_mean = (in_row.sum * 4096 + 12 * row_prior) / (seen + 12);
                    const int R = level(d, row_mean);
                    const i64 joint = clip(R + C - T, 0, TOP);
                    i64 left, right, up, down, up_left, up_right, down_left, down_right, local, x, position;
                    if (spatial) {
                        const int inside = tap % width > 0, before_end = tap % width + 1 < width;
                        const int higher = tap >= width, lower = tap + width < taps;
                        left = V(inside, -1), right = V(before_end, 1), up = V(higher, -width), down = V(lower, width);
                        up_left = V(inside && higher, -width - 1), up_right = V(before_end && higher, 1 - width);
                        down_left = V(inside && lower, width - 1), down_right = V(before_end && lower, width + 1);
                        local = ((kernel_sum - least(magnitude, 4095)) * 4096 + 2 * row_mean) / (taps + 1);
                        x = clip(joint + level(d, (in_tap->sum * 4096 + 24 * mean) / (kernels + 24)) - T, 0, TOP);
                        position = least(tap, POSITIONS - 1);
                    } else {
                        left = across, right = beyond, up = above, down = below;
                        up_left = V(row && column, -stride - 1), up_right = V(row && more_columns, 1 - stride);
                        down_left = V(more_rows && column, stride - 1);
                        down_right = V(more_rows && more_columns, stride + 1);
                        local = recent, x = joint, position = POSITIONS;
                    }
#undef V
                    const int N = level(d, local);
                    const i64 near = 2 * (size_of(left) + size_of(up) + size_of(right) + size_of(down)) + size_of(up_left) +
                                     size_of(up_right) + size_of(down_left) + size_of(down_right);
                    const i64 far = spatial ? size_of(across) + size_of(beyond) + size_of(above) + size_of(below) : 0;
                    const int corners = spatial ? quartet(across, beyond, above, below)
                                                : quartet(up_left, up_right, down_left, down_right);
                    u32 slots[INPUTS] = {
                        (u32)(3 * ((2 * joint + N) >> 1) + (near + far > 2 ? 2 : near + far > 0)),
                        (u32)quartet(left, up, right, down),
                        (u32)((R >> 1) * 48 + (C >> 1)),
                        (u32)corners,
                        (u32)(dozen((near + 1) >> 1) * 96 + N),
                        (u32)(row_known * 48 + column_known),
                        (u32)(before ? least(magnitude, 47) * 48 + (T >> 1) : dozen(far) * 96 + x),
                        (u32)(row_known * 48 + position)};
                    const int first = before ? 10 : 0;
                    for (int j = 0; j < INPUTS; j++) slots[j] += (u32)((first * INPUTS + j) * CONTEXTS);
                    for (int k = 0; k < option - 1; k++) {
                        if (!mixed(d, first + (int)least(k, 9), slots, T >> 2, (int)position, 256, x)) break;
                        for (int j = 0; j < INPUTS && k < 9; j++) slots[j] += INPUTS * CONTEXTS;
                        magnitude++;
                    }
                    int negative = before < 0;
                    if (!before && magnitude) {
                        const i64 slope = 2 * (left + up + right + down) - up_left - up_right;
                        const int beside_above = ter(left) * 3 + ter(up), lean_R = lean(in_row.signs, in_row.count);
                        const int lean_C = lean(in_column->signs, in_column->count);
                        const i64 y[INPUTS] = {((beside_above * 3 + ter(right)) * 3 + ter(down)) * 3 + ter(up_left),
                                               (ter(across) * 3 + ter(above)) * 9 + beside_above +
                                                   81 * (ter(beyond) * 3 + ter(below)),
                                               lean_R,
                                               lean_C + 25 * few(magnitude),
                                               3 * latest_sign + ter(up_left + up_right + down_left + down_right),
                                               position * 25 + lean(in_tap->signs, in_tap->count),
                                               clip(slope, -15, 15) + 15 + 31 * least(magnitude - 1, 2),
                                               lean_R * 25 + lean_C};
                        for (int j = 0; j < INPUTS; j++) slots[j] = (u32)(SIGNS_AT + j * SIGN_CONTEXTS + y[j]);
                        negative = mixed(d, SIGN, slots, 0, (int)position, 0, x);
                    }
                    kernel_sum += least(magnitude, 4095) - least(size_of(before), 4095);
                    values[here] = (i32)(negative ? -magnitude : magnitude);
                    if (overrun(d)) return RDZ_DAMAGED;
                }
                if (magnitude) {
                    const int sign = values[here] < 0 ? -1 : 1;
                    latest_sign = 1 + sign;
                    count_in(&in_row, magnitude, sign);
                    count_in(in_column, magnitude, sign);
                    count_in(in_tap, magnitude, sign);
                }
                recent = decayed(recent, magnitude);
            }
            kernels++;
        }
    }
    return RDZ_OK;
}

/* Read which of the finer cells weights are in, of which `cells` holds the first: so many of zeros, and of others. */
static int read_split(decoder *d, const matrix *m, i32 *cells, const int options[2]) {
    survey s = {NULL, NULL, NULL, NULL, NULL};
    const int status = split_cells(d, m, cells, options, &s);
    free(s.rows), free(s.column_sums), free(s.tap_sums), free(s.columns), free(s.taps);
    return status;
}

/* The next tensor's cells, in place of the coarser ones. */
static int refine(decoder *d, matrix m, i32 *cells, const int options[2]) {
    m.level = read_level(d, 0);
    if (m.level && !fits(d, &m)) return RDZ_DAMAGED;
    for (u64 i = 0; i < m.rows * m.columns * m.taps; i++) { /* the first of the finer cells */
        const i64 first = options[0] + (size_of(cells[i]) - 1) * options[1];
        if (first + options[1] > INT32_MAX) return RDZ_DAMAGED;
        if (cells[i]) cells[i] = (i32)(cells[i] < 0 ? -first : first);
    }
    if (m.level) TRY(read_split(d, &m, cells, options));
    return overrun(d) ? RDZ_DAMAGED : RDZ_OK;
}

/* ---- a stream, tensor by tensor: rdz.h --------------------------------------------------------------------------- */

rdz_stream *rdz_open(const u8 *data, size_t size) {
    rdz_stream *d = zeros(1, sizeof *d);
    if (!d) return NULL;
    make_tables(d);
    go_on(d, data, size);
    return d;
}

int rdz_next(rdz_stream *d, int dims, const u64 *shape) {
    d->next = matrix_of(dims, shape);
    read_header(d, &d->next);
    return d->next.level > 0;
}

int rdz_weights(rdz_stream *d, int in_order, i32 *values) {
    d->next.ordered = in_order;
    return read_body(d, &d->next, values);
}

void rdz_go_on(rdz_stream *d, const u8 *data, size_t size) { go_on(d, data, size); }

int rdz_next_cells(rdz_stream *d, int dims, const u64 *shape) {
    d->next = matrix_of(dims, shape);
    return (d->next.level = read_level(d, 0)) > 0;
}

int rdz_cells(rdz_stream *d, const int options[2], i32 *cells) { return read_split(d, &d->next, cells, options); }

u64 rdz_words(const rdz_stream *d) { return d->at; }

int rdz_overrun(const rdz_stream *d) { return overrun(d); }

void rdz_close(rdz_stream *d) {
    if (d) forget(d);
    free(d);
}

/* ---- segments: docs/codec.md, Segments --------------------------------------------------------------------------- */

typedef struct {
    int dims, ordered;
    const u64 *shape;
    u64 size;
    i32 *values;
} coded;

enum { ALONE = 1 << 22, SEGMENT = 1 << 21 };

static int ended(const decoder *d) { return d->at * 4 < d->size ? RDZ_DAMAGED : RDZ_OK; }

/* Walk over the segments of more than ALONE values: count them, or with `streams` read them. */
static int segments(decoder *d, coded *list, size_t count, cursor *lengths, cursor *streams, u64 *number) {
    u64 held = 0, length;
    const u8 *data;
    int open = 0;
    *number = 0;
    for (size_t i = 0; i < count; i++) {
        const coded *one = &list[i];
        if (!one->size) continue;
        u64 rows_each = 0, parts = 1;
        if (open && held + one->size > SEGMENT) {
            if (streams) TRY(ended(d));
            open = 0;
        }
        if (one->size > SEGMENT && one->dims > 1) {
            u64 row = one->size / one->shape[0];
            rows_each = row < SEGMENT ? SEGMENT / row : 1;
            parts = (one->shape[0] + rows_each - 1) / rows_each;
        }
        if (!streams) {
            *number += open ? 0 : parts;
            held = open ? held + one->size : one->size;
            open = !rows_each;
            continue;
        }
        for (u64 part = 0; part < parts; part++) {
            matrix m = matrix_of(one->dims, one->shape);
            u64 first = part * rows_each, left = m.rows - first;
            if (rows_each) m.rows = left < rows_each ? left : rows_each;
            m.ordered = one->ordered;
            if (!open) {
                TRY(varint(lengths, &length));
                TRY(take(streams, length, &data));
                begin(d, data, length);
                held = 0;
            }
            TRY(read_tensor(d, m, one->values + first * m.columns * m.taps));
            held += one->size;
            open = !rows_each;
            if (rows_each) TRY(ended(d));
        }
    }
    if (streams && open) TRY(ended(d));
    return RDZ_OK;
}

static int read_coded(decoder *d, cursor payload, coded *list, size_t count) {
    u64 total = 0, number, unused;
    for (size_t i = 0; i < count; i++) total += list[i].size;
    if (!total) return payload.left ? RDZ_DAMAGED : RDZ_OK;
    if (total <= ALONE) {
        begin(d, payload.at, payload.left);
        for (size_t i = 0; i < count; i++) {
            if (!list[i].size) continue;
            matrix m = matrix_of(list[i].dims, list[i].shape);
            m.ordered = list[i].ordered;
            TRY(read_tensor(d, m, list[i].values));
        }
        return ended(d);
    }
    TRY(segments(d, list, count, NULL, NULL, &number));
    if (number > payload.left) return RDZ_DAMAGED;
    cursor lengths = payload, streams = payload;
    u64 sum = 0, length;
    for (u64 i = 0; i < number; i++) {
        TRY(varint(&streams, &length));
        if (length > payload.left) return RDZ_DAMAGED;
        sum += length;
    }
    if (sum != streams.left) return RDZ_DAMAGED;
    return segments(d, list, count, &lengths, &streams, &unused);
}

/* ---- the layout, JSON: docs/format.md, Network ------------------------------------------------------------------- */

enum { WEIGHT, VECTOR, BATCHNORM, BUFFER, TIED, ZEROS, VARIANCE, COUNT };

typedef struct { /* beside each rdz_tensor */
    int kind;
    size_t size; /* bytes of one value */
    u64 values;
    char *note;
    size_t number;
    const rdz_tensor *tensor;
} entry;

typedef struct {
    rdz_network *network;
    entry *entries;
    size_t room;
} layout;

static int starts(cursor *c, const char *text) {
    const u8 *found;
    size_t size = strlen(text);
    return size <= c->left && !memcmp(c->at, text, size) && !take(c, size, &found);
}

static int is(cursor *c, const char *text) { /* the same, behind white space */
    while (c->left && strchr(" \t\r\n", *c->at) && *c->at) c->at++, c->left--;
    return starts(c, text);
}

static int hex(cursor *c, u32 *code) {
    const u8 *digits;
    TRY(take(c, 4, &digits));
    *code = 0;
    for (int i = 0; i < 4; i++) {
        const char *all = "0123456789abcdef", *one = digits[i] ? strchr(all, digits[i] | 32) : NULL;
        if (!one || (digits[i] != *one && (digits[i] | 32) < 'a')) return RDZ_DAMAGED;
        *code = *code << 4 | (u32)(one - all);
    }
    return RDZ_OK;
}

static int string(cursor *c, char **text) { /* a string of JSON as UTF-8; the caller frees it */
    size_t length = 0;
    *text = NULL;
    if (!is(c, "\"")) return RDZ_DAMAGED;
    for (size_t i = 0; i < c->left && c->at[i] != '"'; i++, length++) i += c->at[i] == '\\';
    char *out = *text = zeros(length + c->left / 4096 + 4, 4); /* no sign takes more than four bytes */
    if (!out) return RDZ_MEMORY;
    for (;;) {
        const u8 *one;
        u32 code, low;
        TRY(take(c, 1, &one));
        if (*one == '"') return RDZ_OK;
        if (*one < 32) return RDZ_DAMAGED;
        if (*one != '\\') {
            *out++ = (char)*one;
            continue;
        }
        TRY(take(c, 1, &one));
        const char *plain_ = "\"\\/bfnrt", *meant = "\"\\/\b\f\n\r\t", *found = *one ? strchr(plain_, *one) : NULL;
        if (found) {
            *out++ = meant[found - plain_];
            continue;
        }
        if (*one != 'u') return RDZ_DAMAGED;
        TRY(hex(c, &code));
        if (code >= 0xd800 && code < 0xdc00) {
            if (!starts(c, "\\u")) return RDZ_DAMAGED;
            TRY(hex(c, &low));
            if (low < 0xdc00 || low > 0xdfff) return RDZ_DAMAGED;
            code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
        }
        if (!code) return RDZ_DAMAGED;
        if (code >= 0x10000) *out++ = (char)(0xf0 | code >> 18), *out++ = (char)(0x80 | (code >> 12 & 63));
        else if (code >= 0x800) *out++ = (char)(0xe0 | code >> 12);
        if (code >= 0x800) *out++ = (char)(0x80 | (code >> 6 & 63));
        else if (code >= 0x80) *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(code >= 0x80 ? 0x80 | (code & 63) : code);
    }
}

static int number(cursor *c, u64 *value) {
    int digits = 0;
    *value = 0;
    is(c, "");
    while (c->left && *c->at >= '0' && *c->at <= '9') {
        const u8 *one;
        TRY(take(c, 1, &one));
        *value = *value * 10 + (u64)(*one - '0');
        if (*value > (u64)1 << 48 || ++digits > 15) return RDZ_DAMAGED;
    }
    return digits ? RDZ_OK : RDZ_DAMAGED;
}

static int shape_of(cursor *c, rdz_tensor *tensor) {
    u64 extent = 1;
    if (!is(c, "[")) return RDZ_DAMAGED;
    if (is(c, "]")) return RDZ_OK;
    do {
        u64 size;
        if (tensor->dims == 32) return RDZ_DAMAGED;
        TRY(number(c, &size));
        tensor->shape[tensor->dims++] = size;
        if (size && extent > ((u64)1 << 48) / size) return RDZ_DAMAGED;
        extent *= size ? size : 1;
    } while (is(c, ","));
    return is(c, "]") ? RDZ_OK : RDZ_DAMAGED;
}

static int grow(layout *l) {
    rdz_network *n = l->network;
    if (n->count < l->room) return RDZ_OK;
    size_t room = 2 * l->room + 16;
    rdz_tensor *tensors = room > SIZE_MAX / sizeof *tensors ? NULL : realloc(n->tensors, room * sizeof *tensors);
    if (!tensors) return RDZ_MEMORY;
    n->tensors = tensors;
    entry *entries = room > SIZE_MAX / sizeof *entries ? NULL : realloc(l->entries, room * sizeof *entries);
    if (!entries) return RDZ_MEMORY;
    l->entries = entries;
    l->room = room;
    return RDZ_OK;
}

/* Add a tensor with a copy of `like`'s shape; its name is `like`'s, and `suffix`. */
static int add(layout *l, const rdz_tensor *like, const char *suffix, int kind, const char *type, size_t size) {
    TRY(grow(l));
    rdz_tensor *tensor = &l->network->tensors[l->network->count];
    entry *e = &l->entries[l->network->count];
    size_t length = strlen(like->name);
    *tensor = *like;
    if (kind == COUNT) tensor->dims = 0;
    if (!(tensor->name = zeros(length + strlen(suffix) + 1, 1))) return RDZ_MEMORY;
    memcpy(tensor->name, like->name, length);
    memcpy(tensor->name + length, suffix, strlen(suffix));
    tensor->type = type;
    *e = (entry){kind, size, 1, NULL, l->network->count, NULL};
    for (int i = 0; i < tensor->dims; i++) e->values *= tensor->shape[i];
    tensor->bytes = e->values * size;
    l->network->count++;
    return RDZ_OK;
}

static int add_entry(layout *l, const char *kind, const rdz_tensor *found, char **note) {
    static const struct {
        const char *name;
        size_t size;
    } types[] = {{"bool", 1},  {"uint8", 1}, {"uint16", 2}, {"uint32", 4}, {"uint64", 8},
                 {"int8", 1},  {"int16", 2}, {"int32", 4},  {"int64", 8},  {"float32", 4}};
    if (!strcmp(kind, "weight")) return add(l, found, "", WEIGHT, "float32", 4);
    if (!strcmp(kind, "vector")) return add(l, found, "", VECTOR, "float32", 4);
    if (!strcmp(kind, "buffer")) {
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if (!strcmp(*note, types[i].name)) return add(l, found, "", BUFFER, types[i].name, types[i].size);
        return RDZ_DAMAGED;
    }
    if (!strcmp(kind, "batchnorm")) {
        char *end;
        if (found->dims != 1 || strspn(*note, "+-.0123456789eE") != strlen(*note)) return RDZ_DAMAGED;
        double epsilon = strtod(*note, &end);
        if (end == *note || *end || !(epsilon >= 0 && epsilon < 1)) return RDZ_DAMAGED;
        TRY(add(l, found, ".weight", VECTOR, "float32", 4));
        TRY(add(l, found, ".bias", VECTOR, "float32", 4));
        TRY(add(l, found, ".running_mean", ZEROS, "float32", 4));
        TRY(add(l, found, ".running_var", VARIANCE, "float32", 4));
        l->entries[l->network->count - 1].note = *note;
        *note = NULL;
        return add(l, found, ".num_batches_tracked", COUNT, "int64", 8);
    }
    if (strcmp(kind, "tied")) return RDZ_DAMAGED;
    TRY(add(l, found, "", TIED, "float32", 4));
    l->entries[l->network->count - 1].note = *note;
    *note = NULL;
    return RDZ_OK;
}

static int read_entry(layout *l, cursor *c) {
    char *kind = NULL, *note = NULL;
    rdz_tensor found;
    memset(&found, 0, sizeof found);
    int status = is(c, "[") ? string(c, &kind) : RDZ_DAMAGED;
    if (!status) status = is(c, ",") ? string(c, &found.name) : RDZ_DAMAGED;
    if (!status) status = is(c, ",") ? shape_of(c, &found) : RDZ_DAMAGED;
    if (!status) status = is(c, ",") ? string(c, &note) : RDZ_DAMAGED;
    if (!status && !is(c, "]")) status = RDZ_DAMAGED;
    if (!status) status = add_entry(l, kind, &found, &note);
    free(kind), free(note), free(found.name);
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(entry *const *)a)->tensor->name, (*(entry *const *)b)->tensor->name);
}

/* No name twice, and what a tied tensor is tied to comes before it and has its shape. Tied ones get its type. */
static int consistent(layout *l) {
    rdz_network *n = l->network;
    entry **sorted = zeros(n->count, sizeof *sorted);
    int status = sorted ? RDZ_OK : RDZ_MEMORY;
    for (size_t i = 0; i < n->count && sorted; i++) sorted[i] = &l->entries[i], l->entries[i].tensor = &n->tensors[i];
    if (sorted) qsort(sorted, n->count, sizeof *sorted, by_name);
    for (size_t i = 1; i < n->count && !status; i++)
        if (!by_name(&sorted[i - 1], &sorted[i])) status = RDZ_DAMAGED;
    for (size_t i = 0; i < n->count && !status; i++) {
        entry *e = &l->entries[i], wanted, *key = &wanted, **found;
        rdz_tensor named = {e->note, NULL, 0, {0}, 0, NULL};
        if (e->kind != TIED) continue;
        wanted.tensor = &named;
        found = bsearch(&key, sorted, n->count, sizeof *sorted, by_name);
        if (!found || (*found)->number >= i || (*found)->tensor->dims != n->tensors[i].dims ||
            memcmp((*found)->tensor->shape, n->tensors[i].shape, sizeof named.shape)) {
            status = RDZ_DAMAGED;
            break;
        }
        e->number = (*found)->number;
        n->tensors[i].type = n->tensors[e->number].type;
        n->tensors[i].bytes = n->tensors[e->number].bytes;
    }
    free(sorted);
    return status;
}

static int read_layout(layout *l, cursor text) {
    if (!is(&text, "[")) return RDZ_DAMAGED;
    if (!is(&text, "]")) {
        do TRY(read_entry(l, &text));
        while (is(&text, ","));
        if (!is(&text, "]")) return RDZ_DAMAGED;
    }
    is(&text, "");
    return text.left ? RDZ_DAMAGED : consistent(l);
}

/* ---- levels and steps: docs/format.md, Section 2 ----------------------------------------------------------------- */

static int room_for(rdz_network *n, u64 limit) {
    for (size_t i = 0; i < n->count; i++) {
        if (n->tensors[i].bytes > limit) return RDZ_TOO_LARGE;
        limit -= n->tensors[i].bytes;
    }
    for (size_t i = 0; i < n->count; i++)
        if (!(n->tensors[i].data = zeros(n->tensors[i].bytes, 1))) return RDZ_MEMORY;
    return RDZ_OK;
}

typedef struct { /* bits, the highest of a byte first */
    cursor rest;
    int held, bad;
    u32 byte;
} bit_reader;

static u32 bits_of(bit_reader *r, int count) {
    u32 value = 0;
    for (const u8 *next; count-- > 0; value = value << 1 | (r->byte >> --r->held & 1)) {
        if (r->held) continue;
        if (take(&r->rest, 1, &next)) {
            r->bad = 1;
            return 0;
        }
        r->byte = *next, r->held = 8;
    }
    return value;
}

static int read_steps(bit_reader *r, size_t count, float *steps) {
    const size_t stored = count > 1 && !bits_of(r, 1) ? 1 : count;
    int exponent = 122;
    for (size_t i = 0; i < stored; i++) {
        int ones = 0;
        while (ones < 15 && bits_of(r, 1)) ones++;
        if (ones == 15) exponent = (int)bits_of(r, 8);
        else exponent += bits_of(r, 1) ? ones + 1 : -ones;
        if (exponent < 0 || exponent > 254) return RDZ_DAMAGED;
        const u32 pattern = (u32)exponent << 23 | bits_of(r, 7) << 16;
        memcpy(&steps[i], &pattern, 4);
    }
    for (size_t i = stored; i < count; i++) steps[i] = steps[0];
    return r->bad ? RDZ_DAMAGED : RDZ_OK;
}

static int scale(const rdz_tensor *tensor, float step) { /* levels to values, in place */
    u8 *data = tensor->data;
    for (u64 i = 0; i < tensor->bytes; i += 4) {
        i32 whole;
        memcpy(&whole, data + i, 4);
        float value = (float)whole * step;
        if (!isfinite(value)) return RDZ_DAMAGED;
        memcpy(data + i, &value, 4);
    }
    return RDZ_OK;
}

static size_t count_of(const layout *l, int kind) {
    size_t count = 0;
    for (size_t i = 0; i < l->network->count; i++) count += l->entries[i].kind == kind;
    return count;
}

/* What is coded: in the order of the layout with their places for steps, or without, all weights before all vectors. */
static void list_coded(layout *l, coded *list, size_t *places) {
    size_t at[2] = {0, count_of(l, WEIGHT)}, number = 0;
    for (size_t i = 0; i < l->network->count; i++) {
        const rdz_tensor *tensor = &l->network->tensors[i];
        if (l->entries[i].kind > VECTOR) continue;
        const size_t place = at[l->entries[i].kind]++;
        list[places ? number : place] = (coded){tensor->dims, 0, tensor->shape, l->entries[i].values, tensor->data};
        if (places) places[number] = place;
        number++;
    }
}

static int read_levels(layout *l, decoder *d, cursor c, coded *list, float *steps) {
    const size_t weights = count_of(l, WEIGHT), vectors = count_of(l, VECTOR);
    size_t *places = zeros(weights + vectors, sizeof *places);
    if (!places) return RDZ_MEMORY;
    list_coded(l, list, places);
    bit_reader r = {c, 0, 0, 0};
    int status = read_steps(&r, weights, steps);
    if (!status) status = read_steps(&r, vectors, steps + weights);
    for (int flag = 0; flag < 2; flag++) /* rows in order; rows sorted in parts, which is for people */
        if (bits_of(&r, 1))
            for (size_t i = 0; i < weights + vectors; i++)
                if (places[i] < weights) list[i].ordered |= (int)bits_of(&r, 1) & !flag;
    free(places);
    if (status || r.bad || bits_of(&r, r.held)) return RDZ_DAMAGED;
    return read_coded(d, r.rest, list, weights + vectors);
}

static int to_values(layout *l, const float *steps) {
    size_t at[2] = {0, count_of(l, WEIGHT)};
    for (size_t i = 0; i < l->network->count; i++)
        if (l->entries[i].kind <= VECTOR) TRY(scale(&l->network->tensors[i], steps[at[l->entries[i].kind]++]));
    return RDZ_OK;
}

/* ---- quality layers: docs/format.md, Section 128 ----------------------------------------------------------------- */

enum { MOST_LAYERS = 64, DEAD = 0, WIDTH, POINT };

typedef struct {
    cursor weights, vectors;
    u64 shift;
    i32 *cells; /* for each weight tensor: all DEADs, all WIDTHs, all POINTs */
} layer;

static int first_steps(cursor *c, size_t count, float *steps) {
    bit_reader r = {*c, 0, 0, 0};
    TRY(read_steps(&r, count, steps));
    if (bits_of(&r, r.held)) return RDZ_DAMAGED;
    *c = r.rest;
    return RDZ_OK;
}

/* Read what layer `number` of `found` says before its payloads. */
static int open_layer(decoder *d, cursor c, size_t number, size_t found, const size_t counts[2], u64 *written, float *steps,
                      layer *out) {
    u64 size, length;
    const u8 *at;
    TRY(varint(&c, &size));
    if (size > c.left) return RDZ_DAMAGED;
    cursor tail = {c.at + (c.left - size), (size_t)size};
    c.left -= (size_t)size;
    if (!number) {
        TRY(varint(&c, written));
        if (*written < found || *written > MOST_LAYERS) return RDZ_DAMAGED;
        TRY(first_steps(&c, counts[WEIGHT], steps));
        TRY(first_steps(&tail, counts[VECTOR], steps + counts[WEIGHT]));
    }
    const int last = number + 1 == *written;
    const size_t n = counts[WEIGHT];
    TRY(varint(&c, &out->shift));
    TRY(varint(&c, &length));
    TRY(take(&c, length, &at));
    if (out->shift > (last ? 0 : 16) || (length > 0) == (last || !n)) return RDZ_DAMAGED;
    out->weights = c, out->vectors = tail;
    if (!(out->cells = zeros(3 * (u64)n, sizeof *out->cells))) return RDZ_MEMORY;
    for (size_t i = 0; i < 2 * n; i++) out->cells[i] = last;
    if (!length) return RDZ_OK;
    const u64 shape[2] = {3, n};
    const cursor payload = {at, (size_t)length};
    coded matrix_of_cells = {2, 0, shape, 3 * (u64)n, out->cells};
    TRY(read_coded(d, payload, &matrix_of_cells, 1));
    for (size_t i = 0; i < n; i++) {
        const i64 width = out->cells[WIDTH * n + i], point = out->cells[POINT * n + i];
        if (out->cells[DEAD * n + i] < 1 || width < 1 || point < 0 || point >= 8 * width) return RDZ_DAMAGED;
    }
    return RDZ_OK;
}

/* Into how many cells of the next layer each cell of tensor i is split: cell 0, and the others. */
static int options_of(const layer *coarse, const layer *fine, size_t n, size_t i, int options[2]) {
    const i64 gap = (i64)coarse->cells[DEAD * n + i] - fine->cells[DEAD * n + i], width = fine->cells[WIDTH * n + i];
    const i64 others = coarse->cells[WIDTH * n + i] / width;
    if (gap < 0 || gap % width || gap / width >= 64 || coarse->cells[WIDTH * n + i] % width || others < 1 || others > 64)
        return RDZ_DAMAGED;
    options[0] = 1 + (int)(gap / width), options[1] = (int)others;
    return RDZ_OK;
}

static int read_cells(decoder *d, const layer *layers, size_t found, const coded *list, size_t n) {
    forget(d);
    for (size_t k = 1; k < found; k++) {
        go_on(d, layers[k].weights.at, layers[k].weights.left);
        for (size_t i = 0; i < n; i++) {
            int options[2];
            TRY(options_of(&layers[k - 1], &layers[k], n, i, options));
            if (list[i].size && (options[0] > 1 || options[1] > 1))
                TRY(refine(d, matrix_of(list[i].dims, list[i].shape), list[i].values, options));
        }
        TRY(ended(d));
    }
    return RDZ_OK;
}

/* Biases and normalisation: levels, and what the others differ from the layer before. */
static int read_differences(decoder *d, const layer *layers, size_t found, const coded *list, size_t n) {
    forget(d);
    for (size_t k = 0; k < found; k++) {
        if (k && layers[k].shift > layers[k - 1].shift) return RDZ_DAMAGED;
        const int up = k ? (int)(layers[k - 1].shift - layers[k].shift) : 0;
        go_on(d, layers[k].vectors.at, layers[k].vectors.left);
        for (size_t i = 0; i < n; i++) {
            if (!list[i].size) continue;
            i32 *new = zeros(list[i].size, sizeof *new);
            int status = new ? read_tensor(d, matrix_of(list[i].dims, list[i].shape), new) : RDZ_MEMORY;
            for (u64 j = 0; j < list[i].size && !status; j++) {
                const i64 value = (i64)list[i].values[j] * ((i64)1 << up) + new[j];
                if (k && size_of(value) > INT32_MAX) status = RDZ_DAMAGED;
                list[i].values[j] = (i32)value;
            }
            free(new);
            TRY(status);
        }
        TRY(ended(d));
    }
    return RDZ_OK;
}

/* Where a prefix reconstructs the cells, in eighths of a step. */
static int to_points(const layer *at, const coded *one, size_t n, size_t i) {
    for (u64 j = 0; j < one->size; j++) {
        const i64 cell = one->values[j], beyond = (size_of(cell) - 1) * at->cells[WIDTH * n + i];
        const i64 point = 8 * (at->cells[DEAD * n + i] + beyond) + at->cells[POINT * n + i];
        if (!cell) continue;
        if (point > INT32_MAX) return RDZ_DAMAGED;
        one->values[j] = (i32)(cell < 0 ? -point : point);
    }
    return RDZ_OK;
}

static int read_opened(layout *l, decoder *d, layer *layers, const cursor *payloads, size_t found, coded *list,
                       float *steps) {
    const size_t counts[2] = {count_of(l, WEIGHT), count_of(l, VECTOR)}, n = counts[WEIGHT];
    u64 written = 0;
    for (size_t k = 0; k < found; k++) TRY(open_layer(d, payloads[k], k, found, counts, &written, steps, &layers[k]));
    TRY(read_coded(d, layers[0].weights, list, n));
    TRY(read_cells(d, layers, found, list, n));
    TRY(read_differences(d, layers, found, list + n, counts[VECTOR]));
    const layer *last = &layers[found - 1];
    for (size_t i = 0; i < n && found < written; i++) {
        TRY(to_points(last, &list[i], n, i));
        steps[i] = (float)((double)steps[i] / 8);
    }
    for (size_t i = 0; i < counts[VECTOR]; i++) steps[n + i] = (float)((double)steps[n + i] * (double)((u64)1 << last->shift));
    return RDZ_OK;
}

static int read_layers(layout *l, decoder *d, const cursor *payloads, size_t found, coded *list, float *steps) {
    layer *layers = zeros(found, sizeof *layers);
    if (!layers) return RDZ_MEMORY;
    list_coded(l, list, NULL);
    const int status = read_opened(l, d, layers, payloads, found, list, steps);
    for (size_t k = 0; k < found; k++) free(layers[k].cells);
    free(layers);
    return status;
}

/* ---- a file: docs/format.md, Container, Network, Section 3 ------------------------------------------------------- */

static int read_buffers(layout *l, const cursor *section) {
    rdz_network *n = l->network;
    u64 total = 0;
    for (size_t i = 0; i < n->count; i++)
        if (l->entries[i].kind == BUFFER) total += n->tensors[i].bytes;
    if (!section->at) return total ? RDZ_DAMAGED : RDZ_OK;
    if (total / 1032 > section->left) return RDZ_DAMAGED; /* zlib makes a byte of at most 1032 */
    size_t filled = 0, at = 0;
    u8 *raw = zeros(total, 1);
    if (!raw) return RDZ_MEMORY;
    int status = inflated(*section, raw, (size_t)total, &filled);
    if (!status && filled != total) status = RDZ_DAMAGED;
    for (size_t i = 0; i < n->count && !status; i++) {
        if (l->entries[i].kind != BUFFER) continue;
        memcpy(n->tensors[i].data, raw + at, (size_t)n->tensors[i].bytes);
        at += (size_t)n->tensors[i].bytes;
    }
    free(raw);
    return status;
}

static void fill(layout *l) { /* what follows from the layout */
    rdz_network *n = l->network;
    for (size_t i = 0; i < n->count; i++) {
        rdz_tensor *tensor = &n->tensors[i];
        const entry *e = &l->entries[i];
        if (e->kind == TIED) memcpy(tensor->data, n->tensors[e->number].data, (size_t)tensor->bytes);
        if (e->kind != VARIANCE) continue;
        const float variance = 1.0f - (float)strtod(e->note, NULL);
        for (u64 k = 0; k < e->values; k++) memcpy((u8 *)tensor->data + 4 * k, &variance, 4);
    }
}

static int read_network(layout *l, int form, cursor network, cursor given) {
    u8 digest[2];
    if (form == 0) {
        if (network.left < 2) return RDZ_DAMAGED;
        if (!given.at) return RDZ_LAYOUT;
        blake2b_2(given.at, given.left, digest);
        if (memcmp(digest, network.at + network.left - 2, 2)) return RDZ_LAYOUT;
        return read_layout(l, given);
    }
    const size_t room = 1 << 22;
    size_t filled;
    u8 *text = zeros(room, 1);
    if (!text) return RDZ_MEMORY;
    int status = inflated(network, text, room, &filled);
    if (!status) {
        cursor c = {text, filled};
        status = read_layout(l, c);
    }
    free(text);
    return status;
}

typedef struct {
    cursor network, parts[5], layers[MOST_LAYERS]; /* `parts`: sections by their kinds */
    int form;
    size_t count; /* of layers */
} sections;

static int checked(cursor *c, u32 sum) {
    const u8 *at;
    TRY(take(c, 4, &at));
    return ((u32)at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24) == sum ? RDZ_OK : RDZ_DAMAGED;
}

static int find_sections(cursor c, sections *s) {
    const u8 *file = c.at, *payload, *kind;
    size_t summed = 0;
    u64 length;
    u32 sum = 0;
    if (c.left < 4 || memcmp(file, "RDZ\x03", 4)) return RDZ_FOREIGN;
    TRY(take(&c, 4, &payload));
    TRY(varint(&c, &length));
    s->form = (int)(length & 1);
    s->network.left = (size_t)(length >> 2);
    TRY(take(&c, length >> 2, &s->network.at));
    if (length & 2) { /* nothing but levels follow */
        if (c.left < 4) return RDZ_DAMAGED;
        s->parts[2].left = c.left - 4;
        TRY(take(&c, c.left - 4, &s->parts[2].at));
    }
    while (c.left > (s->count ? 0 : 4)) {
        TRY(take(&c, 1, &kind));
        TRY(varint(&c, &length));
        TRY(take(&c, length, &payload));
        const cursor found = {payload, (size_t)length};
        if (*kind == 128) {
            if (s->count == MOST_LAYERS) return RDZ_DAMAGED;
            sum = crc32(sum, file + summed, (size_t)(c.at - file) - summed);
            TRY(checked(&c, sum));
            summed = (size_t)(c.at - file);
            s->layers[s->count++] = found;
        } else {
            if (*kind < 2 || *kind > 4 || s->parts[*kind].at || s->count) return RDZ_DAMAGED;
            s->parts[*kind] = found;
        }
    }
    if (!s->parts[2].at == !s->count) return RDZ_DAMAGED;
    return s->count ? RDZ_OK : checked(&c, crc32(0, file, (size_t)(c.at - file)));
}

static int read_file(cursor file, cursor given, u64 limit, layout *l) {
    sections s;
    memset(&s, 0, sizeof s);
    TRY(find_sections(file, &s));
    TRY(read_network(l, s.form, s.network, given));
    TRY(room_for(l->network, limit));
    coded *list = zeros(l->network->count, sizeof *list);
    float *steps = zeros(l->network->count, sizeof *steps);
    decoder *d = rdz_open(NULL, 0);
    int status = list && steps && d ? RDZ_OK : RDZ_MEMORY;
    if (!status)
        status = s.count ? read_layers(l, d, s.layers, s.count, list, steps) : read_levels(l, d, s.parts[2], list, steps);
    rdz_close(d);
    if (!status) status = to_values(l, steps);
    free(list), free(steps);
    if (!status) status = read_buffers(l, &s.parts[3]);
    if (!status) fill(l);
    return status;
}

int rdz_read(const u8 *file, size_t size, const u8 *text, size_t text_size, u64 limit, rdz_network *network) {
    layout l = {network, NULL, 0};
    const cursor whole = {file, size}, given = {text, text_size};
    network->count = 0, network->tensors = NULL;
    int status = read_file(whole, given, limit, &l);
    for (size_t i = 0; i < network->count; i++) free(l.entries[i].note);
    free(l.entries);
    if (status) rdz_free(network);
    return status;
}

int rdz_read_payload(const u8 *payload, size_t size, u64 limit, rdz_network *network) {
    const cursor c = {payload, size};
    for (size_t i = 0; i < network->count; i++) {
        u64 bytes = 4;
        if (network->tensors[i].dims < 0 || network->tensors[i].dims > 32) return RDZ_TOO_LARGE;
        for (int k = 0; k < network->tensors[i].dims; k++) {
            if (network->tensors[i].shape[k] && bytes > ((u64)1 << 50) / network->tensors[i].shape[k]) return RDZ_TOO_LARGE;
            bytes *= network->tensors[i].shape[k];
        }
        network->tensors[i].bytes = bytes, network->tensors[i].type = "int32";
    }
    TRY(room_for(network, limit));
    coded *list = zeros(network->count, sizeof *list);
    decoder *d = rdz_open(NULL, 0);
    int status = list && d ? RDZ_OK : RDZ_MEMORY;
    for (size_t i = 0; i < network->count && list; i++)
        list[i] = (coded){network->tensors[i].dims, 0, network->tensors[i].shape, network->tensors[i].bytes / 4,
                          network->tensors[i].data};
    if (!status) status = read_coded(d, c, list, network->count);
    rdz_close(d);
    free(list);
    return status;
}

void rdz_free(rdz_network *network) {
    for (size_t i = 0; i < network->count; i++) free(network->tensors[i].name), free(network->tensors[i].data);
    free(network->tensors);
    network->count = 0, network->tensors = NULL;
}

const char *rdz_message(int status) {
    static const char *const messages[] = {
        "the file was read",
        "not a .rdz file of format version 3",
        "the file is damaged, or was made for other shapes",
        "the file is of a registered network: give its layout's JSON text, which has to be that of the file's network",
        "the file's tensors take more memory than the limit",
        "there is not enough memory",
    };
    return status >= 0 && status <= RDZ_MEMORY ? messages[status] : "unknown status";
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

#ifndef RDZ_NO_MAIN
#include <stdio.h>

static u8 *whole_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    size_t room = 1 << 16;
    u8 *data = malloc(room);
    *size = 0;
    while (file && data) {
        *size += fread(data + *size, 1, room - *size, file);
        if (*size < room) break;
        u8 *larger = room > SIZE_MAX / 2 ? NULL : realloc(data, room *= 2);
        if (!larger) free(data);
        data = larger;
    }
    if (!file || ferror(file)) fprintf(stderr, "rdz: cannot read %s\n", path), free(data), data = NULL;
    if (file) fclose(file);
    return data;
}

static int write_out(const rdz_network *network, const char *path) {
    FILE *out = fopen(path, "wb");
    int good = out != NULL;
    for (size_t i = 0; good && i < network->count; i++) {
        const rdz_tensor *tensor = &network->tensors[i];
        good = fwrite(tensor->data, 1, (size_t)tensor->bytes, out) == tensor->bytes;
        printf("%s ", tensor->type);
        for (int k = 0; k < tensor->dims; k++) printf("%s%llu", k ? "x" : "", (unsigned long long)tensor->shape[k]);
        printf("%s%s%s\n", tensor->dims ? "" : "-", tensor->name ? " " : "", tensor->name ? tensor->name : "");
    }
    if (out && fclose(out)) good = 0;
    if (!good) fprintf(stderr, "rdz: cannot write %s\n", path);
    return good;
}

static int shapes(rdz_network *network, int count, char **texts) {
    network->tensors = zeros((u64)count, sizeof *network->tensors);
    if (!network->tensors) return RDZ_MEMORY;
    network->count = (size_t)count;
    for (int i = 0; i < count; i++) {
        rdz_tensor *tensor = &network->tensors[i];
        const char *text = texts[i];
        if (!strcmp(text, "-")) continue;
        for (char *end;; text = end + 1) {
            if (tensor->dims == 32 || *text < '0' || *text > '9') return RDZ_LAYOUT;
            tensor->shape[tensor->dims++] = strtoull(text, &end, 10);
            if (*end != 'x') {
                if (*end) return RDZ_LAYOUT;
                break;
            }
        }
    }
    return RDZ_OK;
}

int main(int argc, char **argv) {
    const int bare = argc > 3 && !strcmp(argv[1], "--payload");
    const u64 limit = (u64)1 << 40 < SIZE_MAX / 2 ? (u64)1 << 40 : SIZE_MAX / 2;
    rdz_network network = {0, NULL};
    size_t size, text_size = 0;
    u8 *text = NULL;
    if (!bare && argc != 3 && argc != 4) {
        fprintf(stderr, "usage: rdz FILE.rdz OUT [LAYOUT.json]\n       rdz --payload FILE OUT SHAPE...\n");
        return 64;
    }
    u8 *data = whole_file(argv[bare ? 2 : 1], &size);
    if (!bare && argc == 4) text = whole_file(argv[3], &text_size);
    int status = 66;
    if (data && (bare || argc == 3 || text)) {
        status = bare ? shapes(&network, argc - 4, argv + 4) : rdz_read(data, size, text, text_size, limit, &network);
        if (bare && !status) status = rdz_read_payload(data, size, limit, &network);
        if (status) fprintf(stderr, "rdz: %s\n", rdz_message(status));
        else if (!write_out(&network, argv[bare ? 3 : 2])) status = 74;
    }
    rdz_free(&network);
    free(data), free(text);
    return status;
}
#endif
