"""Small recordings in the official formats, for tests."""

import struct
from importlib.util import find_spec
from pathlib import Path

import pytest

Event = tuple[int, int, int, int]  # x, y, polarity, time in µs

needs_tonic = pytest.mark.skipif(find_spec("tonic") is None, reason="tonic is not installed")
needs_aedat = pytest.mark.skipif(find_spec("aedat") is None, reason="aedat is not installed")


def nmnist_bytes(events: list[Event]) -> bytes:
    """x, y, then one bit of polarity and 23 bits of time, big-endian."""
    return b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, p, t in events)


def aedat3_bytes(events: list[Event], overflow: int = 0) -> bytes:
    """A header of text, a packet of another kind, and one packet of polarity events."""
    head = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    other = struct.pack("<HHIIIIII", 0, 1, 8, 4, 0, 1, 1, 1) + b"\0" * 8
    packed = b"".join(
        struct.pack("<II", x << 17 | y << 2 | p << 1 | 1, t & 0x7FFFFFFF) for x, y, p, t in events
    )
    invalid = struct.pack("<II", 5 << 17, 7)  # its valid bit is 0
    count = len(events) + 1
    packet = struct.pack("<HHIIIIII", 1, 1, 8, 4, overflow, count, count, count - 1)
    return head + other + packet + packed + invalid


def aedat4_bytes(events: list[Event]) -> bytes:
    """One stream of events, uncompressed, its two flatbuffers laid out by hand."""
    description = (
        b'<dv version="2.0"><node name="outInfo" path="/outInfo/">'
        b'<node name="0" path="/outInfo/0/">'
        b'<attr key="compression" type="string">NONE</attr>'
        b'<attr key="typeIdentifier" type="string">EVTS</attr>'
        b'<node name="info" path="/outInfo/0/info/"><attr key="sizeX" type="int">128</attr>'
        b'<attr key="sizeY" type="int">128</attr></node></node></node></dv>'
    )
    # Offset of the root, identifier, table of field offsets (10 bytes, table of 20, fields at 4, 8
    # and 16), then the table: its distance to that, compression, position of the index, string.
    header = struct.pack("<I4s5H2x", 20, b"IOHE", 10, 20, 4, 8, 16)
    header += struct.pack("<iiqI", 12, 0, -1, 4)
    header += struct.pack("<I", len(description)) + description + b"\0"
    # The same for the packet: its one field is a vector of structs of 16 bytes, t, x, y, polarity.
    packet = struct.pack("<I4s3H2xiII", 16, b"EVTS", 6, 8, 4, 8, 4, len(events))
    packet += b"".join(struct.pack("<qhh?3x", t, x, y, bool(p)) for x, y, p, t in events)
    body = struct.pack("<I", len(packet)) + packet
    return (
        b"#!AER-DAT4.0\r\n"
        + struct.pack("<I", len(header))
        + header
        + struct.pack("<II", 0, len(body))
        + body
    )


def write_nmnist(root: Path, train: int = 3, test: int = 1) -> Path:
    """Digit d: two events at (d, 1) of polarity 1 at the start, one at (2, d) of 0 at the end."""
    for part, count in (("Train", train), ("Test", test)):
        for digit in range(10):
            folder = root / "NMNIST" / part / str(digit)
            folder.mkdir(parents=True)
            for index in range(count):
                events = [(digit, 1, 1, 0), (digit, 1, 1, 10 + index), (2, digit, 0, 99_999)]
                (folder / f"{index:05}.bin").write_bytes(nmnist_bytes(events))
    return root
