/* All steps of a layer of neurons, forward and back, a thousand neurons at a time.
 *
 * What lies between the steps stays in the first-level cache: a step reads its current and writes
 * its spikes, and the way back reads the current again, charges the same potentials and writes the
 * gradient. Every neuron is on its own, so no result depends on how they are divided.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"

enum { AT_ONCE = 1024 }; /* neurons */
enum { FAST_SIGMOID, TRIANGLE, RECTANGLE, ARCTAN };

typedef struct {
    int64_t size, steps; /* neurons, steps */
    int64_t stride;      /* of the current from step to step; 0: the same at every step */
    int64_t half;        /* 1: currents, spikes and their gradients are bfloat16; 0: float32 */
    int64_t hard, form;
    float theta, decay, first, second; /* the last two: parameters of the slope's form */
    float height;                      /* of a spike, forward */
} Neurons;

/* The current z of a step and v behind the step before, to v⁻ in the place of z. */
INLINE void charge(float *restrict z, const float *restrict v, int n, float decay)
{
    for (int i = 0; i < n; i++)
        z[i] = fmaf(decay, v[i], z[i]);
}

INLINE void reset(float *restrict v, const float *restrict before, int n, float theta,
                  const int hard)
{
    for (int i = 0; i < n; i++)
        v[i] = before[i] - (before[i] >= theta ? (hard ? before[i] : theta) : 0.0f);
}

INLINE void fire(const Neurons *layer, const void *current, const float *start, void *spikes,
                 float *end, int64_t first, int64_t last, const int half, const int hard)
{
    const float theta = layer->theta, height = layer->height; /* else the loop is not vectorised */
    float z[AT_ONCE], v[AT_ONCE], fired[AT_ONCE];
    for (int64_t at = first; at < last; at += AT_ONCE) {
        const int n = last - at < AT_ONCE ? (int)(last - at) : AT_ONCE;
        memcpy(v, start + at, n * sizeof *v);
        for (int64_t t = 0; t < layer->steps; t++) {
            widen(z, current, t * layer->stride + at, n, half);
            charge(z, v, n, layer->decay);
            for (int i = 0; i < n; i++)
                fired[i] = z[i] >= theta ? height : 0.0f;
            narrow(spikes, t * layer->size + at, fired, n, half);
            reset(v, z, n, layer->theta, hard);
        }
        memcpy(end + at, v, n * sizeof *v);
    }
}

/* x = v⁻ − θ to the slope there. */
INLINE void slopes(float *restrict x, int n, int64_t form, float first, float second)
{
    switch (form) {
    case FAST_SIGMOID:
        for (int i = 0; i < n; i++) {
            const float root = fabsf(x[i]) * first + 1.0f;
            x[i] = 1.0f / (root * root) * second;
        }
        break;
    case TRIANGLE:
        for (int i = 0; i < n; i++) {
            const float height = 1.0f - first * fabsf(x[i]);
            x[i] = height < 0.0f ? 0.0f : second * height;
        }
        break;
    case RECTANGLE:
        for (int i = 0; i < n; i++)
            x[i] = fabsf(x[i]) < 0.5f * first ? 1.0f / first : 0.0f;
        break;
    case ARCTAN:
        for (int i = 0; i < n; i++) {
            const float root = 1.57079632679489662f * first * x[i];
            x[i] = 0.5f * first / (1.0f + root * root);
        }
        break;
    }
}

/* The gradient of the current, which may take its place; that of its only step where it is the same
 * at every one. */
INLINE void back(const Neurons *layer, const void *current, const float *start,
                 const void *arrived, void *result, float *carried, float *before, int64_t first,
                 int64_t last, const int half, const int hard)
{
    float v[AT_ONCE], x[AT_ONCE], gradient[AT_ONCE], later[AT_ONCE], sum[AT_ONCE];
    for (int64_t at = first; at < last; at += AT_ONCE) {
        const int n = last - at < AT_ONCE ? (int)(last - at) : AT_ONCE;
        memcpy(v, start + at, n * sizeof *v);
        for (int64_t t = 0; t < layer->steps; t++) {
            float *z = before + t * AT_ONCE;
            widen(z, current, t * layer->stride + at, n, half);
            charge(z, v, n, layer->decay);
            reset(v, z, n, layer->theta, hard);
        }
        memset(later, 0, sizeof later);
        memset(sum, 0, sizeof sum);
        for (int64_t t = layer->steps - 1; t >= 0; t--) {
            for (int i = 0; i < n; i++)
                x[i] = before[t * AT_ONCE + i] - layer->theta;
            if (hard)
                for (int i = 0; i < n; i++)
                    later[i] = x[i] < 0.0f ? later[i] : 0.0f;
            slopes(x, n, layer->form, layer->first, layer->second);
            widen(gradient, arrived, t * layer->size + at, n, half);
            for (int i = 0; i < n; i++)
                later[i] += gradient[i] * x[i];
            if (layer->stride)
                narrow(result, t * layer->size + at, later, n, half);
            else
                for (int i = 0; i < n; i++)
                    sum[i] += later[i];
            for (int i = 0; i < n; i++)
                later[i] *= layer->decay;
        }
        if (!layer->stride)
            narrow(result, at, sum, n, half);
        memcpy(carried + at, later, n * sizeof *later);
    }
}

