/* What a step of a small network spends most time in, on the CPU, in one pass each instead of torch's many.

   Images are float32 and channels_last: a pixel's channels lie side by side. Loops over channels are written so that
   the compiler makes vector instructions of them; images are shared out among the threads. kernels.py calls these
   functions and says what they compute; it goes without them where there was no compiler. They return whether memory
   was enough.

   The file is compiled twice, with AVX2 and with AVX-512 instructions; kernels.py loads the library that the processor
   can run. With the instructions of older processors all this is slower than torch, so no library is made for them. */

#include <math.h>
#include <omp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile with -march=x86-64-v3 or -march=x86-64-v4"
#endif

/* The text of this file. kernels.py compares it with the file that lies beside it: a library that was compiled from
   another version takes other arguments. */
__asm__(".pushsection .rodata\n"
        ".global kernels_source\n"
        "kernels_source: .incbin \"" __FILE__ "\"\n"
        ".byte 0\n"
        ".popsection");

#define INLINE static inline __attribute__((always_inline))

/* Constant numbers of channels make faster loops: those of LeNet's two convolutions have code of their own. */
#define WITH_CHANNELS(call) \
  do { \
    if (windows->channels == 6) call(6); \
    else if (windows->channels == 16) call(16); \
    else call(windows->channels); \
  } while (0)

enum { MOST_CHANNELS = 64 };

/* `size` bytes for each thread, one after the other, or null. On the heap: a thread's stack can be small. */
static char *room_for_threads(size_t size) { return aligned_alloc(64, (omp_get_max_threads() * size + 63) / 64 * 64); }

/* What an output is compared with to see whether its gradient passes: it does not if out <= BLOCKED(relu). Without a
   ReLU nothing is blocked, since no comparison with NAN is true; a ReLU passes the gradient of NAN on, as torch's. */
#define BLOCKED(relu) ((relu) ? 0 : NAN)

/* 2x2 windows over a batch of images: rows x columns of them in each. */
typedef struct {
  ptrdiff_t images, rows, columns, channels;
} Windows;

/* ------------------------------------------------------------------------------------------ what a batch norm needs */

/* Sum over the images of number `at` of the `count` that each has; those of `lanes` images lie interleaved. */
static double total(const float *sums, ptrdiff_t images, ptrdiff_t lanes, ptrdiff_t count, ptrdiff_t at) {
  double sum = 0;
  for (ptrdiff_t i = 0; i < images; i++) sum += sums[(i / lanes * count + at) * lanes + i % lanes];
  return sum;
}

/* out = x * slope + shift, by the moments of the batch's `pixels` pixels an image, or by those that are given.

   sums: of each image's pixels less `origin`, channel by channel, then of their squares
   statistics: (3, channels): mean and biased variance (given if `training` is 0), and the inverse of the standard
     deviation

   Returns whether an origin lay so far from the mean that rounding shows in the variance. It is moved to the mean then,
   and the sums are to be taken again. */
static int normaliser(ptrdiff_t images, ptrdiff_t pixels, ptrdiff_t lanes, ptrdiff_t channels, const float *sums,
                      float *origin, const float *weight, const float *bias, double eps, int training,
                      float *statistics, float *slope, float *shift) {
  float *mean = statistics, *variance = mean + channels, *inverse = variance + channels;
  const double n = (double)images * pixels;
  int far = 0;
  for (ptrdiff_t c = 0; c < channels; c++) {
    if (training) {
      const double sum = total(sums, images, lanes, 2 * channels, c) / n;
      const double square = total(sums, images, lanes, 2 * channels, channels + c) / n;
      const double spread = square - sum * sum;
      mean[c] = (float)(sum + origin[c]);
      variance[c] = spread < 0 ? 0 : (float)spread; /* not fmax, which makes 0 of NAN */
      if (sum * sum > 64 * spread && isfinite(mean[c])) origin[c] = mean[c], far = 1;
    }
    inverse[c] = (float)(1 / sqrt(variance[c] + eps));
    slope[c] = inverse[c] * weight[c];
    shift[c] = bias[c] - mean[c] * slope[c];
  }
  return far;
}

/* dx = shift + tilt * x + slope * gradient.

   sums: of each image's gradients, channel by channel, then of these times the normalised pixels */
