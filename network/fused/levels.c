/* A quantised, clipped and shifted activation, forward and back, each in one pass over memory.
 *
 * All is computed in float32 and rounded once. The gradient of λ is summed block by block, and the
 * blocks' sums are added elsewhere, so that no result depends on how the blocks are divided.
 */
#include <math.h>

#include "half.h"

enum { BLOCK = 1024, LANES = 16 };

typedef struct {
    int64_t size;  /* values */
    int64_t half;  /* 1: bfloat16; 0: float32 */
    int64_t first; /* place of the first value, for the noise */
    float bound;   /* λ */
    float levels;  /* L */
    float up;      /* L/λ */
    float down;    /* λ/L */
    float noise;   /* what is added in front of the floor, at most half of this, in levels */
    int32_t seed;  /* of the noise */
} Levels;

INLINE int in_block(const Levels *layer, int64_t at)
{
    return layer->size - at < BLOCK ? (int)(layer->size - at) : BLOCK;
}

/* Uniform in [-½, ½), by a hash of the value's place (two rounds of multiply and xor-shift). */
INLINE float drawn(uint32_t seed, uint32_t place)
{
    uint32_t x = place ^ seed;
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return (float)(int32_t)(x >> 16) * (1.0f / 65536) - 0.5f;
}

/* z to ⌊clip(z, 0, λ)·L/λ + ½ + noise⌋, a whole number from 0 to L; what is not a number stays so.
 * The first of the values has the place `at`. */
INLINE void count(const Levels *layer, float *restrict steps, const float *restrict z, int64_t at,
                  int n, const int noisy)
{
    const float bound = layer->bound, up = layer->up, noise = layer->noise;
    const uint32_t seed = (uint32_t)layer->seed, place = (uint32_t)(layer->first + at);
    for (int i = 0; i < n; i++) {
        float held = z[i] < 0.0f ? 0.0f : z[i];
        held = held > bound ? bound : held;
        held = held * up + 0.5f;
        if (noisy)
            held = held + noise * drawn(seed, place + (uint32_t)i);
        steps[i] = floorf(held);
    }
}

INLINE void forward(const Levels *layer, const void *z, void *result, int64_t first, int64_t last,
                    const int half, const int noisy)
{
    const float down = layer->down;
    float x[BLOCK], steps[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const int64_t at = block * BLOCK;
        const int n = in_block(layer, at);
        widen(x, z, at, n, half);
        count(layer, steps, x, at, n, noisy);
        for (int i = 0; i < n; i++)
            x[i] = steps[i] * down;
        narrow(result, at, x, n, half);
    }
}

/* sums[block]: ∂/∂λ of the block, Σ gradient · (steps/L − [0 < z < λ]·z/λ). */
INLINE void backward(const Levels *layer, const void *z, const void *arrived, void *result,
                     double *sums, int64_t first, int64_t last, const int half, const int noisy)
{
    const float bound = layer->bound;
    const float per_level = 1.0f / layer->levels, per_bound = 1.0f / bound;
    float x[BLOCK], steps[BLOCK], gradient[BLOCK], terms[BLOCK];
    for (int64_t block = first; block < last; block++) {
        const int64_t at = block * BLOCK;
        const int n = in_block(layer, at);
        widen(x, z, at, n, half);
        widen(gradient, arrived, at, n, half);
        count(layer, steps, x, at, n, noisy);
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

/* `body` with what a layer holds as constants. */
#define FOR_KIND(layer, body, ...)                                                                 \
    do {                                                                                           \
        if ((layer)->noise != 0.0f && (layer)->half)                                               \
            body(layer, __VA_ARGS__, 1, 1);                                                        \
        else if ((layer)->noise != 0.0f)                                                           \
            body(layer, __VA_ARGS__, 0, 1);                                                        \
        else if ((layer)->half)                                                                    \
            body(layer, __VA_ARGS__, 1, 0);                                                        \
        else                                                                                       \
            body(layer, __VA_ARGS__, 0, 0);                                                        \
    } while (0)

/* Blocks first ... last - 1; always 0. */
int run_forward(const Levels *layer, const void *z, void *result, int64_t first, int64_t last)
{
    FOR_KIND(layer, forward, z, result, first, last);
    return 0;
}

int run_backward(const Levels *layer, const void *z, const void *arrived, void *result,
                 double *sums, int64_t first, int64_t last)
{
    FOR_KIND(layer, backward, z, arrived, result, sums, first, last);
    return 0;
}
