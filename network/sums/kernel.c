/* One layer of integrate-and-fire neurons through a few steps, in exact whole numbers.
 *
 * Spikes are few, so a convolution of spikes is a sum of rows of weights: for every place of the
 * output, the rows of the inputs that spiked in its window. No multiplication, and no work for
 * inputs that are silent. The neurons follow while the sum is still in the first-level cache:
 *
 *     v += bias + constant + sums + results + shortcuts;   s = v >= theta;   v -= s ? theta or v : 0
 *
 * Everything lies with channels last. A row holds the weights from one input at one place of the
 * kernel to one block of 16, 32 or 64 output channels. Sums run in 16 bits and are emptied into 32
 * bits before they can pass them, after ROWS rows: 127 * 256 < 2^15. Wide weights, up to 16 bits,
 * are summed twice: as they are, modulo 2^16, and their high bytes; of a sum S and the sum H of
 * high bytes, 256 H <= S <= 256 H + 255 ROWS < 256 H + 2^16, so both together give S. Weights of
 * more than 16 bits are summed in 32 bits.
 *
 * With a limit, potentials are held between -limit and limit after every step.
 */
#include <stdlib.h>

#include "lists.h"

enum { LANES = 16, WIDEST = 4, CHANNELS = LANES * WIDEST };
enum { NARROW, WIDE, WIDEST_ROWS }; /* weights of up to 8 bits, 16 bits, and more */
typedef int16_t Vector __attribute__((vector_size(2 * LANES)));
typedef int16_t Pair __attribute__((vector_size(4 * LANES)));
typedef int32_t Long __attribute__((vector_size(4 * LANES)));

typedef struct { /* sums that were computed before, times a factor; one of the two is null */
    const float *exact;   /* [steps][batch][height][width][channels] */
    const int32_t *whole;
    int64_t factor;
} Result;

typedef struct { /* spikes that add `each` [height][width][channels] to their own place */
    const uint8_t *spikes; /* [steps][batch][height][width][channels] */
    const int32_t *each;
} Shortcut;

typedef struct {
    int64_t steps, batch, height, width, channels, block, wide, hard, limit;
    int64_t readings, results, shortcuts;
    const Reading *reading;
    const Result *result;
    const Shortcut *shortcut;
    const int32_t *bias, *theta; /* [channels] */
    const int32_t *constant;     /* [batch][height][width][channels], or null */
    int32_t *v;                  /* the same */
    uint8_t *spikes;             /* [steps][batch][height][width][channels], written */
    int32_t *counts;             /* [steps][batch][height][width] spikes, written */
} Layer;

static void list_images(const Layer *layer, const Reading *from, int64_t first, int64_t images,
                        Lists *lists)
{
    const int64_t inputs = from->height * from->width * from->channels;
    uint32_t *next = lists->events, *starts = lists->starts;
    for (int64_t image = first; image < first + images; image++)
        for (int64_t t = 0; t < layer->steps; t++) {
            const uint8_t *spikes = from->spikes + (t * layer->batch + image) * inputs;
            next = list_image(from, spikes, (uint32_t)layer->block, lists->events, next, starts);
            starts += from->height * (from->width + 1);
        }
}

/* v += the rows of 32 bits at `places`. */
INLINE void add_long_rows(int32_t *restrict v, const int32_t *rows, const uint32_t *places,
                          int count, const int vectors)
{
    Long sum[WIDEST];
    int32_t s[CHANNELS];
    for (int k = 0; k < vectors; k++)
        sum[k] = (Long){0};
    for (int i = 0; i < count; i++) {
        const Long *row = (const Long *)(rows + places[i]);
        for (int k = 0; k < vectors; k++)
            sum[k] += row[k];
    }
    memcpy(s, sum, vectors * sizeof(Long));
    for (int c = 0; c < vectors * LANES; c++)
        v[c] += s[c];
}

/* v += the rows of 16 bits at `places`, of which there are at most ROWS; a row is `vectors` of a
 * type, as wide as its length allows. */
#define ADD_ROWS(NAME, TYPE)                                                                      \
    INLINE void NAME(int32_t *restrict v, const int16_t *rows, const uint32_t *places, int count, \
                     const int vectors, const int wide)                                           \
    {                                                                                             \
        TYPE low[WIDEST], high[WIDEST];                                                           \
        int16_t l[CHANNELS], h[CHANNELS];                                                         \
        for (int k = 0; k < vectors; k++)                                                         \
            low[k] = high[k] = (TYPE){0};                                                         \
        for (int i = 0; i < count; i++) {                                                         \
            const TYPE *row = (const TYPE *)(rows + places[i]);                                   \
            for (int k = 0; k < vectors; k++) {                                                   \
                low[k] += row[k];                                                                 \
                if (wide)                                                                         \
                    high[k] += row[k] >> 8;                                                       \
            }                                                                                     \
        }                                                                                         \
        memcpy(l, low, vectors * sizeof(TYPE));                                                   \
        if (wide)                                                                                 \
            memcpy(h, high, vectors * sizeof(TYPE));                                              \
        for (int c = 0; c < vectors * (int)(sizeof(TYPE) / 2); c++)                               \
            v[c] += wide ? 256 * h[c] + (uint16_t)(l[c] - 256 * h[c]) : l[c];                     \
    }
