#!/bin/sh
# Builds linear.wasm from linear.c and linear_weights.h, byte for byte as committed.
#   ./build.sh          writes linear.wasm
#   ./build.sh --check  builds aside and compares with the committed file
# Needs these Debian 12 packages: clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32
set -eu
cd "$(dirname "$0")"

out=linear.wasm
if [ "${1:-}" = "--check" ]; then
    out=$(mktemp)
    trap 'rm -f "$out"' EXIT
elif [ $# -gt 0 ]; then
    echo "usage: $0 [--check]" >&2
    exit 2
fi

command -v clang-16 >/dev/null || {
    echo "clang-16 is missing; hint: apt-get install clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32" >&2
    exit 2
}
# The name section and paths are stripped, so the bytes depend on the packages' versions only.
umask 022
clang-16 --target=wasm32-wasi -std=c11 -Wall -Wextra -Werror -Os -s \
    -Wl,-z,stack-size=65536 -o "$out" linear.c

if [ "${1:-}" = "--check" ]; then
    cmp "$out" linear.wasm && echo "linear.wasm is what its source says" >&2
fi
