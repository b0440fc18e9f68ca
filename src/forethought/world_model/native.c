/* What lies between the products of networks that act, in one pass over memory each.
 *
 * Compiled twice: for float, and with -DBFLOAT16 for bfloat16, where sums are in float as well.
 * What a name ending in _row tells is how many numbers the rows of an array lie apart; rows of
 * other arrays follow each other. See Units in units.py for what the functions compute.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BFLOAT16
typedef uint16_t number;

static inline float get(number value) {
  uint32_t bits = (uint32_t)value << 16;
  float real;
  memcpy(&real, &bits, sizeof real);
  return real;
}

/* The nearest, and of two equally near ones the even one. */
static inline number put(float real) {
  uint32_t bits;
  memcpy(&bits, &real, sizeof bits);
  return real != real ? 0x7fc0 : (number)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#else
typedef float number;

static inline float get(number value) { return value; }

static inline number put(float real) { return real; }
#endif

/* e to a power that is not positive, by the Taylor series of a power of two between -1/2 and 1/2;
 * unlike expf() it is computed for several numbers at once. */
static inline float exponential(float power) {
  float twos = power * 1.44269504f;
  twos = twos < -126.0f ? -126.0f : twos;
  float whole = rintf(twos), rest = (twos - whole) * 0.693147181f;
  float series = 1.0f / 720;
  series = series * rest + 1.0f / 120;
  series = series * rest + 1.0f / 24;
  series = series * rest + 1.0f / 6;
  series = series * rest + 0.5f;
  series = series * rest + 1.0f;
  series = series * rest + 1.0f;
  uint32_t bits = (uint32_t)((int32_t)whole + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return series * scale;
}

static inline __attribute__((always_inline)) void attend_rows(
    long n, long heads, const long width, const long steps,
    const number *query,
    const number *const *kept, long kept_row, number *out) {
  long inner = heads * width;
  for (long row = 0; row < n; row++) {
    float share[steps][heads], largest[heads], total[heads];
    for (long step = 0; step < steps; step++) {
      const number *restrict key = kept[step] + row * kept_row, *restrict asks = query + row * inner;
      for (long head = 0; head < heads; head++) {
        float score = 0;
        for (long at = head * width; at < (head + 1) * width; at++)
          score += get(asks[at]) * get(key[at]);
        share[step][head] = score;
      }
    }
    for (long head = 0; head < heads; head++) largest[head] = share[0][head], total[head] = 0;
    for (long step = 1; step < steps; step++)
      for (long head = 0; head < heads; head++)
        largest[head] = share[step][head] > largest[head] ? share[step][head] : largest[head];
    for (long step = 0; step < steps; step++)
      for (long head = 0; head < heads; head++)
        total[head] += share[step][head] = exponential(share[step][head] - largest[head]);
    for (long head = 0; head < heads; head++) {
      const number *value[steps];
      float weight[steps];
      for (long step = 0; step < steps; step++) {
        value[step] = kept[step] + row * kept_row + inner + head * width;
        weight[step] = share[step][head] / total[head];
      }
      number *restrict answer = out + row * inner + head * width;
      for (long at = 0; at < width; at++) {
        float sum = 0;
        for (long step = 0; step < steps; step++) sum += weight[step] * get(value[step][at]);
        answer[at] = put(sum);
      }
    }
  }
}

/* For steps and widths of a head that the compiler knows: other loops are several times as slow. */
#define WHERE(known_width, known_steps)                                             \
  if (width == known_width && steps == known_steps) {                               \
    attend_rows(n, heads, known_width, known_steps, query, kept, kept_row, out);    \
    return 1;                                                                       \
  }

/* Whether it was done. */
int attend(
    long n, long heads, long width, long steps, const number *query, const number *const *kept,
    long kept_row, number *out) {
  WHERE(64, 2) WHERE(64, 3) WHERE(64, 4)
  WHERE(32, 2) WHERE(32, 3) WHERE(32, 4)
  return 0;
}

struct norm {
  float mean, factor;
};

static inline struct norm norm_of(long d, const float *values, float eps) {
  float mean = 0, variance = 0;
  for (long at = 0; at < d; at++) mean += values[at];
  mean /= d;
  for (long at = 0; at < d; at++) variance += (values[at] - mean) * (values[at] - mean);
  return (struct norm){mean, 1 / sqrtf(variance / d + eps)};
}

/* Without a value nothing is added, and moved is not written. */
void advance(
    long n, long d, const number *states, const number *gate, const number *value,
    const number *shift, const number *scale, long move_row, float outer_eps, float eps,
    const number *gain, const number *bias, number *moved, number *seen) {
  for (long row = 0; row < n; row++) {
    const number *restrict shifts = shift + row * move_row, *restrict scales = scale + row * move_row;
    float values[d];
    for (long at = 0; at < d; at++) values[at] = get(states[row * d + at]);
    if (value) {
      const number *restrict gates = gate + row * move_row, *restrict added = value + row * d;
      number *restrict sum = moved + row * d;
      for (long at = 0; at < d; at++) {
        sum[at] = put(values[at] + get(gates[at]) * get(added[at]));
        values[at] = get(sum[at]);
      }
    }
    struct norm norm = norm_of(d, values, outer_eps);
    for (long at = 0; at < d; at++)
      values[at] = get(shifts[at]) + (values[at] - norm.mean) * norm.factor * get(scales[at]);
    norm = norm_of(d, values, eps);
    for (long at = 0; at < d; at++) {
      float normal = (values[at] - norm.mean) * norm.factor;
      seen[row * d + at] = put(normal * get(gain[at]) + get(bias[at]));
    }
  }
}

static inline float sigmoid(float value) {
  float small = exponential(value < 0 ? value : -value);
  return (value < 0 ? small : 1.0f) / (1.0f + small);
}

/* States are float whatever the numbers are. Without a gain nothing is normalised. */
void gate(
    long n, long d, const number *products, const number *told, const float *before,
    const float *gain, const float *bias, float eps, float *after, number *seen, long seen_row) {
  for (long row = 0; row < n; row++) {
    const number *restrict reset = products + row * 3 * d, *restrict keep = reset + d;
    const number *restrict by = keep + d, *restrict told_row = told + row * d;
    const float *restrict old = before + row * d;
    float *restrict state = after + row * d;
    number *restrict also = seen + row * seen_row;
    for (long at = 0; at < d; at++) {
      float new = 2 * sigmoid(get(told_row[at]) + sigmoid(get(reset[at])) * get(by[at])) - 1;
      float kept = sigmoid(get(keep[at]));
      state[at] = new + kept * (old[at] - new);
    }
    if (gain) {
      struct norm norm = norm_of(d, state, eps);
      for (long at = 0; at < d; at++)
        state[at] = (state[at] - norm.mean) * norm.factor * gain[at] + bias[at];
    }
    for (long at = 0; at < d; at++) also[at] = put(state[at]);
  }
}
