/* One layer of integrate-and-fire neurons through a few steps, in exact whole numbers.
 *
 * Spikes are few, so a convolution of spikes is a sum of rows of weights: for every place of the
 * output, the rows of the inputs that spiked in its window. No multiplication, and no work for
 * inputs that are silent. The neurons follow while the sum is still in the first-level cache:
 *
 *     v += bias + constant + sums + results + shortcuts;  s = v >= theta;  v -= s ? theta or v : 0
 *
 * Max pooling in front of the neurons is of currents summed over time: what goes on from a window
 * is by how much the largest of its totals grew (pooling.h).
 *
 * Everything lies with channels last; rows of weights as in rows.h.
 * With a limit, potentials are held between -limit and limit after every step.
 */
#include <stdlib.h>

#include "pooling.h"

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

/* One block of output channels at place (y, x) of one image, through all steps. Channels that fill
 * the block up have no weights and the highest threshold. largest: totals, behind max pooling. */
INLINE void run_place(const Layer *layer, Lists *lists, int64_t image, int64_t list,
                      int64_t block, int64_t y, int64_t x, const Long *bias,
                      const Long *theta, const int64_t *largest, const int64_t channels,
                      const int vectors, const int digits)
{
    const int size = vectors * LANES;
    const int64_t places = layer->height * layer->width, place = y * layer->width + x;
    const int64_t own = (image * places + place) * layer->channels + block * size;
    Long v[MOST], still[MOST] = {{0}};
    uint8_t spikes[CHANNELS];
    memset(v, 0, sizeof v);
    memcpy(v, layer->v + own, channels * sizeof(int32_t));
    if (!largest)
        begin_place(still, layer, lists, image, block, y, x, bias, channels, vectors, digits);
    for (int64_t t = 0; t < layer->steps; t++) {
        const int64_t spot = (t * layer->batch + image) * places + place;
        const int64_t at = spot * layer->channels + block * size;
        if (largest) {
            const int64_t *before = largest + t * size, *after = before + size;
            int32_t added[CHANNELS];
            for (int c = 0; c < size; c++)
                added[c] = (int32_t)(after[c] - before[c]);
            memcpy(still, added, size * sizeof *added);
        }
        for (int k = 0; k < vectors; k++)
            v[k] += still[k];
        if (!largest)
            arrive(v, layer, lists, image, list, block, t, place, channels, vectors, digits);
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

/* One block of output channels of some images; its weights stay in the second-level cache. pooled:
 * room for pooling_room and for [steps + 1][CHANNELS]. */
INLINE void run_block(const Layer *layer, Lists *lists, int64_t *pooled, int64_t first,
                      int64_t images, int64_t block, const int vectors, const int digits)
{
    const int64_t base = block * vectors * LANES, rest = layer->channels - base;
    const int64_t channels = rest < vectors * LANES ? rest : vectors * LANES;
    int64_t *rows = pooled, *largest = layer->totals ? pooled + pooling_room(layer) : 0;
    Long bias[MOST] = {{0}}, theta[MOST];
    for (int k = 0; k < MOST; k++)
        theta[k] = (Long){0} + INT32_MAX;
    memcpy(bias, layer->bias + base, channels * sizeof(int32_t));
    memcpy(theta, layer->theta + base, channels * sizeof(int32_t));
    for (int64_t i = 0; i < images; i++) {
        const int64_t image = first + i, list = i * layer->steps;
        int64_t row = 0; /* the first of the map that no window has reached */
        for (int64_t y = 0; y < layer->height; y++) {
            const int64_t from = first_of(y, layer->pool_stride_y, layer->pool_padding_y);
            const int64_t to = last_of(y, layer->pool_stride_y, layer->pool_padding_y,
                                       layer->pool_y, layer->map_height);
            for (row = row < from ? from : row; largest && row < to; row++)
                totals_row(rows, layer, lists, image, list, block, row, bias, channels, vectors,
                           digits);
            for (int64_t x = 0; x < layer->width; x++) {
                if (largest)
                    largest_totals(largest, rows, layer, y, x, vectors * LANES);
                if (largest || channels != vectors * LANES)
                    run_place(layer, lists, image, list, block, y, x, bias, theta, largest,
                              channels, vectors, digits);
                else /* a size that the compiler knows */
                    run_place(layer, lists, image, list, block, y, x, bias, theta, 0,
                              vectors * LANES, vectors, digits);
            }
        }
    }
}

static void run_blocks(const Layer *layer, Lists *lists, int64_t *pooled, int64_t first,
                       int64_t images)
{
    for (int64_t block = 0; block * layer->block < layer->channels; block++)
        switch (layer->block + layer->digits) {
        case 16: run_block(layer, lists, pooled, first, images, block, 16 / LANES, 0); break;
        case 32: run_block(layer, lists, pooled, first, images, block, 32 / LANES, 0); break;
        case 64: run_block(layer, lists, pooled, first, images, block, 64 / LANES, 0); break;
        case 65: run_block(layer, lists, pooled, first, images, block, 64 / LANES, 1); break;
        case 66: run_block(layer, lists, pooled, first, images, block, 64 / LANES, 2); break;
        case 67: run_block(layer, lists, pooled, first, images, block, 64 / LANES, 3); break;
        case 129: run_block(layer, lists, pooled, first, images, block, 128 / LANES, 1); break;
        }
}

/* Images first ... last - 1, as many at once as have room for their lists; 1 without memory. */
int run_layer(const Layer *layer, int64_t first, int64_t last)
{
    int64_t inputs = 1, group;
    Lists *lists = calloc(layer->readings + 1, sizeof *lists);
    const int64_t room = layer->totals ? pooling_room(layer) : 0;
    int64_t *pooled = malloc((room + (layer->steps + 1) * CHANNELS) * sizeof *pooled);
    int failed = !pooled;
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
        run_blocks(layer, lists, pooled, image, images);
    }
    for (int64_t i = 0; lists && i < layer->readings; i++) {
        free(lists[i].events);
        free(lists[i].starts);
        free(lists[i].runs);
    }
    failed |= !lists;
    free(lists);
    free(pooled);
    return failed;
}
