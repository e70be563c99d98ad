/* Which inputs spiked: lists of events, made once per chunk and read by every block of outputs. */
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "events are listed from little-endian words"
#endif

#if defined(__AVX512BW__) && defined(__AVX512VL__)
#define WIDEST 64
#elif defined(__AVX2__)
#define WIDEST 32
#else
#define WIDEST 16
#endif
#ifndef WIDTH
#define WIDTH WIDEST /* bytes of a vector: wider ones than the machine's are several times slower */
#endif
#define VECTOR __attribute__((vector_size(WIDTH), may_alias))
#define INLINE static inline __attribute__((always_inline))
#define ONES 0x0101010101010101ull
enum {
    TOGETHER = 16,   /* inputs that are listed at once */
    AHEAD = 32,      /* entries that may be read or written past the end of a list */
    ROWS = 256,      /* events that are handed out at once */
    LISTED = 1 << 21 /* inputs whose events are listed at once */
};

typedef struct { /* weights that read spikes; spikes are whole numbers up to `largest` */
    const uint8_t *spikes; /* [steps][batch][height][width][channels] */
    const void *rows;      /* [block][kernel_y][kernel_x][channels], each for a block of outputs */
    int64_t height, width, channels, largest;
    int64_t kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
} Reading;

typedef struct { /* events that lie side by side in every list and in the window of an output */
    int64_t first, last; /* of starts */
    uint32_t shift;      /* what makes of an event the place of its row in the weights */
} Run;

typedef struct { /* events of one reading, list by list: [image][step] */
    uint32_t *events; /* (x * channels + channel) * row, row by row of the input */
    uint32_t *starts; /* [list][height][width + 1] */
    Run *runs;        /* of one window: at most one for each place of the kernel */
    int64_t windowed; /* how many these are */
} Lists;

#if WIDTH == 64 && WIDEST == 64
#include <immintrin.h>

/* Appends the events of up to sixteen inputs; returns the end. No branch depends on the spikes as
 * long as they are single ones, or sums of up to four. */
INLINE uint32_t *list_inputs(const uint8_t *inputs, int64_t count, int64_t largest, uint32_t at,
                             uint32_t row, uint32_t *next)
{
    const __m512i each = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i places = _mm512_add_epi32(_mm512_set1_epi32((int)at),
                                            _mm512_mullo_epi32(each, _mm512_set1_epi32((int)row)));
    const __m128i values = count < TOGETHER
                               ? _mm_maskz_loadu_epi8((__mmask16)((1u << count) - 1), inputs)
                               : _mm_loadu_si128((const __m128i *)inputs);
    __mmask16 spiked = 1;
    for (int64_t k = 1; k <= largest && (spiked || largest <= 4); k++) {
        spiked = _mm_cmpge_epu8_mask(values, _mm_set1_epi8((char)k));
        _mm512_storeu_si512(next, _mm512_maskz_compress_epi32(spiked, places));
        next += __builtin_popcount(spiked);
    }
    return next;
}
#else
/* Appends the events of a word of eight inputs, each of which is 0 or 1; returns the end. Two
 * stores are always made: a word of up to two takes no branch that depends on the spikes. */
INLINE uint32_t *list_word(uint64_t word, uint32_t at, uint32_t row, uint32_t *next)
{
    const uint64_t last = 1ull << 63;
    uint32_t *end = next + ((word * ONES) >> 56);
    next[0] = at + (uint32_t)(__builtin_ctzll(word | last) >> 3) * row;
    word &= word - 1;
    next[1] = at + (uint32_t)(__builtin_ctzll(word | last) >> 3) * row;
    for (next += 2; next < end; next++) {
        word &= word - 1;
        *next = at + (uint32_t)(__builtin_ctzll(word) >> 3) * row;
    }
    return end;
}

