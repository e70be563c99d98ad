/* A layer of neurons, and what arrives at one place of its currents. */
#include "rows.h"

typedef struct { /* sums that were computed before, times a factor; one of the two is null */
    const float *exact;   /* [steps][batch][map_height][map_width][channels] */
    const int32_t *whole;
    int64_t factor;
} Result;

typedef struct { /* spikes that add `each` [map_height][map_width][channels] to their place */
    const uint8_t *spikes; /* [steps][batch][map_height][map_width][channels] */
    const int32_t *each;
} Shortcut;

typedef struct {
    int64_t steps, batch, height, width, channels, block, digits, hard, limit;
    int64_t map_height, map_width; /* of the currents, in front of pooling where there is any */
    int64_t pool_y, pool_x, pool_stride_y, pool_stride_x, pool_padding_y, pool_padding_x;
    int64_t readings, results, shortcuts;
    const Reading *reading;
    const Result *result;
    const Shortcut *shortcut;
    const int32_t *bias, *theta; /* [channels] */
    const int32_t *constant;     /* [batch][map_height][map_width][channels], or null */
    int64_t *totals;             /* the same, of the steps before; null without pooling */
    int32_t *v;                  /* [batch][height][width][channels] */
    uint8_t *spikes;             /* [steps][batch][height][width][channels], written */
    int32_t *counts;             /* [steps][batch][height][width] spikes, written */
} Layer;

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

/* v += what arrives in step t at a block of channels at `place` of the map, without a constant. */
INLINE void arrive(Long *v, const Layer *layer, const Lists *lists, int64_t image, int64_t list,
                   int64_t block, int64_t t, int64_t place, const int64_t channels,
                   const int vectors, const int digits)
{
    const int64_t places = layer->map_height * layer->map_width;
    const int64_t here = place * layer->channels + block * vectors * LANES;
    const int64_t at = (t * layer->batch + image) * places * layer->channels + here;
    for (int64_t i = 0; i < layer->readings; i++)
        gather(v, layer->reading + i, block, lists + i, list + t, vectors, digits);
    if (layer->results || layer->shortcuts)
        add_others((int32_t *)v, layer, at, here, channels);
}

/* Bias and constant of a block of channels at `place` of the map; how it reads what spiked. */
INLINE void begin_place(Long *still, const Layer *layer, Lists *lists, int64_t image,
                        int64_t block, int64_t y, int64_t x, const Long *bias,
                        const int64_t channels, const int vectors, const int digits)
{
    const int64_t place = (image * layer->map_height + y) * layer->map_width + x;
    Long constant[MOST] = {{0}};
    if (layer->constant)
        memcpy(constant, layer->constant + place * layer->channels + block * vectors * LANES,
               channels * sizeof(int32_t));
    for (int k = 0; k < vectors; k++)
        still[k] = bias[k] + constant[k];
    for (int64_t i = 0; i < layer->readings; i++)
        find_runs(layer->reading + i, y, x, row_of(vectors * LANES, digits), lists + i);
}