static void normaliser_gradient(ptrdiff_t images, ptrdiff_t pixels, ptrdiff_t lanes, ptrdiff_t channels,
                                const float *sums, const float *weight, const float *statistics, float *dweight,
                                float *dbias, float *slope, float *tilt, float *shift) {
  const float *mean = statistics, *inverse = mean + 2 * channels;
  const double n = (double)images * pixels;
  for (ptrdiff_t c = 0; c < channels; c++) {
    const double plain = total(sums, images, lanes, 2 * channels, c);
    const double times = total(sums, images, lanes, 2 * channels, channels + c);
    dbias[c] = (float)plain;
    dweight[c] = (float)times;
    slope[c] = weight[c] * inverse[c];
    tilt[c] = (float)(-times / n) * slope[c] * inverse[c];
    shift[c] = (float)(-plain / n) * slope[c] - mean[c] * tilt[c];
  }
}

static void signs(ptrdiff_t channels, const float *weight, float *sign) {
  for (ptrdiff_t c = 0; c < channels; c++) sign[c] = (float)((weight[c] > 0) - (weight[c] < 0));
}

/* ------------------------------------------------------------------------------------ batch norm, 2x2 maximum, ReLU */

/* The first of each window's four pixels whose product with `sign` is largest, and for each channel the sum of all
   pixels less `origin`, and of the squares of these. In training, where one pixel that is not finite makes NAN of its
   whole channel by the mean and the variance, so that it does not matter which pixels are chosen. */
INLINE void largest_of_image(const ptrdiff_t channels, const Windows *windows, const float *restrict x,
                             const float *restrict sign, const float *restrict origin, float *restrict largest,
                             float *restrict sums) {
  float sum[MOST_CHANNELS], square[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < channels; c++) sum[c] = square[c] = 0;
  for (ptrdiff_t row = 0; row < windows->rows; row++)
    for (ptrdiff_t column = 0; column < windows->columns; column++, largest += channels) {
      const float *p = x + (row * 2 * windows->columns + column) * 2 * channels, *q = p + channels;
      const float *r = p + windows->columns * 2 * channels, *s = r + channels;
#pragma omp simd
      for (ptrdiff_t c = 0; c < channels; c++) {
        float a = p[c], b = q[c], d = r[c], e = s[c];
        float upper = b * sign[c] > a * sign[c] ? b : a, lower = e * sign[c] > d * sign[c] ? e : d;
        largest[c] = lower * sign[c] > upper * sign[c] ? lower : upper;
        a -= origin[c], b -= origin[c], d -= origin[c], e -= origin[c];
        sum[c] += (a + b) + (d + e);
        square[c] += (a * a + b * b) + (d * d + e * e);
      }
    }
  for (ptrdiff_t c = 0; c < channels; c++) sums[c] = sum[c], sums[channels + c] = square[c];
}

