/* Which inputs spiked: lists of events, made once per chunk and read by every block of outputs. */
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "events are listed from little-endian words"
#endif

#define INLINE static inline __attribute__((always_inline))
#define ONES 0x0101010101010101ull
enum {
    AHEAD = 8,       /* entries that may be read or written past the end of a list */
    ROWS = 256,      /* events that are handed out at once */
    LISTED = 1 << 21 /* inputs whose events are listed at once */
};

typedef struct { /* weights that read spikes; spikes are whole numbers up to `largest` */
    const uint8_t *spikes; /* [steps][batch][height][width][channels] */
    const void *rows;      /* [block][kernel_y][kernel_x][channels][channels of the block] */
    int64_t height, width, channels, largest;
    int64_t kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
} Reading;

typedef struct { /* events of one reading, list by list: [image][step] */
    uint32_t *events; /* (x * channels + channel) * block, row by row of the input */
    uint32_t *starts; /* [list][height][width + 1] */
} Lists;

/* Appends the events of one word of eight inputs; returns the end. Two stores are always made, so
 * that a word of up to two spikes, the common case, takes no branch that depends on the spikes. */
INLINE uint32_t *list_word(uint64_t word, uint32_t at, uint32_t block, uint32_t *next)
{
    const uint64_t last = 1ull << 63;
    if (word & ~ONES) {
        for (int k = 0; k < 8; k++, word >>= 8)
            for (uint64_t n = word & 255; n; n--)
                *next++ = at + k * block;
        return next;
    }
    uint32_t *end = next + ((word * ONES) >> 56);
    next[0] = at + (__builtin_ctzll(word | last) >> 3) * block;
    word &= word - 1;
    next[1] = at + (__builtin_ctzll(word | last) >> 3) * block;
    for (next += 2; next < end; next++) {
        word &= word - 1;
        *next = at + (__builtin_ctzll(word) >> 3) * block;
    }
    return end;
}

static uint32_t *list_image(const Reading *from, const uint8_t *image, uint32_t block,
                            uint32_t *events, uint32_t *next, uint32_t *starts)
{
    const int64_t channels = from->channels, rest = channels % 8;
    for (int64_t y = 0; y < from->height; y++) {
        for (int64_t x = 0; x < from->width; x++, image += channels) {
            uint32_t at = (uint32_t)(x * channels) * block;
            uint64_t word = 0;
            int64_t c = 0;
            *starts++ = (uint32_t)(next - events);
            for (; c + 8 <= channels; c += 8, at += 8 * block) {
                memcpy(&word, image + c, 8);
                next = list_word(word, at, block, next);
            }
            if (rest && channels > 8) { /* the last eight, without those that were listed */
                memcpy(&word, image + channels - 8, 8);
                next = list_word(word >> (64 - 8 * rest), at, block, next);
            } else if (rest) {
                memcpy(&word, image, rest);
                next = list_word(word, at, block, next);
            }
        }
        *starts++ = (uint32_t)(next - events);
    }
    return next;
}

typedef struct { /* where the events of one output's window are */
    const Reading *from;
    const uint32_t *events, *starts, *event, *end;
    int64_t y, x, stride, ky, kx;
    uint32_t shift;
} Walk;

/* The window of output (y, x); size: numbers in a row of weights. */
INLINE Walk window_of(const Reading *from, const uint32_t *events, const uint32_t *starts,
                      int64_t y, int64_t x, const int size)
{
    Walk walk = {from, events, starts, events, events, y * from->stride_y - from->padding_y,
                 x * from->stride_x - from->padding_x, from->channels * size, 0, 0, 0};
    return walk;
}

/* Up to ROWS next places of rows in the weights of a block; fewer than ROWS are the last. */
INLINE int next_places(Walk *walk, uint32_t *places)
{
    /* neighbours in a row of the input are neighbours in the list: one run per row of the kernel */
    const Reading *from = walk->from;
    const int64_t span = from->dilation_x == 1 ? from->kernel_x : 1;
    int64_t count = 0;
    for (;;) {
        while (walk->event < walk->end) {
            const int64_t left = walk->end - walk->event;
            const int64_t run = left < ROWS - count ? left : ROWS - count;
            for (int64_t i = 0; i < run; i += AHEAD) /* past the run: written over later */
                for (int k = 0; k < AHEAD; k++)
                    places[count + i + k] = walk->event[i + k] + walk->shift;
            walk->event += run;
            count += run;
            if (count == ROWS)
                return ROWS;
        }
        if (walk->kx >= from->kernel_x) {
            walk->kx = 0;
            walk->ky++;
        }
        if (walk->ky >= from->kernel_y)
            return (int)count;
        const int64_t in_y = walk->y + walk->ky * from->dilation_y;
        if (in_y < 0 || in_y >= from->height) {
            walk->ky++;
            walk->kx = 0;
            continue;
        }
        int64_t x0 = walk->x + walk->kx * from->dilation_x, x1 = x0 + span;
        walk->shift = (uint32_t)((walk->ky * from->kernel_x + walk->kx - x0) * walk->stride);
        walk->kx += span;
        x0 = x0 < 0 ? 0 : x0;
        x1 = x1 > from->width ? from->width : x1;
        if (x0 >= x1)
            continue;
        const uint32_t *line = walk->starts + in_y * (from->width + 1);
        walk->event = walk->events + line[x0];
        walk->end = walk->events + line[x1];
    }
}
