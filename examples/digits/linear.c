/* A linear classifier of 8x8 digits as a WASI command module.
 *
 * Reads an IDX file of unsigned bytes (magic 0x00000803, count, 8, 8, pixels) on stdin and writes one
 * digit a line on stdout. Weights are whole numbers, so the answer is the same on every processor.
 * Anything else on stdin ends with exit code 2 and a sentence on stderr. */

#include <stdint.h>
#include <unistd.h>

#include "linear_weights.h" /* written by train.py: WEIGHTS[10][64], BIASES[10] */

#define SIDE 8
#define PIXELS (SIDE * SIDE)
#define CLASSES 10
#define HEADER_BYTES 16
#define LINES_BYTES 4096

static int read_exactly(uint8_t *to, size_t bytes) {
    while (bytes > 0) {
        ssize_t got = read(STDIN_FILENO, to, bytes);
        if (got <= 0) return 0;
        to += got;
        bytes -= (size_t)got;
    }
    return 1;
}

static int write_all(int to, const char *from, size_t bytes) {
    while (bytes > 0) {
        ssize_t done = write(to, from, bytes);
        if (done <= 0) return 0;
        from += done;
        bytes -= (size_t)done;
    }
    return 1;
}

static uint32_t big_endian(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
}

static char classify(const uint8_t *picture) {
    int best = 0;
    int32_t best_score = INT32_MIN;
    for (int class = 0; class < CLASSES; class++) {
        int32_t score = BIASES[class];
        for (int i = 0; i < PIXELS; i++) score += WEIGHTS[class][i] * (int32_t)picture[i];
        if (score > best_score) {
            best_score = score;
            best = class;
        }
    }
    return (char)('0' + best);
}

static int refuse(const char *why, size_t bytes) {
    write_all(STDERR_FILENO, why, bytes);
    return 2;
}
#define REFUSE(text) refuse(text "\n", sizeof(text))

int main(void) {
    uint8_t header[HEADER_BYTES];
    if (!read_exactly(header, sizeof header)) return REFUSE("the input is shorter than an IDX header");
    if (big_endian(header) != 0x00000803u) return REFUSE("the input is not an IDX file of pictures");
    if (big_endian(header + 8) != SIDE || big_endian(header + 12) != SIDE) return REFUSE("pictures must be 8 by 8");

    uint32_t count = big_endian(header + 4);
    static char lines[LINES_BYTES];
    size_t filled = 0;
    for (uint32_t item = 0; item < count; item++) {
        uint8_t picture[PIXELS];
        if (!read_exactly(picture, sizeof picture)) return REFUSE("the input ends inside a picture");
        lines[filled++] = classify(picture);
        lines[filled++] = '\n';
        if (filled == sizeof lines) {
            if (!write_all(STDOUT_FILENO, lines, filled)) return 3;
            filled = 0;
        }
    }
    return write_all(STDOUT_FILENO, lines, filled) ? 0 : 3;
}