ADD_ROWS(add_short_rows, Vector)
ADD_ROWS(add_paired_rows, Pair)

/* v += the rows of all events in the window of output (y, x). */
INLINE void gather(int32_t *restrict v, const Reading *from, int64_t block,
                   const uint32_t *events, const uint32_t *starts, int64_t y, int64_t x,
                   const int vectors, const int wide)
{
    Walk walk = window_of(from, events, starts, y, x, vectors * LANES);
    uint32_t places[ROWS + AHEAD];
    const int64_t own = from->kernel_y * from->kernel_x * from->channels * vectors * LANES;
    int count;
    do {
        count = next_places(&walk, places);
        if (count && wide == WIDEST_ROWS)
            add_long_rows(v, (const int32_t *)from->rows + block * own, places, count, vectors);
        else if (count && vectors > 1)
            add_paired_rows(v, (const int16_t *)from->rows + block * own, places, count,
                            vectors / 2, wide);
        else if (count)
            add_short_rows(v, (const int16_t *)from->rows + block * own, places, count, 1, wide);
    } while (count == ROWS);
}

/* Spikes of `channels` channels, a multiple of eight, and how many they are. */
INLINE int32_t fire(int32_t *restrict v, const int32_t *restrict theta, uint8_t *restrict spikes,
                    const int channels, const int hard)
{
    uint64_t word, total = 0;
    for (int c = 0; c < channels; c++) {
        const int32_t fired = v[c] >= theta[c];
        v[c] -= fired ? (hard ? v[c] : theta[c]) : 0;
        spikes[c] = (uint8_t)fired;
    }
    for (int c = 0; c < channels; c += 8) {
        memcpy(&word, spikes + c, 8);
        total += word;
    }
    return (int32_t)((total * ONES) >> 56);
}

INLINE void hold(int32_t *restrict v, const int32_t limit, const int channels)
{
    for (int c = 0; c < channels; c++) {
        const int32_t above = v[c] > limit ? limit : v[c];
        v[c] = above < -limit ? -limit : above;
    }
}

/* What else arrives at `channels` channels from place `at` of all outputs, `here` of the image's. */
static void add_others(int32_t *restrict v, const Layer *layer, int64_t at, int64_t here,
                       int64_t channels)
{
    for (int64_t i = 0; i < layer->results; i++) {
        const Result *from = layer->result + i;
        const int32_t factor = (int32_t)from->factor;
        if (from->exact)
            for (int64_t c = 0; c < channels; c++)
                v[c] += factor * (int32_t)from->exact[at + c];
        else
            for (int64_t c = 0; c < channels; c++)
                v[c] += factor * from->whole[at + c];
    }
    for (int64_t i = 0; i < layer->shortcuts; i++) {
        const Shortcut *from = layer->shortcut + i;
        for (int64_t c = 0; c < channels; c++)
            v[c] += from->spikes[at + c] * from->each[here + c];
    }
}

/* One block of output channels at place (y, x) of one image, through all steps. Channels that fill
 * the block up have no weights and the highest threshold. */
INLINE void run_place(const Layer *layer, const Lists *lists, int64_t image, int64_t list,
                      int64_t block, int64_t y, int64_t x, const int32_t *bias,
                      const int32_t *theta, const int64_t channels, const int vectors,
                      const int wide)
{
    const int size = vectors * LANES;
    const int64_t places = layer->height * layer->width, place = y * layer->width + x;
    const int64_t here = place * layer->channels + block * size;
    const int64_t own = image * places * layer->channels + here;
    int32_t v[CHANNELS] = {0}, still[CHANNELS], count;
    uint8_t spikes[CHANNELS];
    memcpy(v, layer->v + own, channels * sizeof *v);
    memcpy(still, bias, size * sizeof *still);
    if (layer->constant)
        for (int64_t c = 0; c < channels; c++)
            still[c] += layer->constant[own + c];
    for (int64_t t = 0; t < layer->steps; t++, list++) {
        const int64_t spot = (t * layer->batch + image) * places + place;
        const int64_t at = spot * layer->channels + block * size;
        for (int c = 0; c < size; c++)
            v[c] += still[c];
        for (int64_t i = 0; i < layer->readings; i++) {
            const Reading *from = layer->reading + i;
            const uint32_t *starts = lists[i].starts + list * from->height * (from->width + 1);
            gather(v, from, block, lists[i].events, starts, y, x, vectors, wide);
        }
        if (layer->results || layer->shortcuts)
            add_others(v, layer, at, here, channels);
        if (layer->hard)
            count = fire(v, theta, spikes, size, 1);
        else
            count = fire(v, theta, spikes, size, 0);
        if (layer->limit)
            hold(v, (int32_t)layer->limit, size);
        memcpy(layer->spikes + at, spikes, channels);
        layer->counts[spot] = count + (block ? layer->counts[spot] : 0);
    }
    memcpy(layer->v + own, v, channels * sizeof *v);
}

