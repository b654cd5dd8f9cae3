"""Video streams in logs: a message a picture, hidden and encoded anew, keyframes where they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from anonymize.archive.log_job import reprocess_log
from anonymize.archive.work import ArchiveSettings, FileResult, Tools
from anonymize.detect import load_packaged
from anonymize.errors import MediaError
from anonymize.media.video_messages import VideoDecoder
from anonymize.settings import Settings
from tests.archive import making_logs as made
from tests.archive.making_logs import Topic
from tests.archive.test_log_job import messages_of
from tests.media import making

WIDTH, HEIGHT, COUNT = 256, 192, 9
CLOCK = Fraction(1, 25)
AREA = (80.0, 48.0, 176.0, 144.0)
OPTIONS = {
    "libx264": {"preset": "ultrafast", "x264-params": "repeat-headers=1:annexb=1:keyint=5:scenecut=0"},
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "repeat-headers=1:annexb=1:keyint=5:scenecut=0:log-level=error",
    },
}


def pictures() -> list[npt.NDArray[np.uint8]]:
    """A street that moves by 2 px a frame."""
    wide = making.street(WIDTH + 2 * COUNT, HEIGHT)
    return [np.ascontiguousarray(wide[:, 2 * turn : 2 * turn + WIDTH]) for turn in range(COUNT)]


def encoded(codec: str, b_frames: int = 0) -> list[bytes]:
    """The packets of an encoder without delay, or with B pictures."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.thread_count = CLOCK, 25, 1
    encoder.max_b_frames = b_frames
    encoder.options = OPTIONS[codec] | ({} if b_frames else {"tune": "zerolatency"})
    encoder.open()
    packets = []
    for turn, pixels in enumerate(pictures()):
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = turn, CLOCK
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets + [bytes(packet) for packet in encoder.encode(None)]


def topic(packets: list[bytes], form: str, kind: str = "protobuf") -> Topic:
    """A channel of these packets."""
    name = "foxglove.CompressedVideo"
    schema = made.protobuf_schema(name) if kind == "protobuf" else (name, "jsonschema", b"{}")
    return Topic("/video", schema, kind, [
        made.foxglove(name, kind, turn, format=form, data=data) for turn, data in enumerate(packets)
    ])  # fmt: skip


def run(tmp_path: Path, channel: Topic) -> tuple[FileResult, list[bytes]]:
    """What became of a log of one channel, and its coded pictures."""
    source = made.write_mcap(tmp_path / "a.mcap", [channel])
    tools = Tools(ArchiveSettings(video=Settings(hide_always=(AREA,))), load_packaged())
    result = reprocess_log(source, tmp_path / "b.mcap", tools)
    kind = made.protobuf_class("foxglove.CompressedVideo")
    came, written = messages_of(source), messages_of(tmp_path / "b.mcap")
    if written:
        assert [one[:4] for one in came] == [one[:4] for one in written]
    return result, [kind.FromString(one[4]).data for one in written]


@pytest.mark.parametrize(("codec", "form"), [("libx264", "h264"), ("libx265", "h265")])
def test_each_message_gives_one_hidden_picture(tmp_path: Path, codec: str, form: str) -> None:
    packets = encoded(codec)
    assert len(packets) == COUNT
    result, written = run(tmp_path, topic(packets, form))
    assert (result.frames, result.boxes) == (COUNT, {"area": COUNT})
    assert any("encoded anew" in note for note in result.notes)
    old, new = VideoDecoder(form), VideoDecoder(form)
    x1, y1, x2, y2 = (int(side) for side in AREA)
    for turn, (before, after) in enumerate(zip(packets, written, strict=True)):
        came = old.decode(before, turn, "").planes[0].astype(np.float32)
        hidden = new.decode(after, turn, "").planes[0].astype(np.float32)
        assert old.is_keyframe == new.is_keyframe
        core = hidden[y1 + 16 : y2 - 16, x1 + 16 : x2 - 16]
        assert core.std() < 3.0
        assert came[y1 + 16 : y2 - 16, x1 + 16 : x2 - 16].std() > 10.0
        outside = np.ones(came.shape, bool)
        outside[y1 - 16 : y2 + 16, x1 - 16 : x2 + 16] = False
        assert np.abs(came - hidden)[outside].mean() < 4.0


def test_another_decoder_begins_at_any_keyframe(tmp_path: Path) -> None:
    """Parameter sets stand before each keyframe: a player may begin there."""
    _, written = run(tmp_path, topic(encoded("libx264"), "h264"))
    decoder = VideoDecoder("h264")
    for turn, data in enumerate(written[5:]):
        decoder.decode(data, turn, "")


@pytest.mark.parametrize("fault", ["B pictures", "no keyframe first", "another codec", "no picture"])
def test_a_stream_that_is_not_understood_from_its_first_message_is_left_out(
    tmp_path: Path, fault: str
) -> None:
    packets, form = encoded("libx264"), "h264"
    if fault == "B pictures":
        packets = encoded("libx264", b_frames=2)
    elif fault == "no keyframe first":
        packets = packets[1:]
    elif fault == "another codec":
        form = "av1"
    else:
        packets = [b"\0\0\0\1\x09\x10" for _ in packets]
    try:
        result, written = run(tmp_path, topic(packets, form))
    except MediaError:
        assert fault == "B pictures"  # the first is a whole picture, the second message is not
        assert not list(tmp_path.glob("*b.mcap*"))
        return
    assert (result.frames, written) == (0, [])
    assert any("/video" in line and "not recognised" in line for line in result.removed)


def test_a_damaged_picture_in_the_middle_fails_the_log(tmp_path: Path) -> None:
    packets = encoded("libx264")
    packets[3] = packets[3][:10]
    with pytest.raises(MediaError, match="in picture 3 of /video"):
        run(tmp_path, topic(packets, "h264"))
    assert not list(tmp_path.glob("*b.mcap*"))
