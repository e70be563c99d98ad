/* A group of Lee 2016's neurons through some steps: neuron.py's `event_step`, and the sum in front.
 *
 * Spikes are few, so a layer's current is a sum of rows of weights, one for every input that is
 * not 0. The neurons follow while the sum is in the first-level cache.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t steps, batch, inputs, units;
    float decay, step_ms, refractory_ms, inhibition;
    const float *arriving; /* [steps][batch][inputs]: what the rows are summed over, or currents */
    const float *rows;     /* [inputs][units], or null: then what arrives are the currents */
    const float *theta;    /* [units] */
    float *v, *since;      /* [batch][units], updated */
    float *spikes;         /* [steps][batch][units], written */
} Group;

static void add_rows(const Group *group, const float *arriving, int32_t *listed, float *current)
{
    int64_t count = 0;
    for (int64_t j = 0; j < group->inputs; j++) { /* no branch that depends on the spikes */
        listed[count] = (int32_t)j;
        count += arriving[j] != 0.0f;
    }
    memset(current, 0, group->units * sizeof *current);
    for (int64_t i = 0; i < count; i++) {
        const float height = arriving[listed[i]];
        const float *restrict row = group->rows + listed[i] * group->units;
        for (int64_t n = 0; n < group->units; n++)
            current[n] += height * row[n];
    }
}

static void charge(const Group *group, const float *restrict current, float *restrict v,
                   float *restrict since)
{
    for (int64_t n = 0; n < group->units; n++) {
        since[n] += group->step_ms;
        const float share = since[n] / group->refractory_ms, square = share * share;
        const float after = group->decay * v[n] + (square < 1.0f ? square : 1.0f) * current[n];
        const float lowest = -group->theta[n];
        v[n] = after < lowest ? lowest : after;
    }
}

/* Those over their thresholds take turns by v/theta, of equal ones the first: the one of rank k
 * spikes where v/theta >= 1 + inhibition k. Returns how many spiked. */
static int64_t take_turns(const Group *group, const float *v, int32_t *waiting, float *level,
                          float *spikes)
{
    int64_t count = 0, fired = 0;
    for (int64_t n = 0; n < group->units; n++) {
        spikes[n] = 0.0f;
        level[count] = v[n] / group->theta[n];
        waiting[count] = (int32_t)n;
        count += level[count] >= 1.0f;
    }
    while (fired < count) {
        int64_t first = 0;
        for (int64_t i = 1; i < count; i++)
            first = level[i] > level[first] ? i : first;
        if (!(level[first] >= 1.0f + group->inhibition * (float)fired))
            break;
        spikes[waiting[first]] = 1.0f;
        level[first] = 0.0f;
        fired++;
    }
    return fired;
}

static void reset(const Group *group, int64_t fired, const float *restrict spikes,
                  float *restrict v, float *restrict since)
{
    for (int64_t n = 0; n < group->units; n++) {
        const float theta = group->theta[n], others = (float)fired - spikes[n];
        const float after = v[n] - theta * spikes[n];
        const float pulled = after - group->inhibition * theta * others;
        v[n] = pulled < -theta ? -theta : pulled;
        since[n] = spikes[n] > 0.0f ? 0.0f : since[n];
    }
}

int run_group(const Group *group)
{
    const int64_t units = group->units, most = group->inputs > units ? group->inputs : units;
    int32_t *listed = malloc((most + 1) * sizeof *listed);
    float *sums = malloc((units + 1) * sizeof *sums), *level = malloc((units + 1) * sizeof *level);
    const int failed = !listed || !sums || !level;
    for (int64_t image = 0; !failed && image < group->batch; image++) {
        float *v = group->v + image * units, *since = group->since + image * units;
        for (int64_t t = 0; t < group->steps; t++) {
            const int64_t at = t * group->batch + image;
            const float *current = group->arriving + at * group->inputs;
            float *spikes = group->spikes + at * units;
            int64_t fired = 0;
            if (group->rows) {
                add_rows(group, current, listed, sums);
                current = sums;
            }
            charge(group, current, v, since);
            if (group->inhibition > 0.0f)
                fired = take_turns(group, v, listed, level, spikes);
            else
                for (int64_t n = 0; n < units; n++)
                    spikes[n] = v[n] >= group->theta[n] ? 1.0f : 0.0f;
            reset(group, fired, spikes, v, since);
        }
    }
    free(listed);
    free(sums);
    free(level);
    return failed;
}
