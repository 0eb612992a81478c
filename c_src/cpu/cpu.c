/* Which instructions and caches this machine has. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpu/cpu.h"
#include "pointwise.h"

int pw_cpu_always(void) {
    return 1;
}

#if defined(__x86_64__)
#include <cpuid.h>

enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6 };

/* The register states that the operating system saves on a context switch. */
static uint64_t saved_states(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

int pw_cpu_has_avx2_fma(void) {
    unsigned a, b, c, d;
    if ((saved_states() & XCR0_AVX) != XCR0_AVX) return 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_AVX) || !(c & bit_FMA)) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

int pw_cpu_has_avx512(void) {
    const unsigned wanted = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    unsigned a, b, c, d;
    if (!pw_cpu_has_avx2_fma() || (saved_states() & XCR0_AVX512) != XCR0_AVX512) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & wanted) == wanted;
}

int pw_cpu_has_avx512_bf16(void) {
    unsigned a, b, c, d;
    return pw_cpu_has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & bit_AVX512BF16);
}

int pw_cpu_has_avx512_vnni(void) {
    unsigned a, b, c, d;
    return pw_cpu_has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & bit_AVX512VNNI);
}

const char *pw_cpu_microarchitecture(void) {
    unsigned a, b, c, d, maker[3];
    if (!__get_cpuid(0, &a, &maker[0], &maker[2], &maker[1])) return "";
    if (memcmp(maker, "AuthenticAMD", sizeof maker) != 0 || !__get_cpuid(1, &a, &b, &c, &d))
        return "";
    const unsigned family = (a >> 8 & 0xf) + (a >> 20 & 0xff);
    const unsigned model = (a >> 4 & 0xf) | (a >> 12 & 0xf0);
    /* Models 0x10 to 0x1f and from 0x60 on are Zen 4. */
    if (family == 0x19 && (model < 0x10 || (model >= 0x20 && model < 0x60))) return "zen3";
    return "";
}
#elif defined(__aarch64__)
#if defined(__linux__)
#include <sys/auxv.h>

int pw_cpu_has_dotprod(void) {
    enum { ASIMDDP = 1 << 20 };
    return (getauxval(AT_HWCAP) & ASIMDDP) != 0;
}
#else
int pw_cpu_has_dotprod(void) {
    return 0;
}
#endif
#endif

#if !defined(__x86_64__)
const char *pw_cpu_microarchitecture(void) {
    return "";
}
#endif

/* What Linux reports for CPU 0. Asked before sysconf, which multiplies the size of a shared cache
 * on some virtual machines. */
static int64_t cache_in_sysfs(int level) {
    int64_t bytes = 0;
    for (int i = 0; i < 8 && !bytes; i++) {
        char path[80], type[16];
        int of_level = 0;
        long kib = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/level", i);
        FILE *file = fopen(path, "r");
        if (!file) return 0;
        if (fscanf(file, "%d", &of_level) != 1) of_level = 0;
        fclose(file);
        if (of_level != level) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/type", i);
        if (!(file = fopen(path, "r"))) return 0;
        const int is_code = fscanf(file, "%15s", type) == 1 && type[0] == 'I';
        fclose(file);
        if (is_code) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        if (!(file = fopen(path, "r"))) return 0;
        if (fscanf(file, "%ldK", &kib) == 1) bytes = (int64_t)kib << 10;
        fclose(file);
    }
    return bytes;
}

static int64_t find_cache_bytes(int level) {
    int64_t bytes = cache_in_sysfs(level);
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    static const int names[] = {0, _SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE,
                                _SC_LEVEL3_CACHE_SIZE};
    if (bytes <= 0) bytes = sysconf(names[level]);
#endif
    return bytes > 0 ? bytes : 0;
}

static int64_t cache_bytes[4];

static void find_all(void) {
    for (int level = 1; level <= 3; level++) cache_bytes[level] = find_cache_bytes(level);
}

int64_t pw_cache_bytes(int level) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_all);
    return level >= 1 && level <= 3 ? cache_bytes[level] : 0;
}

#define PW_STRING_(x) #x
#define PW_STRING(x) PW_STRING_(x)

const char *pw_compiler(void) {
#if defined(__clang__)
    return "clang " PW_STRING(__clang_major__) "." PW_STRING(__clang_minor__);
#else
    return "gcc " __VERSION__;
#endif
}
