"""Kinds of files that are no videos, though their names say so."""

import gzip
import os
import socket
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from bad_videos import ERROR, OK, Kind
from fake_clips import grey, make_clip, make_sound
from PIL import Image

HTML = b"<!doctype html><html><head><title>404 Not Found</title></head><body>" + b"<p>gone</p>" * 99 + b"</body></html>"


def kinds(work: Path) -> Iterator[Kind]:
    """List the kinds."""
    clip = make_clip(work / "whole.mp4")
    contents = {
        "empty.mp4": b"",
        "one-byte.mp4": b"\0",
        "zeros.mp4": bytes(100_000),
        "random.mp4": np.random.default_rng(0).bytes(100_000),
        "text.mp4": b"Dear all,\n" * 999,
        "text.txt": b"Dear all,\n" * 999,
        "html.mp4": HTML,
        "json.mp4": b'{"error": "not found"}',
        "pdf.mp4": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
        "elf.mp4": b"\x7fELF\x02\x01\x01" + bytes(500),
        "subtitles.mp4": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 50,
        "zip.mp4": _zip(clip),
        "gzip.mp4": gzip.compress(clip.read_bytes()),
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n".encode(),
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n".encode(),
        "concat.mp4": f"ffconcat version 1.0\nfile '{clip.name}'\n".encode(),
        "session.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 26\n",
        "manifest.mpd": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        "only-ftyp.mp4": clip.read_bytes()[:32],
        "image-of-claimed-400-megapixels.mp4": _png_of_claimed_size(20_000, 20_000),
    }
    for name, content in contents.items():
        yield Kind(name, ERROR, lambda path, content=content: path.write_bytes(content))
    yield Kind("audio-only.mp4", ERROR, make_sound)
    yield Kind("audio-only.wav", ERROR, make_sound)
    yield Kind("cover-art-only.mp3", ERROR, _write_cover_art)
    yield Kind("photo-jpeg.mp4", OK, lambda path: path.write_bytes(_image("JPEG")), frames=1, size=(64, 48))
    yield Kind(
        "photo-turned-by-exif.mp4", OK, lambda path: path.write_bytes(_image("JPEG", 6)), frames=1, size=(48, 64)
    )
    yield Kind(
        "photo-flipped-by-exif.mp4", OK, lambda path: path.write_bytes(_image("JPEG", 4)), frames=1, size=(64, 48)
    )
    yield Kind("photo-png.mp4", OK, lambda path: path.write_bytes(_image("PNG")), frames=1, size=(64, 48))
    yield Kind("folder.mp4", ERROR, lambda path: path.mkdir(exist_ok=True))
    yield Kind("link-to-itself.mp4", ERROR, lambda path: _link(path, path.name))
    yield Kind("link-to-nothing.mp4", ERROR, lambda path: _link(path, "nothing.mp4"))
    yield Kind("link-to-a-clip.mp4", OK, lambda path: _link(path, clip), frames=30, size=(64, 48))
    yield Kind("pipe.mp4", ERROR, _make_pipe)
    yield Kind("socket.mp4", ERROR, _make_socket)


def _zip(clip: Path) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.write(clip, clip.name)
    return buffer.getvalue()


def _image(file_format: str, exif_orientation: int = 1) -> bytes:
    image = Image.fromarray(grey(5, (64, 48)))
    exif = image.getexif()
    exif[0x112] = exif_orientation
    buffer = BytesIO()
    image.save(buffer, file_format, exif=exif)
    return buffer.getvalue()


def _png_of_claimed_size(width: int, height: int) -> bytes:
    import zlib

    content = bytearray(_image("PNG"))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


def _write_cover_art(path: Path) -> None:
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(grey(5, (64, 48)), format="bgr24")))
        container.mux(cover.encode(None))
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 576), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


def _link(path: Path, target: Path | str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _make_pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _make_socket(path: Path) -> None:
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket is limited to 107 bytes
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)
