/* What a step of a small network spends most time in, on the CPU, in one pass each instead of torch's many.

   Images are float32 and channels_last: a pixel's channels lie side by side. Loops over channels are written so that the
   compiler makes vector instructions of them; images are shared out among the threads. kernels.py calls these functions
   and says what they compute; it goes without them where there was no compiler. */

#include <math.h>
#include <stddef.h>
#include <string.h>

/* One version of a function for each generation of processors, chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINE static inline __attribute__((always_inline))

/* Constant numbers of channels make faster loops: those of LeNet's two convolutions have code of their own. */
#define WITH_CHANNELS(call) \
  do { \
    if (windows->channels == 6) call(6); \
    else if (windows->channels == 16) call(16); \
    else call(windows->channels); \
  } while (0)

enum { MOST_CHANNELS = 64 };

/* 2x2 windows over a batch of images; steps in floats. */
typedef struct {
  ptrdiff_t images, rows, columns, channels;
  ptrdiff_t image, row, column; /* from one image, row of windows, window to the next */
  ptrdiff_t pixel[4];           /* of a window, in reading order: from its start */
} Windows;

/* ------------------------------------------------------------------------------------- batch norm, 2x2 maximum, ReLU */

/* The first of each window's four pixels whose product with `sign` is largest, and for each channel the sum of all
   pixels less `origin`, and of the squares of these. */
