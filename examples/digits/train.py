#!/usr/bin/env python3
"""Trains the three classifiers of this example and writes every generated file beside this script.

Reads digits.csv.gz out of a scikit-learn wheel or installed package; scikit-learn itself is not imported.
The seed is fixed. The last 600 digits are held out: no weight and no choice below has seen them.

    python3 train.py path/to/scikit_learn.whl     # or a path to digits.csv.gz
"""

import csv
import gzip
import io
import pathlib
import struct
import subprocess
import sys
import zipfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 1998  # the year the digits were collected
TRAIN = 1197
SIDE = 8
CLASSES = 10
HERE = pathlib.Path(__file__).resolve().parent
CREDIT = "Trained on the UCI Optical Recognition of Handwritten Digits set (Alpaydin, Kaynak; CC BY 4.0)."


def read_digits(source):
    """Pixels (0..16) and labels, in the set's own order."""
    path = pathlib.Path(source)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            packed = wheel.read("sklearn/datasets/data/digits.csv.gz")
    else:
        packed = path.read_bytes()
    rows = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    table = np.array([[int(float(cell)) for cell in row] for row in rows], dtype=np.int64)
    assert table.shape == (1797, SIDE * SIDE + 1), table.shape
    return table[:, :-1], table[:, -1]


class Adam:
    """Adam with decoupled weight decay and a cosine schedule."""

    def __init__(self, params, steps, rate, decay):
        self.params, self.steps, self.rate, self.decay = params, steps, rate, decay
        self.first = [np.zeros_like(p) for p in params]
        self.second = [np.zeros_like(p) for p in params]
        self.step_count = 0

    def step(self, gradients):
        self.step_count += 1
        t = self.step_count
        rate = self.rate * 0.5 * (1 + np.cos(np.pi * t / self.steps))
        for p, g, m, v in zip(self.params, gradients, self.first, self.second):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * ((m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + self.decay * p)


def cross_entropy_gradient(logits, labels):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    p[np.arange(len(labels)), labels] -= 1
    return p / len(labels)


def augmented(pictures, rng):
    """Pictures moved, turned, scaled and sheared a little, with bilinear sampling."""
    count = len(pictures)
    angle = rng.uniform(-0.2, 0.2, count)
    scale = rng.uniform(0.88, 1.12, (2, count))
    shear = rng.uniform(-0.2, 0.2, count)
    move = rng.uniform(-0.8, 0.8, (2, count))
    centre = (SIDE - 1) / 2
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64) - centre
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    xs = (cos * x + sin * y) * scale[0][:, None, None] + shear[:, None, None] * y + move[0][:, None, None] + centre
    ys = (-sin * x + cos * y) * scale[1][:, None, None] + move[1][:, None, None] + centre
    padded = np.pad(pictures.reshape(count, SIDE, SIDE), ((0, 0), (2, 2), (2, 2)))
    xs, ys = np.clip(xs + 2, 0, SIDE + 2.999), np.clip(ys + 2, 0, SIDE + 2.999)
    x0, y0 = xs.astype(int), ys.astype(int)
    fx, fy = xs - x0, ys - y0
    n = np.arange(count)[:, None, None]
    moved = (
        padded[n, y0, x0] * (1 - fx) * (1 - fy)
        + padded[n, y0, x0 + 1] * fx * (1 - fy)
        + padded[n, y0 + 1, x0] * (1 - fx) * fy
        + padded[n, y0 + 1, x0 + 1] * fx * fy
    )
    return moved.reshape(count, -1).astype(np.float32)


def batches(count, size, rng):
    order = rng.permutation(count)
    return [order[i : i + size] for i in range(0, count, size)]


def dense(rng, inputs, outputs):
    return (rng.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)).astype(np.float32)


# --- rung 1: linear, in whole numbers -----------------------------------------------------------------


def train_linear(pixels, labels):
    """Softmax regression on raw pixels; the weights are then rounded to whole numbers in -127..127."""
    rng = np.random.default_rng(SEED)
    x = (pixels / 16).astype(np.float64)
    w, b = np.zeros((SIDE * SIDE, CLASSES)), np.zeros(CLASSES)
    epochs = 60
    parts = batches(len(x), 64, rng)
    adam = Adam([w, b], epochs * len(parts), 0.01, 0.01)
    for _ in range(epochs):
        for part in batches(len(x), 64, rng):
            g = cross_entropy_gradient(x[part] @ w + b, labels[part])
            adam.step([x[part].T @ g, g.sum(axis=0)])
    unit = 127 / np.abs(w).max()
    return np.rint(w * unit).astype(np.int64), np.rint(b * unit * 16).astype(np.int64)


def write_weights_header(w, b):
    lines = [
        "/* Written by train.py; do not edit. */",
        f"/* {CREDIT} */",
        "static const int8_t WEIGHTS[10][64] = {",
    ]
    lines += ["    {" + ", ".join(str(v) for v in w[:, c]) + "}," for c in range(CLASSES)]
    lines += ["};", "static const int32_t BIASES[10] = {" + ", ".join(str(v) for v in b) + "};", ""]
    (HERE / "linear_weights.h").write_text("\n".join(lines))


