#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, seeds/<kind>/<name>, from the vectors of the bundle crate."""

import pathlib
import re

here = pathlib.Path(__file__).parent
tests = here.parent / "bundle" / "tests"
bundles = {}


def sections(text):
    """The hexadecimal digits under each heading of a file of vectors; '' where there is none."""
    found, name = {}, ""
    for line in text.splitlines():
        if re.fullmatch(r"[0-9a-f]+", line.strip()):
            found[name] = found.get(name, "") + line.strip()
        elif re.fullmatch(r"[a-z_]+", line.strip()):
            name = line.strip()
    return found


for path in sorted(tests.glob("vectors/**/*.hex")):
    found = sections(path.read_text())
    text = found.get("bundle") or found.get("")
    if text and text.startswith("9f"):
        bundles[path.stem] = bytes.fromhex(text)
for name, source in (("rfc9173", "rfc9173.rs"), ("deviating", "deviating.rs"), ("codec", "codec.rs")):
    text = re.sub(r"\\?\s*\n\s*", "", (tests / source).read_text())
    texts = re.findall(r'"(9f[0-9a-f ]{40,}ff)"', text)
    for number, found in enumerate(texts):
        digits = found.replace(" ", "")
        if len(digits) % 2 == 0:
            bundles[f"{name}-{number}"] = bytes.fromhex(digits)

# One report on a whole bundle, and one on a fragment.
reports = {
    "whole": bytes.fromhex("82018484 81f581f481f481f4 00 8202820201 821b000000bd23935c3507".replace(" ", "")),
    "fragment": bytes.fromhex("82018684 82f5186481f481f481f4 01 8202820201 8200 05 181e 0a".replace(" ", "")),
}
# Fragments of one whole of 48 bytes, in order and out of order.
steps = {"order": bytes([0, 0, 24, 0, 0, 24, 24, 0]), "reverse": bytes([0, 24, 24, 0, 0, 0, 40, 1])}

notices = {"two": bytes.fromhex("".join((tests / "vectors" / "notice.hex").read_text().split()))}

# The streaming target takes its cuts from the last four bytes.
streams = {name: data + bytes([13, 40, 255, 2]) for name, data in bundles.items()}
folders = {"bundles": bundles, "streams": streams, "reports": reports, "fragments": steps, "notices": notices}
for name, files in folders.items():
    folder = here / "seeds" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, data in files.items():
        (folder / file).write_bytes(data)
print(f"{len(bundles)} bundles, {len(reports)} reports, {len(steps)} lists of fragments")