static void largest_of(const Windows *windows, const float *x, const float *sign, const float *origin, float *largest,
                       float *sums) {
#define CALL(channels) largest_of_image(channels, windows, x, sign, origin, largest, sums)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* What max-pooling takes of the two: NAN wins, as in torch. */
INLINE float larger(float a, float b) { return b > a ? b : b != b ? b : a; }

/* The largest of each window's four x * slope + shift, and not less than `least`: in evaluation, where slope and shift
   are known beforehand. */
INLINE void evaluate_image(const ptrdiff_t channels, const Windows *windows, const float *restrict x,
                           const float *restrict slope, const float *restrict shift, float least,
                           float *restrict out) {
  for (ptrdiff_t row = 0; row < windows->rows; row++)
    for (ptrdiff_t column = 0; column < windows->columns; column++, out += channels) {
      const float *p = x + (row * 2 * windows->columns + column) * 2 * channels, *q = p + channels;
      const float *r = p + windows->columns * 2 * channels, *s = r + channels;
#pragma omp simd
      for (ptrdiff_t c = 0; c < channels; c++) {
        const float upper = larger(p[c] * slope[c] + shift[c], q[c] * slope[c] + shift[c]);
        const float lower = larger(r[c] * slope[c] + shift[c], s[c] * slope[c] + shift[c]);
        const float y = larger(upper, lower);
        out[c] = y < least ? least : y;
      }
    }
}

static void evaluate(const Windows *windows, const float *x, const float *slope, const float *shift, float least,
                     float *out) {
#define CALL(channels) evaluate_image(channels, windows, x, slope, shift, least, out)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* out = largest * slope + shift, and not below `least`, for `pixels` pixels. */
INLINE void scale_image(const ptrdiff_t channels, ptrdiff_t pixels, const float *restrict largest,
                        const float *restrict slope, const float *restrict shift, float least, float *restrict out) {
  for (; pixels > 0; pixels--, largest += channels, out += channels)
#pragma omp simd
    for (ptrdiff_t c = 0; c < channels; c++) {
      float y = largest[c] * slope[c] + shift[c];
      out[c] = y < least ? least : y;
    }
}

static void scale(const Windows *windows, const float *largest, const float *slope,
                                     const float *shift, float least, float *out) {
#define CALL(channels) scale_image(channels, windows->rows *windows->columns, largest, slope, shift, least, out)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* sums: (images, 2, channels), room for partial sums; statistics: as in `normaliser`. There is at least one image. In
   evaluation `largest` is not written. */
int norm_pool_forward(const Windows *windows, const float *x, const float *weight, const float *bias, double eps,
                      int training, int relu, float *largest, float *sums, float *statistics, float *out) {
  const ptrdiff_t n = windows->images, channels = windows->channels;
  const ptrdiff_t pixels = windows->rows * windows->columns, size = pixels * channels;
  const float least = relu ? 0 : -INFINITY;
  float sign[MOST_CHANNELS], origin[MOST_CHANNELS], slope[MOST_CHANNELS], shift[MOST_CHANNELS];
  signs(channels, weight, sign);
  for (ptrdiff_t c = 0; c < channels; c++) origin[c] = isfinite(x[c]) ? x[c] : 0;
  if (!training) {
    normaliser(n, 4 * pixels, 1, channels, sums, origin, weight, bias, eps, training, statistics, slope, shift);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i++) evaluate(windows, x + 4 * i * size, slope, shift, least, out + i * size);
    return 1;
  }
  for (int passes = 0; passes < 2; passes++) {
#pragma omp parallel for schedule(static)
    for (ptrdiff_t i = 0; i < n; i++)
      largest_of(windows, x + 4 * i * size, sign, origin, largest + i * size, sums + 2 * i * channels);
    if (!normaliser(n, 4 * pixels, 1, channels, sums, origin, weight, bias, eps, training, statistics, slope, shift))
      break;
  }
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < n; i++) scale(windows, largest + i * size, slope, shift, least, out + i * size);
  return 1;
}

/* Sums over an image's windows, for each channel, of the gradient that passes (see BLOCKED), and of that times the
   normalised pixel it goes to. */
INLINE void sums_of_image(const ptrdiff_t channels, ptrdiff_t pixels, const float *restrict largest,
                          const float *restrict out, const float *restrict grad, const float *restrict mean,
                          const float *restrict inverse, float blocked, float *restrict sums) {
  float plain[MOST_CHANNELS], times[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < channels; c++) plain[c] = times[c] = 0;
  for (; pixels > 0; pixels--, largest += channels, out += channels, grad += channels)
#pragma omp simd
    for (ptrdiff_t c = 0; c < channels; c++) {
      float g = grad[c];
      g = out[c] <= blocked ? 0.0f : g;
      plain[c] += g;
      times[c] += g * ((largest[c] - mean[c]) * inverse[c]);
    }
  for (ptrdiff_t c = 0; c < channels; c++) sums[c] = plain[c], sums[channels + c] = times[c];
}

static void sums_of(const Windows *windows, const float *largest, const float *out,
                                       const float *grad, const float *mean, const float *inverse, float blocked,
                                       float *sums) {
#define CALL(channels) \
  sums_of_image(channels, windows->rows *windows->columns, largest, out, grad, mean, inverse, blocked, sums)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* dx = shift + tilt * x everywhere, and slope * gradient more at the first of each window's largest pixels. */
INLINE void spread_image(const ptrdiff_t channels, const Windows *windows, const float *restrict x,
                         const float *restrict largest, const float *restrict out, const float *restrict grad,
                         const float *restrict slope, const float *restrict tilt, const float *restrict shift,
                         float blocked, float *restrict dx) {
  for (ptrdiff_t row = 0; row < windows->rows; row++)
    for (ptrdiff_t column = 0; column < windows->columns;
         column++, largest += channels, out += channels, grad += channels) {
      const ptrdiff_t i = (row * 2 * windows->columns + column) * 2 * channels, j = i + channels;
      const ptrdiff_t k = i + windows->columns * 2 * channels, l = k + channels;
#pragma omp simd
      for (ptrdiff_t c = 0; c < channels; c++) {
        float g = slope[c] * grad[c];
        g = out[c] <= blocked ? 0.0f : g; /* loaded in either case: no branch */
        float a = x[i + c], b = x[j + c], d = x[k + c], e = x[l + c];
        float first = a == largest[c] ? g : 0.0f;
        g -= first;
        float second = b == largest[c] ? g : 0.0f;
        g -= second;
        float third = d == largest[c] ? g : 0.0f;
        g -= third;
        dx[i + c] = shift[c] + tilt[c] * a + first;
        dx[j + c] = shift[c] + tilt[c] * b + second;
        dx[k + c] = shift[c] + tilt[c] * d + third;
        dx[l + c] = shift[c] + tilt[c] * e + g;
      }
    }
}

static void spread(const Windows *windows, const float *x, const float *largest, const float *out,
                                      const float *grad, const float *slope, const float *tilt, const float *shift,
                                      float blocked, float *dx) {
#define CALL(channels) spread_image(channels, windows, x, largest, out, grad, slope, tilt, shift, blocked, dx)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* dweight, dbias: (channels,); the others as in the forward pass. */
int norm_pool_backward(const Windows *windows, const float *x, const float *weight, const float *largest,
                        const float *statistics, const float *out, const float *grad, int relu, float *sums,
                        float *dweight, float *dbias, float *dx) {
  const ptrdiff_t channels = windows->channels, pixels = windows->rows * windows->columns, size = pixels * channels;
  const float *mean = statistics, *inverse = mean + 2 * channels;
  const float blocked = BLOCKED(relu);
  float slope[MOST_CHANNELS], tilt[MOST_CHANNELS], shift[MOST_CHANNELS];
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    sums_of(windows, largest + i * size, out + i * size, grad + i * size, mean, inverse, blocked,
            sums + 2 * i * channels);
  normaliser_gradient(windows->images, 4 * pixels, 1, channels, sums, weight, statistics, dweight, dbias, slope, tilt,
                      shift);
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    spread(windows, x + 4 * i * size, largest + i * size, out + i * size, grad + i * size, slope, tilt, shift, blocked,
           dx + 4 * i * size);
  return 1;
}

/* --------------------------------------- a convolution of one-channel images, with the batch norm, maximum and ReLU */

/* What a network does first, and on the most pixels. Images go through it eight at a time, one in each lane of a
   vector, so that every vector is full whatever the shapes. What the convolution gives is never stored: it would be the
   largest tensor of the step, and is found anew in the backward pass sooner than fetched from memory. */

/* Kernels of rows x columns that step by 1, on images with top rows of zeros above and below, left columns of them on
   either side. */
typedef struct {
  ptrdiff_t images, height, width, maps, rows, columns, top, left;
} Stage;

enum { LANES = 8, GROUP = 3 /* maps whose four pixels fit in the registers */ };
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));
typedef int Mask __attribute__((vector_size(LANES * sizeof(int)), aligned(sizeof(int))));

static ptrdiff_t padded_width(const Stage *stage) { return stage->width + 2 * stage->left; }
static ptrdiff_t padded_height(const Stage *stage) { return stage->height + 2 * stage->top; }
static ptrdiff_t windows_wide(const Stage *stage) { return (padded_width(stage) - stage->columns + 1) / 2; }
static ptrdiff_t windows_high(const Stage *stage) { return (padded_height(stage) - stage->rows + 1) / 2; }

/* Where `mask`: a, else b. */
INLINE Lanes where(Mask mask, Lanes a, Lanes b) { return (Lanes)((mask & (Mask)a) | (~mask & (Mask)b)); }

/* Interleave `n` numbers of each of `live` images, `step` apart; the other lanes get zeros. */
INLINE void interleave(ptrdiff_t live, ptrdiff_t n, ptrdiff_t step, const float *restrict x, Lanes *restrict lanes) {
  float *p = (float *)lanes;
  if (live == LANES)
    for (ptrdiff_t i = 0; i < n; i++)
      for (ptrdiff_t lane = 0; lane < LANES; lane++) p[i * LANES + lane] = x[lane * step + i];
  else
    for (ptrdiff_t i = 0; i < n; i++)
      for (ptrdiff_t lane = 0; lane < LANES; lane++) p[i * LANES + lane] = lane < live ? x[lane * step + i] : 0;
}

INLINE void pad(const Stage *stage, ptrdiff_t live, const float *x, Lanes *padded) {
  const ptrdiff_t wide = padded_width(stage);
  memset(padded, 0, padded_height(stage) * wide * sizeof *padded);
  for (ptrdiff_t y = 0; y < stage->height; y++)
    interleave(live, stage->width, stage->height * stage->width, x + y * stage->width,
               padded + (y + stage->top) * wide + stage->left);
}

/* The four pixels of a window, in reading order, of `count` maps: x is the upper left pixel that its kernels see. */
INLINE void convolve(const ptrdiff_t count, const Stage *stage, const Lanes *restrict x, const float *restrict weight,
                     Lanes pixel[GROUP][4]) {
  const ptrdiff_t wide = padded_width(stage);
  for (ptrdiff_t c = 0; c < count; c++)
    for (int k = 0; k < 4; k++) pixel[c][k] = (Lanes){0};
  for (ptrdiff_t i = 0; i < stage->rows; i++)
    for (ptrdiff_t j = 0; j < stage->columns; j++) {
      const Lanes *p = x + i * wide + j, *q = p + wide;
      const Lanes a = p[0], b = p[1], d = q[0], e = q[1];
      for (ptrdiff_t c = 0; c < count; c++) {
        const float w = weight[(c * stage->rows + i) * stage->columns + j];
        pixel[c][0] += w * a, pixel[c][1] += w * b, pixel[c][2] += w * d, pixel[c][3] += w * e;
      }
    }
}

#define IN_GROUPS(call) \
  do { \
    ptrdiff_t first = 0; \
    for (; first + GROUP <= stage->maps; first += GROUP) call(GROUP); \
    for (; first < stage->maps; first++) call(1); \
  } while (0)

/* As `largest_of_image`, for `count` maps from `first` on: largest (windows, maps), sums (2, maps). */
INLINE void stage_largest(const ptrdiff_t count, const Stage *stage, ptrdiff_t first, const Lanes *restrict padded,
                          const float *restrict weight, const float *restrict sign, const float *restrict origin,
                          Lanes *restrict largest, Lanes *restrict sums) {
  const ptrdiff_t maps = stage->maps, high = windows_high(stage), wide = windows_wide(stage);
  weight += first * stage->rows * stage->columns, sign += first, origin += first, largest += first, sums += first;
  Lanes sum[GROUP], square[GROUP];
  for (ptrdiff_t c = 0; c < count; c++) sum[c] = square[c] = (Lanes){0};
  for (ptrdiff_t row = 0; row < high; row++)
    for (ptrdiff_t column = 0; column < wide; column++, largest += maps) {
      Lanes pixel[GROUP][4];
      convolve(count, stage, padded + 2 * row * padded_width(stage) + 2 * column, weight, pixel);
      for (ptrdiff_t c = 0; c < count; c++) {
        Lanes a = pixel[c][0], b = pixel[c][1], d = pixel[c][2], e = pixel[c][3];
        const Lanes upper = where(b * sign[c] > a * sign[c], b, a), lower = where(e * sign[c] > d * sign[c], e, d);
        largest[c] = where(lower * sign[c] > upper * sign[c], lower, upper);
        a -= origin[c], b -= origin[c], d -= origin[c], e -= origin[c];
        sum[c] += (a + b) + (d + e);
        square[c] += (a * a + b * b) + (d * d + e * e);
      }
    }
  for (ptrdiff_t c = 0; c < count; c++) sums[c] = sum[c], sums[maps + c] = square[c];
}

static void stage_largest_of(const Stage *stage, ptrdiff_t live, const float *x, Lanes *padded, const float *weight,
                             const float *sign, const float *origin, Lanes *largest, Lanes *sums) {
  pad(stage, live, x, padded);
#define CALL(count) stage_largest(count, stage, first, padded, weight, sign, origin, largest, sums)
  IN_GROUPS(CALL);
#undef CALL
}

INLINE Lanes larger_lanes(Lanes a, Lanes b) { return where((b > a) | (b != b), b, a); }

/* As `evaluate_image`, without `least`. */
INLINE void stage_evaluate(const ptrdiff_t count, const Stage *stage, ptrdiff_t first, const Lanes *restrict padded,
                           const float *restrict weight, const float *restrict slope, const float *restrict shift,
                           Lanes *restrict largest) {
  const ptrdiff_t maps = stage->maps, high = windows_high(stage), wide = windows_wide(stage);
  weight += first * stage->rows * stage->columns, slope += first, shift += first, largest += first;
  for (ptrdiff_t row = 0; row < high; row++)
    for (ptrdiff_t column = 0; column < wide; column++, largest += maps) {
      Lanes pixel[GROUP][4];
      convolve(count, stage, padded + 2 * row * padded_width(stage) + 2 * column, weight, pixel);
      for (ptrdiff_t c = 0; c < count; c++) {
        for (int k = 0; k < 4; k++) pixel[c][k] = pixel[c][k] * slope[c] + shift[c];
        largest[c] = larger_lanes(larger_lanes(pixel[c][0], pixel[c][1]), larger_lanes(pixel[c][2], pixel[c][3]));
      }
    }
}

static void stage_evaluate_of(const Stage *stage, ptrdiff_t live, const float *x, Lanes *padded, const float *weight,
                              const float *slope, const float *shift, Lanes *largest) {
  pad(stage, live, x, padded);
#define CALL(count) stage_evaluate(count, stage, first, padded, weight, slope, shift, largest)
  IN_GROUPS(CALL);
#undef CALL
}

/* As `scale_image`, image by image out of the lanes. */
static void stage_scale(const Stage *stage, ptrdiff_t live, const float *restrict largest,
                                           const float *restrict slope, const float *restrict shift, float least,
                                           float *restrict out) {
  const ptrdiff_t maps = stage->maps, pixels = windows_high(stage) * windows_wide(stage);
  for (ptrdiff_t lane = 0; lane < live; lane++)
    for (ptrdiff_t i = 0; i < pixels; i++, out += maps)
      for (ptrdiff_t c = 0; c < maps; c++) {
        const float y = largest[(i * maps + c) * LANES + lane] * slope[c] + shift[c];
        out[c] = y < least ? least : y;
      }
}

/* One pixel of each map near the middle of the first image: about what they are; 0 for one that is not finite. */
static void sample(const Stage *stage, const float *x, const float *weight, float *pixel) {
  for (ptrdiff_t c = 0; c < stage->maps; c++) pixel[c] = 0;
  for (ptrdiff_t i = 0; i < stage->rows; i++)
    for (ptrdiff_t j = 0; j < stage->columns; j++) {
      const ptrdiff_t row = windows_high(stage) - stage->top + i, column = windows_wide(stage) - stage->left + j;
      if (row >= 0 && row < stage->height && column >= 0 && column < stage->width)
        for (ptrdiff_t c = 0; c < stage->maps; c++)
          pixel[c] += weight[(c * stage->rows + i) * stage->columns + j] * x[row * stage->width + column];
    }
  for (ptrdiff_t c = 0; c < stage->maps; c++) pixel[c] = isfinite(pixel[c]) ? pixel[c] : 0;
}

#define BLOCKS ((stage->images + LANES - 1) / LANES)
#define LIVE(block) (stage->images - (block) * LANES < LANES ? stage->images - (block) * LANES : LANES)

/* largest: (blocks of eight images, windows, maps, 8), sums: (blocks, 2, maps, 8); the others as above. */
int stage_forward(const Stage *stage, const float *x, const float *weight, const float *norm_weight,
                  const float *norm_bias, double eps, int training, int relu, Lanes *largest, Lanes *sums,
                  float *statistics, float *out) {
  const ptrdiff_t maps = stage->maps, pixels = windows_high(stage) * windows_wide(stage), size = pixels * maps;
  const ptrdiff_t image = stage->height * stage->width, padded = padded_height(stage) * padded_width(stage);
  float sign[MOST_CHANNELS], origin[MOST_CHANNELS], slope[MOST_CHANNELS], shift[MOST_CHANNELS];
  Lanes *room = (Lanes *)room_for_threads(padded * sizeof *room);
  if (room == NULL) return 0;
  signs(maps, norm_weight, sign);
  sample(stage, x, weight, origin);
  for (int passes = 0; passes < (training ? 2 : 1); passes++) {
    if (!training)
      normaliser(stage->images, 4 * pixels, LANES, maps, (float *)sums, origin, norm_weight, norm_bias, eps, training,
                 statistics, slope, shift);
#pragma omp parallel for schedule(static)
    for (ptrdiff_t block = 0; block < BLOCKS; block++) {
      Lanes *own = room + omp_get_thread_num() * padded;
      const float *images = x + block * LANES * image;
      if (training)
        stage_largest_of(stage, LIVE(block), images, own, weight, sign, origin, largest + block * size,
                         sums + block * 2 * maps);
      else
        stage_evaluate_of(stage, LIVE(block), images, own, weight, slope, shift, largest + block * size);
    }
    if (training && !normaliser(stage->images, 4 * pixels, LANES, maps, (float *)sums, origin, norm_weight, norm_bias,
                                eps, training, statistics, slope, shift))
      break;
  }
  free(room);
  if (!training) /* `largest` is normalised already */
    for (ptrdiff_t c = 0; c < maps; c++) slope[c] = 1, shift[c] = 0;
#pragma omp parallel for schedule(static)
  for (ptrdiff_t block = 0; block < BLOCKS; block++)
    stage_scale(stage, LIVE(block), (float *)(largest + block * size), slope, shift, relu ? 0 : -INFINITY,
                out + block * LANES * size);
  return 1;
}

/* As `sums_of_image`, and in `passed` the gradient that passes. */
static void stage_sums(const Stage *stage, ptrdiff_t live, const Lanes *restrict largest,
                                          const float *out, const float *grad, const float *mean,
                                          const float *inverse, float blocked, Lanes *restrict passed,
                                          Lanes *restrict sums) {
  const ptrdiff_t maps = stage->maps, pixels = windows_high(stage) * windows_wide(stage), size = pixels * maps;
  Lanes plain[MOST_CHANNELS], times[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < maps; c++) plain[c] = times[c] = (Lanes){0};
  float *p = (float *)passed;
  for (ptrdiff_t i = 0; i < size; i++)
    for (ptrdiff_t lane = 0; lane < LANES; lane++)
      p[i * LANES + lane] = lane < live && !(out[lane * size + i] <= blocked) ? grad[lane * size + i] : 0;
  for (ptrdiff_t i = 0; i < pixels; i++, largest += maps, passed += maps)
    for (ptrdiff_t c = 0; c < maps; c++) {
      plain[c] += passed[c];
      times[c] += passed[c] * ((largest[c] - mean[c]) * inverse[c]);
    }
  for (ptrdiff_t c = 0; c < maps; c++) sums[c] = plain[c], sums[maps + c] = times[c];
}

/* Add to the gradient of `count` maps' kernels what these images give. */
INLINE void stage_weight_gradient(const ptrdiff_t count, const Stage *stage, ptrdiff_t first,
                                  const Lanes *restrict padded, const float *restrict weight,
                                  const Lanes *restrict largest, const Lanes *restrict passed,
                                  const float *restrict slope, const float *restrict tilt,
                                  const float *restrict shift, Lanes *restrict dweight) {
  const ptrdiff_t maps = stage->maps, rows = stage->rows, columns = stage->columns, taps = rows * columns;
  const ptrdiff_t high = windows_high(stage), wide = windows_wide(stage);
  weight += first * taps, dweight += first * taps, largest += first, passed += first;
  slope += first, tilt += first, shift += first;
  for (ptrdiff_t row = 0; row < high; row++)
    for (ptrdiff_t column = 0; column < wide; column++, largest += maps, passed += maps) {
      const Lanes *x = padded + 2 * row * padded_width(stage) + 2 * column;
      Lanes pixel[GROUP][4]; /* then its gradient */
      convolve(count, stage, x, weight, pixel);
      for (ptrdiff_t c = 0; c < count; c++) {
        Lanes g = slope[c] * passed[c];
        for (int k = 0; k < 4; k++) {
          const Lanes hit = k < 3 ? where(pixel[c][k] == largest[c], g, (Lanes){0}) : g;
          g -= hit;
          pixel[c][k] = shift[c] + tilt[c] * pixel[c][k] + hit;
        }
      }
      for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) {
          const Lanes *p = x + i * padded_width(stage) + j, *q = p + padded_width(stage);
          const Lanes a = p[0], b = p[1], d = q[0], e = q[1];
          for (ptrdiff_t c = 0; c < count; c++)
            dweight[c * taps + i * columns + j] +=
                (pixel[c][0] * a + pixel[c][1] * b) + (pixel[c][2] * d + pixel[c][3] * e);
        }
    }
}

