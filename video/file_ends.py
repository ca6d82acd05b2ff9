"""Recognizing files that end within a box or a packet, which FFmpeg takes for the end of the video."""

from pathlib import Path
from typing import BinaryIO

BOX_NAMES = {b"moof", b"mdat", b"moov", b"mfra", b"sidx", b"styp", b"free", b"skip", b"ftyp", b"emsg", b"prft", b"wide"}
MAX_BOXES = 100_000

EBML_HEADER, SEGMENT = 0x1A45DFA3, 0x18538067

SYNC_BYTE = 0x47
PACKET_SIZES = (188, 192, 204)  # of transport streams: plain, with timestamps, with error correction
PACKETS_TO_COMPARE = 4


def find_cut(clip: Path, container: str) -> str:
    """Describe what the end of a file cuts off; empty if nothing is known to be missing.

    Args:
        clip: The file.
        container: FFmpeg's name of its format.
    """
    try:
        with clip.open("rb") as file:
            if container.startswith("mov"):
                return _find_cut_box(file)
            if container.startswith("matroska"):
                return _find_cut_segment(file)
            return _find_cut_packet(file) if container == "mpegts" else ""
    except OSError:
        return ""


def _find_cut_box(file: BinaryIO) -> str:
    """Follow the boxes of an MP4 file (ISO/IEC 14496-12) to its end."""
    length = file.seek(0, 2)
    position = 0
    for _ in range(MAX_BOXES):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8 or header[4:8] not in BOX_NAMES:
            return ""
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:], "big")
        if size < 8:  # 0: it reaches to the end
            return ""
        position += size
        if position > length:
            return f"the file ends within a box named {header[4:8].decode()}"
    return ""


def _find_cut_segment(file: BinaryIO) -> str:
    """Compare the length that a Matroska file (RFC 9559) states for its contents with the file."""
    length = file.seek(0, 2)
    position = 0
    for element in (EBML_HEADER, SEGMENT):
        file.seek(position)
        header = file.read(12)
        if len(header) < 12 or int.from_bytes(header[:4], "big") != element or not header[4]:
            return ""
        size_bytes = 9 - header[4].bit_length()
        size_bits = 7 * size_bytes
        size = int.from_bytes(header[4 : 4 + size_bytes], "big") & ((1 << size_bits) - 1)
        if size == (1 << size_bits) - 1:  # unknown, as in live recordings
            return ""
        position += 4 + size_bytes + size
    return f"the file ends after {length:,} of {position:,} bytes" if position > length else ""


def _find_cut_packet(file: BinaryIO) -> str:
    """Compare the end of a transport stream with its packets (ISO/IEC 13818-1)."""
    length = file.seek(0, 2)
    file.seek(max(0, length - (PACKETS_TO_COMPARE + 1) * max(PACKET_SIZES)))
    end = file.read()
    for size in PACKET_SIZES:
        for rest in range(size, 0, -1):
            begins = range(len(end) - rest, len(end) - rest - PACKETS_TO_COMPARE * size, -size)
            if begins[-1] >= 0 and all(end[begin] == SYNC_BYTE for begin in begins):
                # Packets with timestamps begin 4 bytes before the first byte of the packet itself.
                return "" if rest in (size, size - 4) else "the file ends within a packet"
    return ""
