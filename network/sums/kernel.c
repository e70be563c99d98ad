/* One layer of integrate-and-fire neurons through a few steps, in exact whole numbers.
 *
 * Spikes are few, so a convolution of spikes is a sum of rows of weights: for every place of the
 * output, the rows of the inputs that spiked in its window. No multiplication, and no work for
 * inputs that are silent. The neurons follow while the sum is still in the first-level cache:
 *
 *     v += bias + constant + sums + results + shortcuts;  s = v >= theta;  v -= s ? theta or v : 0
 *
 * Everything lies with channels last. A row holds the weights from one input at one place of the
 * kernel to one block of 16, 32, 64 or 128 output channels: in 32 bits, or, from 64 channels on, in
 * one to three digits of base 256, from -128 to 127, the first digits of all channels before the
 * second. Two digits share 16 bits V, which are summed twice: as they are, modulo 2^16, to S, and
 * the upper digit, V >> 8, to H. Of ROWS = 256 rows, H stays within 16 bits, and S - 256 H is the
 * sum of the lower digits: these are 128 larger than they should be, so it is at least 0 and at
 * most 255 ROWS < 2^16. Then both are emptied into 32 bits.
 *
 * With a limit, potentials are held between -limit and limit after every step.
 */
#include <stdlib.h>

#include "lists.h"

enum {
    CHANNELS = 128,          /* in the largest block */
    LANES = WIDTH / 4,       /* in a vector */
    MOST = CHANNELS / LANES, /* vectors of a block */
    PARTS = 64 / WIDTH       /* vectors of 64 bytes */
};
typedef int32_t Long VECTOR;
typedef int16_t Pair VECTOR;

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
    int64_t steps, batch, height, width, channels, block, digits, hard, limit;
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

/* Numbers of 32 bits in a row of weights to a block of so many channels. */
INLINE int64_t row_of(int64_t channels, int64_t digits)
{
    return digits ? channels / 4 * digits : channels;
}