static void stage_weight_gradient_of(const Stage *stage, ptrdiff_t live, const float *x,
                                                        Lanes *padded, const float *weight, const Lanes *largest,
                                                        const Lanes *passed, const float *slope, const float *tilt,
                                                        const float *shift, Lanes *dweight) {
  pad(stage, live, x, padded);
  memset(dweight, 0, stage->maps * stage->rows * stage->columns * sizeof *dweight);
#define CALL(count) \
  stage_weight_gradient(count, stage, first, padded, weight, largest, passed, slope, tilt, shift, dweight)
  IN_GROUPS(CALL);
#undef CALL
}

/* passed: as largest; dweights: (blocks, maps, rows, columns, 8), room for partial sums; dweight: as weight. */
int stage_backward(const Stage *stage, const float *x, const float *weight, const float *norm_weight,
                    const Lanes *largest, const float *statistics, const float *out, const float *grad, int relu,
                    Lanes *passed, Lanes *sums, Lanes *dweights, float *dweight, float *norm_dweight,
                    float *norm_dbias) {
  const ptrdiff_t maps = stage->maps, pixels = windows_high(stage) * windows_wide(stage), size = pixels * maps;
  const ptrdiff_t image = stage->height * stage->width, weights = maps * stage->rows * stage->columns;
  const ptrdiff_t padded = padded_height(stage) * padded_width(stage);
  const float *mean = statistics, *inverse = mean + 2 * maps;
  float slope[MOST_CHANNELS], tilt[MOST_CHANNELS], shift[MOST_CHANNELS];
  Lanes *room = (Lanes *)room_for_threads(padded * sizeof *room);
  if (room == NULL) return 0;
#pragma omp parallel for schedule(static)
  for (ptrdiff_t block = 0; block < BLOCKS; block++)
    stage_sums(stage, LIVE(block), largest + block * size, out + block * LANES * size, grad + block * LANES * size,
               mean, inverse, BLOCKED(relu), passed + block * size, sums + block * 2 * maps);
  normaliser_gradient(stage->images, 4 * pixels, LANES, maps, (float *)sums, norm_weight, statistics, norm_dweight,
                      norm_dbias, slope, tilt, shift);
#pragma omp parallel for schedule(static)
  for (ptrdiff_t block = 0; block < BLOCKS; block++)
    stage_weight_gradient_of(stage, LIVE(block), x + block * LANES * image, room + omp_get_thread_num() * padded,
                             weight, largest + block * size, passed + block * size, slope, tilt, shift,
                             dweights + block * weights);
  free(room);
  for (ptrdiff_t i = 0; i < weights; i++)
    dweight[i] = (float)total((float *)dweights, stage->images, LANES, weights, i);
  return 1;
}

