#!/usr/bin/env python3
"""Opens sealed.hex and checks signed.hex, alert.hex and notice.hex by RFC 9171, 9052, 9053, draft-ietf-dtn-bpsec-cose
and the BLAKE3 paper alone.

Written from the specifications and without this crate, to check that the profile in
docs/design/bundle.md is what the crate does. Needs the package `cryptography`.
The recipient is the identity with the seed 02 02 ... (32 bytes).
"""
import base64
import pathlib
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DIGEST = -65537

IV = [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19]
PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
CHUNK_START, CHUNK_END, ROOT, DERIVE_CONTEXT, DERIVE_MATERIAL = 1, 2, 8, 32, 64


def words(data):
    return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]


def compress(chain, block, length, flags):
    state = chain + IV[:4] + [0, 0, length, flags]

    def mix(a, b, c, d, x, y):
        for value, first, second in ((x, 16, 12), (y, 8, 7)):
            state[a] = (state[a] + state[b] + value) & 0xFFFFFFFF
            state[d] ^= state[a]
            state[d] = (state[d] >> first | state[d] << (32 - first)) & 0xFFFFFFFF
            state[c] = (state[c] + state[d]) & 0xFFFFFFFF
            state[b] ^= state[c]
            state[b] = (state[b] >> second | state[b] << (32 - second)) & 0xFFFFFFFF

    for _ in range(7):
        for column in range(4):
            mix(column, column + 4, column + 8, column + 12, *block[2 * column : 2 * column + 2])
        for row in range(4):
            places = [row] + [4 * k + (row + k) % 4 for k in (1, 2, 3)]
            mix(*places, *block[8 + 2 * row : 10 + 2 * row])
        block = [block[at] for at in PERMUTATION]
    return [state[at] ^ state[at + 8] for at in range(8)]


def blake3(data, key=None, flags=0):
    """The 32 bytes for at most one chunk."""
    assert len(data) <= 1024
    chain = key or IV
    pieces = [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for at, piece in enumerate(pieces):
        last = at + 1 == len(pieces)
        more = (CHUNK_START if at == 0 else 0) | (CHUNK_END | ROOT if last else 0)
        chain = compress(chain, words(piece.ljust(64, b"\0")), len(piece), flags | more)
    return b"".join(word.to_bytes(4, "little") for word in chain)


def derive_key(context, material):
    return blake3(material, words(blake3(context, flags=DERIVE_CONTEXT)), DERIVE_MATERIAL)


SECRET = derive_key(b"cairn 2026-11 X25519 long-term sealing key", b"\2" * 32)


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


def vector(name):
    text = pathlib.Path(__file__).with_name(name).read_text()
    return bytes.fromhex("".join(text.split()))


def load(name):
    primary, *rest = read(vector(name))[0]
    return primary, {block[1]: block for block in rest}


def verify(primary, blocks):
    """Checks the signature as any verifier of the draft does, and then the digest that Cairn adds."""
    header = write(primary)
    node = base64.b32decode(primary[4][1][2:54].upper() + "====")
    (targets, context, flags, source, parameters, results) = sequence(blocks[2][4])
    assert (targets, context, flags) == ([0], 3, 1)
    [[[kind, message]]] = results
    protected, unprotected, detached, signature = read(message)[0]
    assert kind == 18 and read(protected)[0] == {1: -8} and unprotected == {} and detached is None
    parameters = dict(parameters)
    aad = external_aad(source, parameters[5], blocks, header, 0, 2, parameters.get(3, b""))
    signed = write(["Signature1", protected, aad, header])
    Ed25519PublicKey.from_public_bytes(node).verify(signature, signed)
    assert read(parameters[3])[0] == {DIGEST: blake3(blocks[1][4])}
    return parameters[5]


def main():
    primary, blocks = load("signed.hex")
    assert verify(primary, blocks) == {1: 1, -2: 1} and blocks[1][4] == b"stones"
    print("signed:", blocks[1][4].decode())

    [body, signature], end = read(vector("notice.hex"))
    [version, destination, name, ids], body_end = read(body)
    assert (end, body_end, version, name) == (len(vector("notice.hex")), len(body), 1, b"\7" * 32)
    Ed25519PublicKey.from_public_bytes(destination).verify(signature, b"cairn 2026-11 delivery notice" + body)
    expected = sorted(blake3(number.to_bytes(8, "big")) for number in range(2))
    assert ids == b"".join(expected) and body == write([version, destination, name, ids])
    print("notice: name", name[:4].hex())

    primary, blocks = load("alert.hex")
    assert verify(primary, blocks) == {1: 1, 6: 3, -2: 1}
    assert blocks[6] == [193, 6, 1, 0, b"\0"] and blocks[1][4] == b"The river rises."
    print("alert:", blocks[1][4].decode())

    primary, blocks = load("sealed.hex")
    assert verify(primary, blocks) == {1: 1, 3: 3, -2: 1}
    header = write(primary)
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
