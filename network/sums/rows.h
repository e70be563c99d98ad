/* Rows of weights, whole numbers, summed over the inputs that spiked.
 *
 * A row holds the weights from one input at one place of the kernel to one block of 16, 32, 64 or
 * 128 output channels: in 32 bits, or, from 64 channels on, in one to three digits of base 256,
 * from -128 to 127, the first digits of all channels before the second. Two digits share 16 bits
 * V, which are summed twice: as they are, modulo 2^16, to S, and the upper digit, V >> 8, to H. Of
 * ROWS = 256 rows, H stays within 16 bits, and S - 256 H is the sum of the lower digits: these are
 * 128 larger than they should be, so it is at least 0 and at most 255 ROWS < 2^16. Then both are
 * emptied into 32 bits.
 */
#include "lists.h"

enum {
    CHANNELS = 128,          /* in the largest block */
    LANES = WIDTH / 4,       /* in a vector */
    MOST = CHANNELS / LANES, /* vectors of a block */
    PARTS = 64 / WIDTH       /* vectors of 64 bytes */
};
typedef int32_t Long VECTOR;
typedef int16_t Pair VECTOR;

/* Numbers of 32 bits in a row of weights to a block of so many channels. */
INLINE int64_t row_of(int64_t channels, int64_t digits)
{
    return digits ? channels / 4 * digits : channels;
}

/* v += the rows at `places`. */
INLINE void add_rows(Long *v, const int32_t *rows, const uint32_t *places, int count,
                     const int vectors)
{
    Long sum[MOST];
    for (int k = 0; k < vectors; k++)
        sum[k] = (Long){0};
    for (int i = 0; i < count; i++) {
        const Long *row = (const Long *)(rows + places[i]);
        for (int k = 0; k < vectors; k++)
            sum[k] += row[k];
    }
    for (int k = 0; k < vectors; k++)
        v[k] += sum[k];
}

/* v += the rows of digits at `places`, of which there are at most ROWS. */
INLINE void add_digits(Long *v, const int32_t *rows, const uint32_t *places, int count,
                       const int vectors, const int digits)
{
    const int each = vectors / 4, pairs = each * digits;
    Pair all[MOST], high[MOST];
    for (int k = 0; k < pairs; k++)
        all[k] = high[k] = (Pair){0};
    for (int i = 0; i < count; i++) {
        const Pair *row = (const Pair *)(rows + places[i]);
        for (int k = 0; k < pairs; k++) {
            all[k] += row[k];
            high[k] += row[k] >> 8;
        }
    }
    for (int k = 0; k < pairs; k++) {
        const Long low = (Long)(all[k] - (high[k] << 8)), top = (Long)high[k];
        const int place = 8 * (k / each), unit = k % each / PARTS, part = k % PARTS;
        Long *to = v + unit * 4 * PARTS + part;
        to[0] += ((low & 0xffff) - 128 * count) << place;
        to[PARTS] += (top << 16 >> 16) << place;
        to[2 * PARTS] += ((low >> 16 & 0xffff) - 128 * count) << place;
        to[3 * PARTS] += (top >> 16) << place;
    }
}

/* v += the rows of all events of one list in the window whose runs were found. */
INLINE void gather(Long *v, const Reading *from, int64_t block, const Lists *lists, int64_t list,
                   const int vectors, const int digits)
{
    Walk walk = walk_of(lists, lists->starts + list * from->height * (from->width + 1));
    uint32_t places[ROWS + AHEAD];
    const int64_t before = block * from->kernel_y * from->kernel_x * from->channels;
    const int32_t *rows = (const int32_t *)from->rows + before * row_of(vectors * LANES, digits);
    int count;
    do {
        count = next_places(&walk, places);
        if (digits)
            add_digits(v, rows, places, count, vectors, digits);
        else
            add_rows(v, rows, places, count, vectors);
    } while (count == ROWS);
}
