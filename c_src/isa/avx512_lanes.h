/* Turns pixels of n channels without gaps into vectors of the channels, and back, with AVX-512. The
 * file that includes this defines lane_index (an integer as wide as T), lane_mask, and
 *
 *     v_pick(a, index, b)               elements of a, or of b for indices from VW on
 *     v_pick_where(v, mask, index, a)   elements of a where the mask is set, else v's
 *     v_blend(mask, a, b)               elements of b where the mask is set, else a's
 */

/* Which elements of vectors 0 and 1 make up a vector; where `late` is set, those of vectors 2 and
 * 3. */
typedef struct lanes {
    __m512i split[PW_MAX_FEW], merge[PW_MAX_FEW];
    lane_mask split_late[PW_MAX_FEW], merge_late[PW_MAX_FEW];
} lanes;

PW_INLINE void prepare_lanes(int n, lanes *to) {
    for (int i = 0; i < n; i++) {
        lane_index split[VW], merge[VW];
        unsigned split_late = 0, merge_late = 0;
        for (int j = 0; j < VW; j++) {
            const int at = j * n + i, of = i * VW + j;
            split[j] = at;
            merge[j] = of / n + of % n % 2 * VW;
            split_late |= (unsigned)(at >= 2 * VW) << j;
            merge_late |= (unsigned)(of % n >= 2) << j;
        }
        to->split[i] = _mm512_loadu_si512(split);
        to->merge[i] = _mm512_loadu_si512(merge);
        to->split_late[i] = (lane_mask)split_late;
        to->merge_late[i] = (lane_mask)merge_late;
    }
}

PW_INLINE V pick_any(int n, __m512i index, lane_mask late, const V *from) {
    if (n == 1) return from[0];
    const V v = v_pick(from[0], index, from[1]);
    if (n == 3) return v_pick_where(v, late, index, from[2]);
    if (n == 4) return v_blend(late, v, v_pick(from[2], index, from[3]));
    return v;
}

PW_INLINE void split_lanes(int n, const lanes *by, const V *from, V *to) {
    PW_UNROLL
    for (int i = 0; i < n; i++) to[i] = pick_any(n, by->split[i], by->split_late[i], from);
}

PW_INLINE void merge_lanes(int n, const lanes *by, const V *from, V *to) {
    PW_UNROLL
    for (int i = 0; i < n; i++) to[i] = pick_any(n, by->merge[i], by->merge_late[i], from);
}
