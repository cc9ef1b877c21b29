/* SPDX-License-Identifier: Apache-2.0 */
#include "histogram.h"

#include <string.h>

void histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

/* Below HISTOGRAM_STEPS the buckets are exact; from there on each power of two has as many. */
void histogram_add(struct histogram *h, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 : (uint64_t)ns;
    unsigned shift = v < HISTOGRAM_STEPS ? 0 : 63U - (unsigned)__builtin_clzll(v) - 5U;
    size_t bucket = shift == 0 ? v : (size_t)shift * (HISTOGRAM_STEPS / 2) + (v >> shift);
    if (bucket >= sizeof(h->buckets) / sizeof(h->buckets[0])) {
        bucket = sizeof(h->buckets) / sizeof(h->buckets[0]) - 1;
    }
    h->buckets[bucket]++;
    h->count++;
    h->max_ns = v > h->max_ns ? v : h->max_ns;
}

uint64_t histogram_quantile(const struct histogram *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->count);
    uint64_t seen = 0;
    for (size_t i = 0; i < sizeof(h->buckets) / sizeof(h->buckets[0]); i++) {
        seen += h->buckets[i];
        if (seen > wanted) {
            if (i < HISTOGRAM_STEPS) {
                return i;
            }
            unsigned shift = (unsigned)(i / (HISTOGRAM_STEPS / 2)) - 1;
            uint64_t low = (uint64_t)(i - (size_t)shift * (HISTOGRAM_STEPS / 2)) << shift;
            uint64_t middle = low + (1ULL << shift) / 2;
            return middle < h->max_ns ? middle : h->max_ns;
        }
    }
    return h->max_ns;
}
