"""SAFETY 10: a video file can ask FFmpeg for other files and addresses; here it gets none."""

from __future__ import annotations

import shutil
import socket
import struct
import threading
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.errors import MediaError
from anonymize.media.video import open_video
from tests.media.video_samples import Clip, make_clip


def texts(other: Path, port: int) -> dict[str, str]:
    """Texts in which FFmpeg, opened by name, finds other files or addresses."""
    return {
        "ffconcat": f"ffconcat version 1.0\nfile '{other.name}'\n",
        "ffconcat-absolute": f"ffconcat version 1.0\nfile 'file:{other}'\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other.name}\n#EXT-X-ENDLIST\n",
        "hls-address": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
        f"<Representation><BaseURL>{other.name}</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "imf": f"file:{other}",
    }


@pytest.mark.parametrize("extension", ["mp4", "mkv", "m3u8", "ffconcat", "sdp", "ts"])
def test_texts_that_name_others_are_refused(tmp_path: Path, extension: str) -> None:
    other = make_clip(Clip(tmp_path / "other.mp4", range(3)))
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for name, text in texts(other, port).items():
            path = tmp_path / f"{name}.{extension}"
            path.write_text(text)
            with pytest.raises(MediaError, match="cannot be read as a video"):
                open_video(path)
        try:
            server.accept()
            asked.set()
        except TimeoutError:
            pass
    assert not asked.is_set()


def test_the_danger_is_real(tmp_path: Path) -> None:
    """Opened by its name, as others do it, such a text gives the other file's pictures."""
    other = make_clip(Clip(tmp_path / "other.mp4", range(3)))
    path = tmp_path / "c.mp4"
    path.write_text(texts(other, 1)["ffconcat"])
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 3


def test_a_film_whose_pictures_lie_in_another_file(tmp_path: Path) -> None:
    """MOV may name another file in its data reference (dref): it is not followed."""
    other = make_clip(Clip(tmp_path / "other.mov", range(3)))
    content = bytearray(other.read_bytes())
    at = content.index(b"url \x00\x00\x00\x01")
    content[at + 4 : at + 8] = b"\0\0\0\0"  # "not in this file"
    mdat = content.index(b"mdat")
    (size,) = struct.unpack(">I", content[mdat - 4 : mdat])
    content[mdat + 4 : mdat - 4 + size] = bytes(size - 8)
    path = tmp_path / "reference.mov"
    path.write_bytes(content)
    with pytest.raises(MediaError), open_video(path) as reader:
        list(reader)


def test_the_source_is_never_written(tmp_path: Path) -> None:
    source = make_clip(Clip(tmp_path / "in.mp4", range(5)))
    before = source.read_bytes(), source.stat().st_mtime_ns
    source.chmod(0o400)
    with open_video(source) as reader:
        for captured in reader:
            for plane in captured.planes:
                plane[:] = 0
    assert (source.read_bytes(), source.stat().st_mtime_ns) == before


def test_a_file_replaced_while_it_is_read_does_not_mix(tmp_path: Path) -> None:
    """Sound is read with a second position on the same descriptor, not by the name again."""
    source = make_clip(Clip(tmp_path / "in.mp4", sound="aac"))
    other = make_clip(Clip(tmp_path / "other.mp4", sound="flac"))
    with open_video(source) as reader:
        shutil.move(other, source)
        with reader.open_beside() as beside:
            assert beside.streams.audio[0].codec_context.name == "aac"
