/* bfloat16 and float32 in memory, float32 in the registers. */
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE void widen(float *restrict to, const void *from, int64_t at, int n, const int half)
{
    if (!half) {
        memcpy(to, (const float *)from + at, n * sizeof *to);
        return;
    }
    const uint16_t *bits = (const uint16_t *)from + at;
    for (int i = 0; i < n; i++) {
        const uint32_t wide = (uint32_t)bits[i] << 16;
        memcpy(to + i, &wide, sizeof wide);
    }
}

/* bfloat16 rounds to nearest, ties to even, and has one NaN, as PyTorch has it. */
INLINE void narrow(void *to, int64_t at, const float *restrict from, int n, const int half)
{
    if (!half) {
        memcpy((float *)to + at, from, n * sizeof *from);
        return;
    }
    uint16_t *bits = (uint16_t *)to + at;
    for (int i = 0; i < n; i++) {
        uint32_t wide;
        memcpy(&wide, from + i, sizeof wide);
        const uint32_t nearest = (wide + 0x7fff + ((wide >> 16) & 1)) >> 16;
        bits[i] = (wide & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (uint16_t)nearest;
    }
}
