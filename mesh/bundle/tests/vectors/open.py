#!/usr/bin/env python3
"""Opens sealed.hex by RFC 9171, 9052, 9053 and draft-ietf-dtn-bpsec-cose alone.

Written from the specifications and without this crate, to check that the profile in
docs/design/bundle.md is what the crate does. Needs the package `cryptography`.
The recipient's X25519 secret is that of the identity with the seed 02 02 ... (32 bytes),
printed by `Identity`'s derivation and copied here: Python has no BLAKE3.
"""
import base64
import pathlib
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET = bytes.fromhex("c55d43ca65e8df35cee627505f43a1abec54574bb69d50bb7c8474f5c91bb18e")


def read(data, at=0):
    """One CBOR item: (value, position after it)."""
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info == 31:
        items = []
        while data[at] != 0xFF:
            item, at = read(data, at)
            items.append(item)
        return items, at + 1
    value = info
    if info >= 24:
        width = 1 << (info - 24)
        value, at = int.from_bytes(data[at : at + width], "big"), at + width
    if major == 0:
        return value, at
    if major == 1:
        return -1 - value, at
    if major in (2, 3):
        raw = data[at : at + value]
        return (raw if major == 2 else raw.decode()), at + value
    if major == 4:
        items = []
        for _ in range(value):
            item, at = read(data, at)
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(value):
            key, at = read(data, at)
            pairs[key], at = read(data, at)
        return pairs, at
    assert major == 7 and info == 22
    return None, at


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << (8 * width):
            return bytes([major << 5 | info]) + value.to_bytes(width, "big")


def write(item):
    if item is None:
        return b"\xf6"
    if isinstance(item, int):
        return head(0, item) if item >= 0 else head(1, -1 - item)
    if isinstance(item, bytes):
        return head(2, len(item)) + item
    if isinstance(item, str):
        return head(3, len(item.encode())) + item.encode()
    if isinstance(item, list):
        return head(4, len(item)) + b"".join(map(write, item))
    pairs = sorted((write(key), write(value)) for key, value in item.items())
    return head(5, len(pairs)) + b"".join(key + value for key, value in pairs)


def sequence(data):
    at, items = 0, []
    while at < len(data):
        item, at = read(data, at)
        items.append(item)
    return items


def external_aad(source, scope, blocks, primary, target, security, extra):
    out = write(source) + write(scope)
    for key in sorted(k for k in scope if k >= 0) + sorted((k for k in scope if k < 0), reverse=True):
        block = {-1: blocks.get(target), -2: blocks[security]}.get(key) or blocks.get(key)
        if key == 0:
            out += primary
            continue
        if scope[key] & 1:
            out += b"".join(map(write, block[:3]))
        if scope[key] & 2:
            out += write(block[4])
    return out + write(extra)


def main():
    text = pathlib.Path(__file__).with_name("sealed.hex").read_text()
    primary, *rest = read(bytes.fromhex("".join(text.split())))[0]
    blocks = {block[1]: block for block in rest}
    header = write(primary)
    node = base64.b32decode(primary[4][1][2:54].upper() + "====")

    (targets, context, flags, source, parameters, results) = sequence(blocks[2][4])
    assert (targets, context, flags) == ([0], 3, 1)
    [[[kind, message]]] = results
    protected, unprotected, detached, signature = read(message)[0]
    assert kind == 18 and read(protected)[0] == {1: -8} and unprotected == {} and detached is None
    aad = external_aad(source, dict(parameters)[5], blocks, header, 0, 2, dict(parameters).get(3, b""))
    signed = write(["Signature1", protected, aad, header])
    Ed25519PublicKey.from_public_bytes(node).verify(signature, signed)

    (targets, context, flags, source, parameters, results) = sequence(blocks[3][4])
    assert (targets, context, flags) == ([1], 3, 1)
    extra = dict(parameters)[3]
    headers = read(extra)[0]
    [[[kind, message]]] = results
    protected, unprotected, detached, [[recipient, more, nothing]] = read(message)[0]
    assert kind == 96 and detached is None and (more, nothing) == ({}, b"")
    assert read(protected)[0] == {1: 24} and read(recipient)[0] == {1: -26}
    assert headers[-1][1] == 1 and headers[-1][-1] == 4
    secret = X25519PrivateKey.from_private_bytes(SECRET)
    assert secret.public_key().public_bytes_raw()[:8] == headers[4]
    shared = secret.exchange(X25519PublicKey.from_public_bytes(headers[-1][-2]))
    other = write("BPSec") + write(source) + write(extra)
    info = write([24, [None] * 3, [None] * 3, [256, recipient, other]])
    key = HKDF(algorithm=hashes.SHA512(), length=32, salt=None, info=info).derive(shared)
    aad = external_aad(source, dict(parameters)[5], blocks, header, 1, 3, extra)
    aad = write(["Encrypt", protected, aad])
    plain = ChaCha20Poly1305(key).decrypt(unprotected[5], blocks[1][4], aad)
    assert plain.rstrip(b"\0") == b"stones\x80" and len(plain) == 256, plain
    print("opened:", plain.rstrip(b"\0")[:-1].decode())


if __name__ == "__main__":
    sys.exit(main())
