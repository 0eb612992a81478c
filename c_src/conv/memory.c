/* What the machine's memory makes worth while. */
#include "conv/memory.h"
#include "cpu/caches.h"

int pw_worth_streaming(int64_t out, int64_t in) {
    const int64_t cache = pw_level_3_bytes();
    return out > cache / 2 || (in && out + in > cache);
}