/* total · decay + spike, step by step: counts, and traces of when the spikes came. */
INLINE void gather(const Neurons *layer, const void *spikes, float *total, int64_t first,
                   int64_t last, const int half)
{
    const float decay = layer->decay;
    float fired[AT_ONCE], sum[AT_ONCE];
    for (int64_t at = first; at < last; at += AT_ONCE) {
        const int n = last - at < AT_ONCE ? (int)(last - at) : AT_ONCE;
        memcpy(sum, total + at, n * sizeof *sum);
        for (int64_t t = 0; t < layer->steps; t++) {
            widen(fired, spikes, t * layer->size + at, n, half);
            for (int i = 0; i < n; i++)
                sum[i] = sum[i] * decay + fired[i];
        }
        memcpy(total + at, sum, n * sizeof *sum);
    }
}

/* Charges the potentials v and adds the slopes there. */
INLINE void slope_sums(const Neurons *layer, const void *current, float *v, float *total,
                       int64_t first, int64_t last, const int half, const int hard)
{
    float z[AT_ONCE], x[AT_ONCE], sum[AT_ONCE], potential[AT_ONCE];
    for (int64_t at = first; at < last; at += AT_ONCE) {
        const int n = last - at < AT_ONCE ? (int)(last - at) : AT_ONCE;
        memcpy(sum, total + at, n * sizeof *sum);
        memcpy(potential, v + at, n * sizeof *potential);
        for (int64_t t = 0; t < layer->steps; t++) {
            widen(z, current, t * layer->stride + at, n, half);
            charge(z, potential, n, layer->decay);
            for (int i = 0; i < n; i++)
                x[i] = z[i] - layer->theta;
            slopes(x, n, layer->form, layer->first, layer->second);
            for (int i = 0; i < n; i++)
                sum[i] += x[i];
            reset(potential, z, n, layer->theta, hard);
        }
        memcpy(v + at, potential, n * sizeof *potential);
        memcpy(total + at, sum, n * sizeof *sum);
    }
}

/* Neurons first ... last - 1; 0, or 1 where there is no memory. */
int run_forward(const Neurons *layer, const void *current, const float *start, void *spikes,
                float *end, int64_t first, int64_t last)
{
    switch (2 * !!layer->half + !!layer->hard) {
    case 0: fire(layer, current, start, spikes, end, first, last, 0, 0); break;
    case 1: fire(layer, current, start, spikes, end, first, last, 0, 1); break;
    case 2: fire(layer, current, start, spikes, end, first, last, 1, 0); break;
    case 3: fire(layer, current, start, spikes, end, first, last, 1, 1); break;
    }
    return 0;
}

int run_backward(const Neurons *layer, const void *current, const float *start,
                 const void *arrived, void *result, float *carried, int64_t first, int64_t last)
{
    float *before = malloc(layer->steps * AT_ONCE * sizeof *before);
    if (!before)
        return 1;
    switch (2 * !!layer->half + !!layer->hard) {
    case 0: back(layer, current, start, arrived, result, carried, before, first, last, 0, 0); break;
    case 1: back(layer, current, start, arrived, result, carried, before, first, last, 0, 1); break;
    case 2: back(layer, current, start, arrived, result, carried, before, first, last, 1, 0); break;
    case 3: back(layer, current, start, arrived, result, carried, before, first, last, 1, 1); break;
    }
    free(before);
    return 0;
}

int run_gather(const Neurons *layer, const void *spikes, float *total, int64_t first, int64_t last)
{
    if (layer->half)
        gather(layer, spikes, total, first, last, 1);
    else
        gather(layer, spikes, total, first, last, 0);
    return 0;
}

int run_slopes(const Neurons *layer, const void *current, float *v, float *total, int64_t first,
               int64_t last)
{
    switch (2 * !!layer->half + !!layer->hard) {
    case 0: slope_sums(layer, current, v, total, first, last, 0, 0); break;
    case 1: slope_sums(layer, current, v, total, first, last, 0, 1); break;
    case 2: slope_sums(layer, current, v, total, first, last, 1, 0); break;
    case 3: slope_sums(layer, current, v, total, first, last, 1, 1); break;
    }
    return 0;
}
