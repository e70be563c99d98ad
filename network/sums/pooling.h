/* Max pooling of the currents' totals, in 64 bits: every total is computed once, and the rows of
 * totals that a window reaches are kept until the next row of windows. */
#include "layer.h"

/* Numbers of `totals_row`: of as many rows as a window is high. */
static int64_t pooling_room(const Layer *layer)
{
    return layer->pool_y * layer->map_width * (layer->steps + 1) * CHANNELS;
}

/* Totals of a block of channels in row y of the map, before the first step and after every one:
 * [pool_y][map_width][steps + 1][size], of which this row takes the place of one that is over. */
INLINE void totals_row(int64_t *restrict rows, const Layer *layer, Lists *lists, int64_t image,
                       int64_t list, int64_t block, int64_t y, const Long *bias, int64_t channels,
                       const int vectors, const int digits)
{
    const int size = vectors * LANES;
    int64_t *now = rows + y % layer->pool_y * layer->map_width * (layer->steps + 1) * size;
    for (int64_t x = 0; x < layer->map_width; x++) {
        const int64_t place = y * layer->map_width + x, map = layer->map_height * layer->map_width;
        int64_t *own = layer->totals + (image * map + place) * layer->channels + block * size;
        Long still[MOST], arrived[MOST];
        begin_place(still, layer, lists, image, block, y, x, bias, channels, vectors, digits);
        memset(now, 0, size * sizeof *now);
        memcpy(now, own, channels * sizeof *own);
        for (int64_t t = 0; t < layer->steps; t++, now += size) {
            int32_t added[CHANNELS];
            memcpy(arrived, still, sizeof arrived);
            arrive(arrived, layer, lists, image, list, block, t, place, channels, vectors, digits);
            memcpy(added, arrived, size * sizeof *added);
            for (int c = 0; c < size; c++)
                now[size + c] = now[c] + added[c];
        }
        memcpy(own, now, channels * sizeof *own);
        now += size;
    }
}

/* The first row or column in the window of an output, and the one behind its last. */
INLINE int64_t first_of(int64_t output, int64_t stride, int64_t padding)
{
    const int64_t first = output * stride - padding;
    return first < 0 ? 0 : first;
}

INLINE int64_t last_of(int64_t output, int64_t stride, int64_t padding, int64_t kernel,
                       int64_t size)
{
    const int64_t last = output * stride - padding + kernel;
    return last > size ? size : last;
}

/* The largest totals in the window of output (y, x), [steps + 1][size]. */
INLINE void largest_totals(int64_t *restrict largest, const int64_t *rows, const Layer *layer,
                           int64_t y, int64_t x, const int size)
{
    const int64_t each = (layer->steps + 1) * size;
    const int64_t y0 = first_of(y, layer->pool_stride_y, layer->pool_padding_y);
    const int64_t x0 = first_of(x, layer->pool_stride_x, layer->pool_padding_x);
    const int64_t y1 = last_of(y, layer->pool_stride_y, layer->pool_padding_y, layer->pool_y,
                               layer->map_height);
    const int64_t x1 = last_of(x, layer->pool_stride_x, layer->pool_padding_x, layer->pool_x,
                               layer->map_width);
    for (int64_t i = 0; i < each; i++)
        largest[i] = INT64_MIN;
    for (int64_t in_y = y0; in_y < y1; in_y++)
        for (int64_t in_x = x0; in_x < x1; in_x++) {
            const int64_t *own = rows + (in_y % layer->pool_y * layer->map_width + in_x) * each;
            for (int64_t i = 0; i < each; i++)
                largest[i] = largest[i] > own[i] ? largest[i] : own[i];
        }
}