/* ------------------------------------------------------------------------------ a convolution's input, few channels */

/* A convolution with stride 1 and no padding: (images, height, width, channels) -> maps of rows x columns kernels. */
typedef struct {
  ptrdiff_t images, height, width, channels, maps, rows, columns;
} Convolution;

enum { TILE = 5 /* neighbours whose sums fit in the registers */ };

/* Add to a row of dx what `count` neighbours of the output above it give, from the kernel's rows first to last. A pixel
   gives its kernel row as one run of columns * channels numbers, filled up to `run`; what the filling gives is left
   out, since it would be NAN for a gradient that is not finite. */
INLINE void add_neighbours(const ptrdiff_t count, const Convolution *conv, ptrdiff_t run, ptrdiff_t first,
                           ptrdiff_t last, const float *restrict dy, const float *restrict weight,
                           float *restrict dx) {
  const ptrdiff_t maps = conv->maps, above = (conv->width - conv->columns + 1) * maps;
  const Mask lane = {0, 1, 2, 3, 4, 5, 6, 7};
  for (ptrdiff_t at = 0; at < run; at += 2 * LANES) {
    const int filled = (int)(conv->columns * conv->channels - at);
    const Mask real[2] = {lane < filled, lane + LANES < filled};
    Lanes sum[TILE][2];
    for (ptrdiff_t i = 0; i < count; i++) sum[i][0] = sum[i][1] = (Lanes){0};
    for (ptrdiff_t row = first; row <= last; row++)
      for (ptrdiff_t map = 0; map < maps; map++) {
        const float *w = weight + (row * maps + map) * run + at;
        const Lanes left = ((const Lanes *)w)[0], right = ((const Lanes *)w)[1];
        for (ptrdiff_t i = 0; i < count; i++) {
          const float g = dy[i * maps + map - row * above];
          sum[i][0] += g * left;
          sum[i][1] += g * right;
        }
      }
#pragma GCC unroll 5 /* else the sums would lie in memory, also while they are added up */
    for (ptrdiff_t i = 0; i < count; i++) {
      Lanes *p = (Lanes *)(dx + i * conv->channels + at);
      p[0] += where(real[0], sum[i][0], (Lanes){0});
      p[1] += where(real[1], sum[i][1], (Lanes){0});
    }
  }
}

