/* A quantised, clipped and shifted activation, forward and back, each in one pass over memory.
 *
 * All is computed in float32 and rounded once. The gradient of λ is summed block by block, and the
 * blocks' sums are added elsewhere, so that no result depends on how the blocks are divided.
 */
#include <math.h>

#include "half.h"

enum { BLOCK = 1024, LANES = 16 };

typedef struct {
    int64_t size; /* values */
    int64_t half; /* 1: bfloat16; 0: float32 */
    float bound;  /* λ */
    float levels; /* L */
    float up;     /* L/λ */
    float down;   /* λ/L */
} Levels;

INLINE int in_block(const Levels *layer, int64_t at)
{
    return layer->size - at < BLOCK ? (int)(layer->size - at) : BLOCK;
}

/* z to ⌊clip(z, 0, λ)·L/λ + ½⌋, a whole number from 0 to L; what is not a number stays so. */
INLINE void count(float *restrict steps, const float *restrict z, int n, float bound, float up)
{
    for (int i = 0; i < n; i++) {
        float held = z[i] < 0.0f ? 0.0f : z[i];
        held = held > bound ? bound : held;
        held = held * up;
        steps[i] = floorf(held + 0.5f);
    }
}

INLINE void forward(const Levels *layer, const void *z, void *result, int64_t first, int64_t last,
                    const int half)
{
    const float bound = layer->bound, up = layer->up, down = layer->down;
    float x[BLOCK], steps[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const int64_t at = block * BLOCK;
        const int n = in_block(layer, at);
        widen(x, z, at, n, half);
        count(steps, x, n, bound, up);
        for (int i = 0; i < n; i++)
            x[i] = steps[i] * down;
        narrow(result, at, x, n, half);
    }
}

/* sums[block]: ∂/∂λ of the block, Σ gradient · (steps/L − [0 < z < λ]·z/λ). */
INLINE void backward(const Levels *layer, const void *z, const void *arrived, void *result,
                     double *sums, int64_t first, int64_t last, const int half)
{
    const float bound = layer->bound, up = layer->up;
    const float per_level = 1.0f / layer->levels, per_bound = 1.0f / bound;
    float x[BLOCK], steps[BLOCK], gradient[BLOCK], terms[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const int64_t at = block * BLOCK;
        const int n = in_block(layer, at);
        widen(x, z, at, n, half);
        widen(gradient, arrived, at, n, half);
        count(steps, x, n, bound, up);
        for (int i = 0; i < n; i++) {
            const int inside = x[i] > 0.0f && x[i] < bound;
            const float slope = steps[i] * per_level - (inside ? x[i] * per_bound : 0.0f);
            terms[i] = gradient[i] * slope;
            gradient[i] = inside ? gradient[i] : 0.0f;
        }
        narrow(result, at, gradient, n, half);
        for (int i = n; i < BLOCK; i++)
            terms[i] = 0.0f;
        float lanes[LANES] = {0.0f};
        double sum = 0.0;
        for (int i = 0; i < BLOCK; i += LANES)
            for (int k = 0; k < LANES; k++)
                lanes[k] += terms[i + k];
        for (int k = 0; k < LANES; k++)
            sum += lanes[k];
        sums[block] = sum;
    }
}

/* Blocks first ... last - 1; always 0. */
int run_forward(const Levels *layer, const void *z, void *result, int64_t first, int64_t last)
{
    if (layer->half)
        forward(layer, z, result, first, last, 1);
    else
        forward(layer, z, result, first, last, 0);
    return 0;
}

int run_backward(const Levels *layer, const void *z, const void *arrived, void *result,
                 double *sums, int64_t first, int64_t last)
{
    if (layer->half)
        backward(layer, z, arrived, result, sums, first, last, 1);
    else
        backward(layer, z, arrived, result, sums, first, last, 0);
    return 0;
}