INLINE void largest_of_image(const ptrdiff_t channels, const Windows *windows, const float *restrict x,
                             const float *restrict sign, const float *restrict origin, float *restrict largest,
                             float *restrict sums) {
  float sum[MOST_CHANNELS], square[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < channels; c++) sum[c] = square[c] = 0;
  for (ptrdiff_t row = 0; row < windows->rows; row++)
    for (ptrdiff_t column = 0; column < windows->columns; column++, largest += channels) {
      const float *window = x + row * windows->row + column * windows->column;
      const float *p = window + windows->pixel[0], *q = window + windows->pixel[1];
      const float *r = window + windows->pixel[2], *s = window + windows->pixel[3];
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

FOR_EACH_PROCESSOR static void largest_of(const Windows *windows, const float *x, const float *sign,
                                          const float *origin, float *largest, float *sums) {
#define CALL(channels) largest_of_image(channels, windows, x, sign, origin, largest, sums)
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

FOR_EACH_PROCESSOR static void scale(const Windows *windows, const float *largest, const float *slope,
                                     const float *shift, float least, float *out) {
#define CALL(channels) scale_image(channels, windows->rows *windows->columns, largest, slope, shift, least, out)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* sums: (images, 2, channels), room for partial sums. statistics: (3, channels): mean and biased variance of the batch
   (given if `training` is 0), and the inverse of the standard deviation. */
void norm_pool_forward(const Windows *windows, const float *x, const float *weight, const float *bias, double eps,
                       int training, int relu, float *largest, float *sums, float *statistics, float *out) {
  const ptrdiff_t channels = windows->channels, size = windows->rows * windows->columns * channels;
  float *mean = statistics, *variance = mean + channels, *inverse = variance + channels;
  float sign[MOST_CHANNELS], slope[MOST_CHANNELS], shift[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < channels; c++) sign[c] = (float)((weight[c] > 0) - (weight[c] < 0));
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    largest_of(windows, x + i * windows->image, sign, x, largest + i * size, sums + 2 * i * channels);
  const double n = 4.0 * windows->images * windows->rows * windows->columns;
  for (ptrdiff_t c = 0; c < channels; c++) {
    if (training) {
      double sum = 0, square = 0;
      for (ptrdiff_t i = 0; i < windows->images; i++) {
        sum += sums[2 * i * channels + c];
        square += sums[(2 * i + 1) * channels + c];
      }
      sum /= n;
      mean[c] = (float)(sum + x[c]);
      variance[c] = (float)fmax(square / n - sum * sum, 0);
    }
    inverse[c] = (float)(1 / sqrt(variance[c] + eps));
    slope[c] = inverse[c] * weight[c];
    shift[c] = bias[c] - mean[c] * slope[c];
  }
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    scale(windows, largest + i * size, slope, shift, relu ? 0 : -INFINITY, out + i * size);
}

/* Sums over an image's windows, for each channel, of the gradient that passes `out > above`, and of that times the
   normalised pixel it goes to. */
INLINE void sums_of_image(const ptrdiff_t channels, ptrdiff_t pixels, const float *restrict largest,
                          const float *restrict out, const float *restrict grad, const float *restrict mean,
                          const float *restrict inverse, float above, float *restrict sums) {
  float plain[MOST_CHANNELS], times[MOST_CHANNELS];
  for (ptrdiff_t c = 0; c < channels; c++) plain[c] = times[c] = 0;
  for (; pixels > 0; pixels--, largest += channels, out += channels, grad += channels)
#pragma omp simd
    for (ptrdiff_t c = 0; c < channels; c++) {
      float g = grad[c];
      g = out[c] > above ? g : 0.0f;
      plain[c] += g;
      times[c] += g * ((largest[c] - mean[c]) * inverse[c]);
    }
  for (ptrdiff_t c = 0; c < channels; c++) sums[c] = plain[c], sums[channels + c] = times[c];
}

FOR_EACH_PROCESSOR static void sums_of(const Windows *windows, const float *largest, const float *out,
                                       const float *grad, const float *mean, const float *inverse, float above,
                                       float *sums) {
#define CALL(channels) \
  sums_of_image(channels, windows->rows *windows->columns, largest, out, grad, mean, inverse, above, sums)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* dx = shift + tilt * x everywhere, and slope * gradient more at the first of each window's largest pixels. */
INLINE void spread_image(const ptrdiff_t channels, const Windows *windows, const float *restrict x,
                         const float *restrict largest, const float *restrict out, const float *restrict grad,
                         const float *restrict slope, const float *restrict tilt, const float *restrict shift,
                         float above, float *restrict dx) {
  for (ptrdiff_t row = 0; row < windows->rows; row++)
    for (ptrdiff_t column = 0; column < windows->columns;
         column++, largest += channels, out += channels, grad += channels) {
      const ptrdiff_t window = row * windows->row + column * windows->column;
      const ptrdiff_t i = window + windows->pixel[0], j = window + windows->pixel[1];
      const ptrdiff_t k = window + windows->pixel[2], l = window + windows->pixel[3];
#pragma omp simd
      for (ptrdiff_t c = 0; c < channels; c++) {
        float g = slope[c] * grad[c];
        g = out[c] > above ? g : 0.0f; /* loaded in either case: no branch */
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

FOR_EACH_PROCESSOR static void spread(const Windows *windows, const float *x, const float *largest, const float *out,
                                      const float *grad, const float *slope, const float *tilt, const float *shift,
                                      float above, float *dx) {
#define CALL(channels) spread_image(channels, windows, x, largest, out, grad, slope, tilt, shift, above, dx)
  WITH_CHANNELS(CALL);
#undef CALL
}

/* dweight, dbias: (channels,); the others as in the forward pass. */
void norm_pool_backward(const Windows *windows, const float *x, const float *weight, const float *largest,
                        const float *statistics, const float *out, const float *grad, int relu, float *sums,
                        float *dweight, float *dbias, float *dx) {
  const ptrdiff_t channels = windows->channels, size = windows->rows * windows->columns * channels;
  const float *mean = statistics, *inverse = mean + 2 * channels;
  const float above = relu ? 0 : -INFINITY;
  float slope[MOST_CHANNELS], tilt[MOST_CHANNELS], shift[MOST_CHANNELS];
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    sums_of(windows, largest + i * size, out + i * size, grad + i * size, mean, inverse, above,
            sums + 2 * i * channels);
  const double n = 4.0 * windows->images * windows->rows * windows->columns;
  for (ptrdiff_t c = 0; c < channels; c++) {
    double plain = 0, times = 0;
    for (ptrdiff_t i = 0; i < windows->images; i++) {
      plain += sums[2 * i * channels + c];
      times += sums[(2 * i + 1) * channels + c];
    }
    dbias[c] = (float)plain;
    dweight[c] = (float)times;
    slope[c] = weight[c] * inverse[c];
    tilt[c] = (float)(-times / n) * slope[c] * inverse[c];
    shift[c] = (float)(-plain / n) * slope[c] - mean[c] * tilt[c];
  }
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < windows->images; i++)
    spread(windows, x + i * windows->image, largest + i * size, out + i * size, grad + i * size, slope, tilt, shift,
           above, dx + i * windows->image);
}

/* ------------------------------------------------------------------------------ a convolution's input, few channels */

/* A convolution with stride 1 and no padding: (images, height, width, channels) -> maps of rows x columns kernels. */
typedef struct {
  ptrdiff_t images, height, width, channels, maps, rows, columns;
} Convolution;

typedef float Vector __attribute__((vector_size(64)));
enum { VECTOR = sizeof(Vector) / sizeof(float), TILE = 5 /* neighbours whose sums fit in the registers */ };

/* Add to a row of dx what `count` neighbours of the output above it give, from the kernel's rows first to last. A pixel
   gives its kernel row as one run of columns * channels numbers, filled up with zeros to `run`. */
INLINE void add_neighbours(const ptrdiff_t count, const Convolution *conv, ptrdiff_t run, ptrdiff_t first,
                           ptrdiff_t last, const float *restrict dy, const float *restrict weight,
                           float *restrict dx) {
  const ptrdiff_t maps = conv->maps, above = (conv->width - conv->columns + 1) * maps;
  for (ptrdiff_t at = 0; at < run; at += 2 * VECTOR) {
    Vector sum[TILE][2], old;
    for (ptrdiff_t i = 0; i < count; i++) sum[i][0] = sum[i][1] = (Vector){0};
    for (ptrdiff_t row = first; row <= last; row++)
      for (ptrdiff_t map = 0; map < maps; map++) {
        const float *w = weight + (row * maps + map) * run + at;
        Vector left, right;
        memcpy(&left, w, sizeof left);
        memcpy(&right, w + VECTOR, sizeof right);
        for (ptrdiff_t i = 0; i < count; i++) {
          const float g = dy[i * maps + map - row * above];
          sum[i][0] += g * left;
          sum[i][1] += g * right;
        }
      }
    for (ptrdiff_t i = 0; i < count; i++)
      for (int half = 0; half < 2; half++) {
        float *p = dx + i * conv->channels + at + half * VECTOR;
        memcpy(&old, p, sizeof old);
        old += sum[i][half];
        memcpy(p, &old, sizeof old);
      }
  }
}

FOR_EACH_PROCESSOR static void input_gradient(const Convolution *conv, ptrdiff_t run, const float *dy,
                                              const float *weight, float *dx) {
  const ptrdiff_t height = conv->height - conv->rows + 1, width = conv->width - conv->columns + 1;
  const ptrdiff_t size = conv->width * conv->channels;
  float row[size + run]; /* the last runs end behind it, with zeros */
  for (ptrdiff_t y = 0; y < conv->height; y++) {
    memset(row, 0, sizeof row);
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

/* weight: (rows, maps, run), run a multiple of 32. */
void convolution_input_gradient(const Convolution *conv, ptrdiff_t run, const float *dy, const float *weight,
                                float *dx) {
  const ptrdiff_t out = (conv->height - conv->rows + 1) * (conv->width - conv->columns + 1) * conv->maps;
  const ptrdiff_t in = conv->height * conv->width * conv->channels;
#pragma omp parallel for schedule(static)
  for (ptrdiff_t i = 0; i < conv->images; i++) input_gradient(conv, run, dy + i * out, weight, dx + i * in);
}