/* row: room for a row of dx and one run. */
static void input_gradient(const Convolution *conv, ptrdiff_t run, const float *dy, const float *weight, float *row,
                           float *dx) {
  const ptrdiff_t height = conv->height - conv->rows + 1, width = conv->width - conv->columns + 1;
  const ptrdiff_t size = conv->width * conv->channels;
  for (ptrdiff_t y = 0; y < conv->height; y++) {
    memset(row, 0, (size + run) * sizeof *row);
    const ptrdiff_t first = y < height ? 0 : y - height + 1, last = y < conv->rows ? y : conv->rows - 1;
    const float *g = dy + y * width * conv->maps;
    ptrdiff_t x = 0;
    for (; x + TILE <= width; x += TILE)
      add_neighbours(TILE, conv, run, first, last, g + x * conv->maps, weight, row + x * conv->channels);
    for (; x < width; x++)
      add_neighbours(1, conv, run, first, last, g + x * conv->maps, weight, row + x * conv->channels);
    memcpy(dx + y * size, row, size * sizeof *row);
  }
}

/* weight: (rows, maps, run), run a multiple of 16. */
int convolution_input_gradient(const Convolution *conv, ptrdiff_t run, const float *dy, const float *weight,
                               float *dx) {
  const ptrdiff_t out = (conv->height - conv->rows + 1) * (conv->width - conv->columns + 1) * conv->maps;
  const ptrdiff_t in = conv->height * conv->width * conv->channels, row = conv->width * conv->channels + run;
  float *room = (float *)room_for_threads(row * sizeof *room);
  if (room == NULL) return 0;
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < conv->images; i++)
    input_gradient(conv, run, dy + i * out, weight, room + omp_get_thread_num() * row, dx + i * in);
  free(room);
  return 1;
}