# --- rung 2: a small network --------------------------------------------------------------------------


def train_small(pixels, labels):
    """One hidden layer of 32, trained on moved and turned copies."""
    rng = np.random.default_rng(SEED + 1)
    x = (pixels / 16).astype(np.float32)
    w1, b1 = dense(rng, SIDE * SIDE, 32), np.zeros(32, np.float32)
    w2, b2 = dense(rng, 32, CLASSES), np.zeros(CLASSES, np.float32)
    epochs = 150
    adam = Adam([w1, b1, w2, b2], epochs * len(batches(len(x), 64, rng)), 0.005, 0.01)
    for _ in range(epochs):
        moved = augmented(x, rng)
        for part in batches(len(x), 64, rng):
            hidden = np.maximum(moved[part] @ w1 + b1, 0)
            g = cross_entropy_gradient(hidden @ w2 + b2, labels[part])
            gh = (g @ w2.T) * (hidden > 0)
            adam.step([moved[part].T @ gh, gh.sum(axis=0), hidden.T @ g, g.sum(axis=0)])
    return w1, b1, w2, b2


def run_small(params, x):
    w1, b1, w2, b2 = params
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


# --- rung 3: a convolutional network, trained on moved and turned copies ---------------------------------


def windows(x):
    """Every 3x3 neighbourhood (zero padded) of [n, h, w, c] as [n, h, w, 9c]."""
    n, h, w, c = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.concatenate([padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], axis=3)


def windows_back(g, c):
    n, h, w, _ = g.shape
    padded = np.zeros((n, h + 2, w + 2, c), np.float32)
    for k in range(9):
        i, j = divmod(k, 3)
        padded[:, i : i + h, j : j + w] += g[..., k * c : (k + 1) * c]
    return padded[:, 1:-1, 1:-1]