/* Appends the events of up to sixteen inputs; returns the end. */
INLINE uint32_t *list_inputs(const uint8_t *inputs, int64_t count, int64_t largest, uint32_t at,
                             uint32_t row, uint32_t *next)
{
    for (int64_t first = 0; first < count && first < TOGETHER; first += 8) {
        const int64_t left = count - first;
        uint64_t word = 0, some;
        if (left >= 8)
            memcpy(&word, inputs + first, 8);
        else
            memcpy(&word, inputs + first, (size_t)left);
        do {
            some = word | word >> 4;
            some |= some >> 2;
            some = (some | some >> 1) & ONES; /* 1 for every input that is not 0 */
            next = list_word(some, at + (uint32_t)first * row, row, next);
            word -= some;
        } while (largest > 1 && word);
    }
    return next;
}
#endif

static uint32_t *list_image(const Reading *from, const uint8_t *image, uint32_t row,
                            uint32_t *events, uint32_t *next, uint32_t *starts)
{
    const int64_t channels = from->channels;
    for (int64_t y = 0; y < from->height; y++) {
        for (int64_t x = 0; x < from->width; x++, image += channels) {
            *starts++ = (uint32_t)(next - events);
            for (int64_t c = 0; c < channels; c += TOGETHER)
                next = list_inputs(image + c, channels - c, from->largest,
                                   (uint32_t)(x * channels + c) * row, row, next);
        }
        *starts++ = (uint32_t)(next - events);
    }
    return next;
}

/* The runs of the window of output (y, x); row: numbers of 32 bits in a row of weights. */
INLINE void find_runs(const Reading *from, int64_t y, int64_t x, int64_t row, Lists *lists)
{
    /* neighbours in a row of the input are neighbours in the list */
    const int64_t span = from->dilation_x == 1 ? from->kernel_x : 1, stride = from->channels * row;
    Run *run = lists->runs;
    y = y * from->stride_y - from->padding_y;
    x = x * from->stride_x - from->padding_x;
    for (int64_t ky = 0; ky < from->kernel_y; ky++) {
        const int64_t in_y = y + ky * from->dilation_y;
        if (in_y < 0 || in_y >= from->height)
            continue;
        for (int64_t kx = 0; kx < from->kernel_x; kx += span) {
            const int64_t x0 = x + kx * from->dilation_x, x1 = x0 + span;
            const int64_t first = x0 < 0 ? 0 : x0, last = x1 > from->width ? from->width : x1;
            if (first >= last)
                continue;
            run->first = in_y * (from->width + 1) + first;
            run->last = in_y * (from->width + 1) + last;
            run->shift = (uint32_t)((ky * from->kernel_x + kx - x0) * stride);
            run++;
        }
    }
    lists->windowed = run - lists->runs;
}

typedef uint32_t Places __attribute__((vector_size(WIDTH), may_alias, aligned(4)));

typedef struct { /* what is left of the events of one window in one list */
    const uint32_t *events, *starts, *event, *end;
    const Run *run, *last;
    uint32_t shift;
} Walk;

INLINE Walk walk_of(const Lists *lists, const uint32_t *starts)
{
    Walk walk = {lists->events, starts, lists->events, lists->events, lists->runs,
                 lists->runs + lists->windowed, 0};
    return walk;
}

/* Up to ROWS next places of rows in the weights of a block; fewer than ROWS are the last. */
INLINE int next_places(Walk *walk, uint32_t *places)
{
    int64_t count = 0;
    for (;;) {
        const int64_t left = walk->end - walk->event, room = ROWS - count;
        const int64_t taken = left < room ? left : room;
        for (int64_t i = 0; i < taken; i += AHEAD) /* past the end: written over later */
            for (int k = 0; k < AHEAD; k += WIDTH / 4)
                *(Places *)(places + count + i + k) =
                    *(const Places *)(walk->event + i + k) + walk->shift;
        walk->event += taken;
        count += taken;
        if (count == ROWS || walk->run == walk->last)
            return (int)count;
        walk->event = walk->events + walk->starts[walk->run->first];
        walk->end = walk->events + walk->starts[walk->run->last];
        walk->shift = walk->run->shift;
        walk->run++;
    }
}