/* One block of output channels of some images; its weights stay in the second-level cache. */
INLINE void run_block(const Layer *layer, const Lists *lists, int64_t first, int64_t images,
                      int64_t block, const int vectors, const int wide)
{
    const int64_t base = block * vectors * LANES, rest = layer->channels - base;
    const int64_t channels = rest < vectors * LANES ? rest : vectors * LANES;
    int32_t bias[CHANNELS] = {0}, theta[CHANNELS];
    for (int c = 0; c < CHANNELS; c++)
        theta[c] = INT32_MAX;
    memcpy(bias, layer->bias + base, channels * sizeof *bias);
    memcpy(theta, layer->theta + base, channels * sizeof *theta);
    for (int64_t i = 0; i < images; i++)
        for (int64_t y = 0; y < layer->height; y++)
            for (int64_t x = 0; x < layer->width; x++)
                if (channels == vectors * LANES) /* a size that the compiler knows */
                    run_place(layer, lists, first + i, i * layer->steps, block, y, x, bias, theta,
                              vectors * LANES, vectors, wide);
                else
                    run_place(layer, lists, first + i, i * layer->steps, block, y, x, bias, theta,
                              channels, vectors, wide);
}

static void run_blocks(const Layer *layer, const Lists *lists, int64_t first, int64_t images)
{
    const int64_t blocks = (layer->channels + layer->block - 1) / layer->block;
    for (int64_t block = 0; block < blocks; block++)
        switch (layer->block / LANES * 3 + layer->wide) {
        case 3: run_block(layer, lists, first, images, block, 1, NARROW); break;
        case 4: run_block(layer, lists, first, images, block, 1, WIDE); break;
        case 5: run_block(layer, lists, first, images, block, 1, WIDEST_ROWS); break;
        case 6: run_block(layer, lists, first, images, block, 2, NARROW); break;
        case 7: run_block(layer, lists, first, images, block, 2, WIDE); break;
        case 8: run_block(layer, lists, first, images, block, 2, WIDEST_ROWS); break;
        case 12: run_block(layer, lists, first, images, block, 4, NARROW); break;
        case 13: run_block(layer, lists, first, images, block, 4, WIDE); break;
        case 14: run_block(layer, lists, first, images, block, 4, WIDEST_ROWS); break;
        }
}

/* Images first ... last - 1, as many at once as have room for their lists; 1 without memory. */
int run_layer(const Layer *layer, int64_t first, int64_t last)
{
    int64_t inputs = 1, group;
    int failed = 0;
    Lists *lists = calloc(layer->readings + 1, sizeof *lists);
    for (int64_t i = 0; i < layer->readings; i++) {
        const Reading *from = layer->reading + i;
        const int64_t own = from->height * from->width * from->channels;
        inputs = own > inputs ? own : inputs;
    }
    group = LISTED / (inputs * layer->steps);
    group = group < 1 ? 1 : group > last - first ? last - first : group;
    for (int64_t i = 0; lists && i < layer->readings; i++) {
        const Reading *from = layer->reading + i;
        const int64_t many = group * layer->steps * from->height;
        const int64_t most = many * from->width * from->channels * from->largest + AHEAD;
        lists[i].events = malloc(most * sizeof *lists->events);
        lists[i].starts = malloc(many * (from->width + 1) * sizeof *lists->starts);
        failed |= !lists[i].events || !lists[i].starts;
    }
    for (int64_t image = first; lists && !failed && image < last; image += group) {
        const int64_t images = last - image < group ? last - image : group;
        for (int64_t i = 0; i < layer->readings; i++)
            list_images(layer, layer->reading + i, image, images, lists + i);
        run_blocks(layer, lists, image, images);
    }
    for (int64_t i = 0; lists && i < layer->readings; i++) {
        free(lists[i].events);
        free(lists[i].starts);
    }
    failed |= !lists;
    free(lists);
    return failed;
}
