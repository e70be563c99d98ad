/* Currents of one layer from the spikes that it reads, in float32.
 *
 * A convolution of spikes is a sum of rows of weights, one for every input that spiked: no
 * multiplication, and no work for inputs that are silent. Everything lies with channels last. The
 * sum of an output does not depend on the other images.
 */
#include <stdlib.h>

#include "lists.h"

enum {
    CHANNELS = 64,          /* in the largest block */
    LANES = WIDTH / 4,      /* in a vector */
    MOST = CHANNELS / LANES /* vectors of a block */
};
typedef float Vector VECTOR;

typedef struct {
    const Reading *reading;
    const float *bias; /* [channels] */
    float *currents;   /* [images][height][width][channels], written */
    int64_t height, width, channels, block;
} Layer;

/* v += the rows at `places`; two sums side by side, since each addition waits for the one before. */
INLINE void add_rows(float *restrict v, const float *rows, const uint32_t *places, int count,
                     const int vectors)
{
    Vector even[MOST], odd[MOST];
    float sums[CHANNELS];
    int i = 0;
    for (int k = 0; k < vectors; k++)
        even[k] = odd[k] = (Vector){0};
    for (; i + 1 < count; i += 2) {
        const Vector *one = (const Vector *)(rows + places[i]);
        const Vector *two = (const Vector *)(rows + places[i + 1]);
        for (int k = 0; k < vectors; k++) {
            even[k] += one[k];
            odd[k] += two[k];
        }
    }
    if (i < count)
        for (int k = 0; k < vectors; k++)
            even[k] += ((const Vector *)(rows + places[i]))[k];
    for (int k = 0; k < vectors; k++)
        even[k] += odd[k];
    memcpy(sums, even, vectors * sizeof(Vector));
    for (int c = 0; c < vectors * LANES; c++)
        v[c] += sums[c];
}

/* One block of output channels of some images; its weights stay in the second-level cache. */
INLINE void run_block(const Layer *layer, Lists *lists, int64_t first, int64_t images,
                      int64_t block, const int vectors)
{
    const Reading *from = layer->reading;
    const int size = vectors * LANES;
    const int64_t rest = layer->channels - block * size;
    const int64_t channels = rest < size ? rest : size;
    const float *rows = (const float *)from->rows
                        + block * from->kernel_y * from->kernel_x * from->channels * size;
    float bias[CHANNELS] = {0}, v[CHANNELS];
    uint32_t places[ROWS + AHEAD];
    memcpy(bias, layer->bias + block * size, channels * sizeof *bias);
    for (int64_t i = 0; i < images; i++) {
        const uint32_t *starts = lists->starts + i * from->height * (from->width + 1);
        float *out = layer->currents + (first + i) * layer->height * layer->width * layer->channels;
        for (int64_t y = 0; y < layer->height; y++)
            for (int64_t x = 0; x < layer->width; x++) {
                int count;
                find_runs(from, y, x, size, lists);
                Walk walk = walk_of(lists, starts);
                memcpy(v, bias, size * sizeof *v);
                do {
                    count = next_places(&walk, places);
                    add_rows(v, rows, places, count, vectors);
                } while (count == ROWS);
                memcpy(out + (y * layer->width + x) * layer->channels + block * size, v,
                       channels * sizeof *v);
            }
    }
}

/* Images first ... last - 1, as many at once as have room for their lists; 1 without memory. */
int run_currents(const Layer *layer, int64_t first, int64_t last)
{
    const Reading *from = layer->reading;
    const int64_t inputs = from->height * from->width * from->channels;
    int64_t group = LISTED / inputs;
    group = group < 1 ? 1 : group > last - first ? last - first : group;
    Lists lists = {malloc((group * inputs * from->largest + AHEAD) * sizeof *lists.events),
                   malloc(group * from->height * (from->width + 1) * sizeof *lists.starts),
                   malloc(from->kernel_y * from->kernel_x * sizeof *lists.runs), 0};
    const int failed = !lists.events || !lists.starts || !lists.runs;
    for (int64_t image = first; !failed && image < last; image += group) {
        const int64_t images = last - image < group ? last - image : group;
        uint32_t *next = lists.events, *starts = lists.starts;
        for (int64_t i = image; i < image + images; i++) {
            next = list_image(from, from->spikes + i * inputs, (uint32_t)layer->block,
                              lists.events, next, starts);
            starts += from->height * (from->width + 1);
        }
        for (int64_t block = 0; block * layer->block < layer->channels; block++)
            switch (layer->block) {
            case 16: run_block(layer, &lists, image, images, block, 16 / LANES); break;
            case 32: run_block(layer, &lists, image, images, block, 32 / LANES); break;
            case 64: run_block(layer, &lists, image, images, block, 64 / LANES); break;
            }
    }
    free(lists.events);
    free(lists.starts);
    free(lists.runs);
    return failed;
}