def pool(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def pool_back(x, pooled, g):
    def spread(a):
        return np.repeat(np.repeat(a, 2, axis=1), 2, axis=2)

    return spread(g) * (x == spread(pooled))


def run_large(params, x, keep=False):
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = params
    n = len(x)
    i1 = windows(x.reshape(n, SIDE, SIDE, 1))
    a1 = np.maximum(i1 @ w1 + b1, 0)
    i2 = windows(a1)
    a2 = np.maximum(i2 @ w2 + b2, 0)
    p2 = pool(a2)
    i3 = windows(p2)
    a3 = np.maximum(i3 @ w3 + b3, 0)
    p3 = pool(a3)
    flat = p3.reshape(n, -1)
    a4 = np.maximum(flat @ w4 + b4, 0)
    logits = a4 @ w5 + b5
    return (logits, i1, a1, i2, a2, p2, i3, a3, p3, flat, a4) if keep else logits


def large_gradients(params, x, labels, rng):
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = params
    _, i1, a1, i2, a2, p2, i3, a3, p3, flat, a4 = run_large(params, x, keep=True)
    drop = (rng.random(a4.shape) < 0.7).astype(np.float32) / np.float32(0.7)
    a4d = a4 * drop
    g = cross_entropy_gradient(a4d @ w5 + b5, labels).astype(np.float32)
    g4 = (g @ w5.T) * drop * (a4 > 0)
    g3 = pool_back(a3, p3, (g4 @ w4.T).reshape(p3.shape)) * (a3 > 0)
    g2 = pool_back(a2, p2, windows_back(g3 @ w3.T, p2.shape[3])) * (a2 > 0)
    g1 = windows_back(g2 @ w2.T, a1.shape[3]) * (a1 > 0)

    def of(inputs, grad):
        flat_grad = grad.reshape(-1, grad.shape[-1])
        return inputs.reshape(-1, inputs.shape[-1]).T @ flat_grad, flat_grad.sum(axis=0)

    return [*of(i1, g1), *of(i2, g2), *of(i3, g3), *of(flat, g4), *of(a4d, g)]


def train_large(pixels, labels):
    rng = np.random.default_rng(SEED + 2)
    x = (pixels / 16).astype(np.float32)
    sizes = [(9, 16), (9 * 16, 24), (9 * 24, 32), (2 * 2 * 32, 64), (64, CLASSES)]
    params = [p for i, o in sizes for p in (dense(rng, i, o), np.zeros(o, np.float32))]
    epochs = 150
    adam = Adam(params, epochs * len(batches(len(x), 64, rng)), 0.003, 0.01)
    for _ in range(epochs):
        moved = augmented(x, rng)
        for part in batches(len(x), 64, rng):
            adam.step(large_gradients(params, moved[part], labels[part], rng))
    return params


# --- files ------------------------------------------------------------------------------------------------


def save_onnx(name, nodes, weights, note):
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", SIDE * SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, key) for key, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="cairn digits")
    model.ir_version = 8
    model.doc_string = f"{note} {CREDIT}"
    onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def save_small(params):
    w1, b1, w2, b2 = params
    nodes = [
        helper.make_node("Gemm", ["pixels", "w1", "b1"], ["z1"]),
        helper.make_node("Relu", ["z1"], ["a1"]),
        helper.make_node("Gemm", ["a1", "w2", "b2"], ["logits"]),
    ]
    save_onnx("small", nodes, {"w1": w1, "b1": b1, "w2": w2, "b2": b2}, "One hidden layer of 32.")


def save_large(params):
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = params

    def kernel(w):
        return np.ascontiguousarray(w.reshape(3, 3, -1, w.shape[1]).transpose(3, 2, 0, 1))

    # Training keeps channels last, ONNX keeps them first: the rows of the first dense layer move accordingly.
    w4 = np.ascontiguousarray(w4.reshape(2, 2, 32, -1).transpose(2, 0, 1, 3).reshape(w4.shape))

    def conv(i, x, w, b, y):
        return helper.make_node("Conv", [x, w, b], [y], name=i, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def halve(x, y):
        return helper.make_node("MaxPool", [x], [y], kernel_shape=[2, 2], strides=[2, 2])

    nodes = [
        helper.make_node("Reshape", ["pixels", "picture"], ["x"]),
        conv("conv1", "x", "w1", "b1", "z1"),
        helper.make_node("Relu", ["z1"], ["a1"]),
        conv("conv2", "a1", "w2", "b2", "z2"),
        helper.make_node("Relu", ["z2"], ["a2"]),
        halve("a2", "p2"),
        conv("conv3", "p2", "w3", "b3", "z3"),
        helper.make_node("Relu", ["z3"], ["a3"]),
        halve("a3", "p3"),
        helper.make_node("Flatten", ["p3"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w4", "b4"], ["z4"]),
        helper.make_node("Relu", ["z4"], ["a4"]),
        helper.make_node("Gemm", ["a4", "w5", "b5"], ["logits"]),
    ]
    weights = {
        "picture": np.array([-1, 1, SIDE, SIDE], np.int64),
        "w1": kernel(w1), "b1": b1, "w2": kernel(w2), "b2": b2, "w3": kernel(w3), "b3": b3,
        "w4": w4, "b4": b4, "w5": w5, "b5": b5,
    }  # fmt: skip
    save_onnx("large", nodes, weights, "Three convolutions and two dense layers.")


def save_held_out(pixels, labels):
    header = struct.pack(">IIII", 0x00000803, len(pixels), SIDE, SIDE)
    (HERE / "held-out.idx").write_bytes(header + pixels.astype(np.uint8).tobytes())
    (HERE / "held-out.labels").write_text("".join(f"{label}\n" for label in labels))


JOB = """\
# Which digit is on each picture? Written by train.py; each quality is the accuracy measured on the 600
# held-out pictures, which no rung was trained on. Rungs stand from worst to best.
title = "Read 600 handwritten digits"
input = "held-out.idx"
items = "idx"                     # pictures in, one line per picture out
class = {{ tolerance = 0.01 }}      # two machines may disagree on 1 % of the lines (floating point)
verify = {{ spot = 12 }}            # the payer recomputes 12 pictures before it accepts
fee = 20                          # for each node that forwards the job

[[rung]]
name = "linear"
engine = "wasm"
module = "linear.wasm"
quality = {linear:.6f}
price = 100
bounds = {{ fuel = 50_000_000, memory = "1 MiB", wall = "5 s", output = "64 KiB" }}

[[rung]]
name = "small network"
engine = "onnx"
module = "small.onnx"
quality = {small:.6f}
price = 400
bounds = {{ memory = "128 MiB", wall = "10 s", output = "64 KiB" }}
pre = {{ idx_to_f32 = 0.0625 }}     # a pixel is 0..16
post = "argmax_lines"

[[rung]]
name = "large network"
engine = "onnx"
module = "large.onnx"
quality = {large:.6f}
price = 1_200
bounds = {{ memory = "256 MiB", wall = "20 s", output = "64 KiB" }}
pre = {{ idx_to_f32 = 0.0625 }}
post = "argmax_lines"
"""


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: train.py SCIKIT_LEARN_WHEEL_OR_DIGITS_CSV_GZ")
    pixels, labels = read_digits(sys.argv[1])
    train, held = (pixels[:TRAIN], labels[:TRAIN]), (pixels[TRAIN:], labels[TRAIN:])
    x_held = (held[0] / 16).astype(np.float32)

    def accuracy(scores):
        return float((scores.argmax(axis=1) == held[1]).mean())

    w, b = train_linear(*train)
    small = train_small(*train)
    large = train_large(*train)
    measured = {
        "linear": accuracy(held[0] @ w + b),
        "small": accuracy(run_small(small, x_held)),
        "large": accuracy(run_large(large, x_held)),
    }
    write_weights_header(w, b)
    save_small(small)
    save_large(large)
    save_held_out(*held)
    (HERE / "digits.toml").write_text(JOB.format(**measured))
    subprocess.run([str(HERE / "build.sh")], check=True)
    for name, value in measured.items():
        print(f"{name}: {value:.6f} ({round(value * len(x_held))} of {len(x_held)} held-out digits)")


if __name__ == "__main__":
    main()