static void list_images(const Layer *layer, const Reading *from, int64_t first, int64_t images,
                        Lists *lists)
{
    const int64_t inputs = from->height * from->width * from->channels;
    const uint32_t row = (uint32_t)row_of(layer->block, layer->digits);
    uint32_t *next = lists->events, *starts = lists->starts;
    for (int64_t image = first; image < first + images; image++)
        for (int64_t t = 0; t < layer->steps; t++) {
            const uint8_t *spikes = from->spikes + (t * layer->batch + image) * inputs;
            next = list_image(from, spikes, row, lists->events, next, starts);
            starts += from->height * (from->width + 1);
        }
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

/* Spikes of the channels of `vectors`, and how many they are. */
INLINE int32_t fire(Long *v, const Long *theta, uint8_t *restrict spikes, const int vectors,
                    const int hard)
{
    int32_t fired[CHANNELS];
    uint64_t word, total = 0;
    for (int k = 0; k < vectors; k++) {
        const Long over = v[k] >= theta[k];
        v[k] -= over & (hard ? v[k] : theta[k]);
        memcpy(fired + k * LANES, &over, sizeof over);
    }
    for (int c = 0; c < vectors * LANES; c++)
        spikes[c] = (uint8_t)(fired[c] & 1);
    for (int c = 0; c < vectors * LANES; c += 8) {
        memcpy(&word, spikes + c, 8);
        total += word;
    }
    return (int32_t)((total * ONES) >> 56);
}

INLINE void hold(Long *v, const int32_t limit, const int vectors)
{
    for (int k = 0; k < vectors; k++) {
        const Long above = v[k] > limit, below = v[k] < -limit;
        v[k] = (v[k] & ~(above | below)) | (above & limit) | (below & -limit);
    }
}

/* What else arrives at channels from place `at` of all outputs, `here` of the image's. */
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
INLINE void run_place(const Layer *layer, Lists *lists, int64_t image, int64_t list,
                      int64_t block, int64_t y, int64_t x, const Long *bias,
                      const Long *theta, const int64_t channels, const int vectors,
                      const int digits)
{
    const int size = vectors * LANES;
    const int64_t places = layer->height * layer->width, place = y * layer->width + x;
    const int64_t here = place * layer->channels + block * size;
    const int64_t own = image * places * layer->channels + here;
    Long v[MOST], still[MOST], constant[MOST] = {{0}};
    uint8_t spikes[CHANNELS];
    memcpy(still, bias, size * sizeof(int32_t));
    memset(v, 0, sizeof v);
    memcpy(v, layer->v + own, channels * sizeof(int32_t));
    if (layer->constant)
        memcpy(constant, layer->constant + own, channels * sizeof(int32_t));
    for (int k = 0; k < vectors; k++)
        still[k] += constant[k];
    for (int64_t i = 0; i < layer->readings; i++)
        find_runs(layer->reading + i, y, x, row_of(vectors * LANES, digits), lists + i);
    for (int64_t t = 0; t < layer->steps; t++, list++) {
        const int64_t spot = (t * layer->batch + image) * places + place;
        const int64_t at = spot * layer->channels + block * size;
        for (int k = 0; k < vectors; k++)
            v[k] += still[k];
        for (int64_t i = 0; i < layer->readings; i++)
            gather(v, layer->reading + i, block, lists + i, list, vectors, digits);
        if (layer->results || layer->shortcuts)
            add_others((int32_t *)v, layer, at, here, channels);
        uint8_t *written = channels == size ? layer->spikes + at : spikes;
        const int32_t count = layer->hard ? fire(v, theta, written, vectors, 1)
                                          : fire(v, theta, written, vectors, 0);
        if (layer->limit)
            hold(v, (int32_t)layer->limit, vectors);
        if (written == spikes)
            memcpy(layer->spikes + at, spikes, channels);
        layer->counts[spot] = count + (block ? layer->counts[spot] : 0);
    }
    memcpy(layer->v + own, v, channels * sizeof(int32_t));
}

/* One block of output channels of some images; its weights stay in the second-level cache. */
INLINE void run_block(const Layer *layer, Lists *lists, int64_t first, int64_t images,
                      int64_t block, const int vectors, const int digits)
{
    const int64_t base = block * vectors * LANES, rest = layer->channels - base;
    const int64_t channels = rest < vectors * LANES ? rest : vectors * LANES;
    Long bias[MOST] = {{0}}, theta[MOST];
    for (int k = 0; k < MOST; k++)
        theta[k] = (Long){0} + INT32_MAX;
    memcpy(bias, layer->bias + base, channels * sizeof(int32_t));
    memcpy(theta, layer->theta + base, channels * sizeof(int32_t));
    for (int64_t i = 0; i < images; i++)
        for (int64_t y = 0; y < layer->height; y++)
            for (int64_t x = 0; x < layer->width; x++)
                if (channels == vectors * LANES) /* a size that the compiler knows */
                    run_place(layer, lists, first + i, i * layer->steps, block, y, x, bias, theta,
                              vectors * LANES, vectors, digits);
                else
                    run_place(layer, lists, first + i, i * layer->steps, block, y, x, bias, theta,
                              channels, vectors, digits);
}

static void run_blocks(const Layer *layer, Lists *lists, int64_t first, int64_t images)
{
    for (int64_t block = 0; block * layer->block < layer->channels; block++)
        switch (layer->block + layer->digits) {
        case 16: run_block(layer, lists, first, images, block, 16 / LANES, 0); break;
        case 32: run_block(layer, lists, first, images, block, 32 / LANES, 0); break;
        case 64: run_block(layer, lists, first, images, block, 64 / LANES, 0); break;
        case 65: run_block(layer, lists, first, images, block, 64 / LANES, 1); break;
        case 66: run_block(layer, lists, first, images, block, 64 / LANES, 2); break;
        case 67: run_block(layer, lists, first, images, block, 64 / LANES, 3); break;
        case 129: run_block(layer, lists, first, images, block, 128 / LANES, 1); break;
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
        lists[i].runs = malloc(from->kernel_y * from->kernel_x * sizeof *lists->runs);
        failed |= !lists[i].events || !lists[i].starts || !lists[i].runs;
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
        free(lists[i].runs);
    }
    failed |= !lists;
    free(lists);
    return failed;
}
