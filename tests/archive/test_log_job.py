"""Robot logs of an archive: pictures hidden in place, other channels by allow-list, the rest of the log as it was."""

from __future__ import annotations

import base64
import io
import json
import sqlite3
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mcap.reader import make_reader
from mcap.records import Chunk, DataEnd
from mcap.stream_reader import StreamReader
from PIL import Image
from rosbags.rosbag1 import Reader as BagReader

from anonymize.archive.log_job import reprocess_log
from anonymize.archive.picture_job import reprocess_picture
from anonymize.archive.second_look import SecondLook
from anonymize.archive.work import ArchiveSettings, FileResult, Tools
from anonymize.detect import load_packaged
from anonymize.errors import MediaError, SecondLookError, UsageError
from anonymize.frames import Box, Label, Origin
from anonymize.media import jpeg_coefficients
from anonymize.media.log_records import LogMessage, Record
from anonymize.media.logs_mcap import McapWriter
from anonymize.settings import FULL_SIZE_PX, Settings
from tests.archive import making_logs as made
from tests.archive.making_logs import HEIGHT, ROS1, ROS2, WIDTH, Topic
from tests.media import making

AREA = (70, 41, 150, 111)  # odd edges: 4:2:2 hides one column more
MODEL = load_packaged()
STREET = making.street(WIDTH, HEIGHT)
JPEG = making.encoded(STREET, "JPEG", quality=80, subsampling=0)
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
PLAIN = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "8UC1", "yuv422", "yuv422_yuy2")


def make_tools(keep: tuple[str, ...] = (), **settings: Any) -> Tools:
    """A job's tools with one area that is always hidden."""
    video = Settings(hide_always=(AREA,), **settings)
    return Tools(ArchiveSettings(video=video, keep_channels=keep), MODEL)


def bool_topic(name: str = "/brake", count: int = 3) -> Topic:
    """A channel of the allow-list."""
    message = ROS2.types["std_msgs/msg/Bool"](data=True)
    data = bytes(ROS2.serialize_cdr(message, "std_msgs/msg/Bool"))
    return Topic(name, made.ros_schema(2, "std_msgs/msg/Bool"), "cdr", [data] * count)


def image_topic(encoding: str = "rgb8", count: int = 3, padding: bytes = b"", name: str = "/front") -> Topic:
    """A ROS 2 channel of raw pictures."""
    schema = made.ros_schema(2, "sensor_msgs/msg/Image")
    return Topic(name, schema, "cdr", [made.ros_image(2, encoding, turn, padding) for turn in range(count)])


def messages_of(path: Path) -> list[tuple[str, int, int, int, bytes]]:
    """(topic, time, published, sequence, data) in the order of the file, by mcap's own reader."""
    with path.open("rb") as stream:
        found = make_reader(stream).iter_messages(log_time_order=False)
        return [(c.topic, m.log_time, m.publish_time, m.sequence, m.data) for _, c, m in found]


def check_pixels(
    before: npt.NDArray[Any], after: npt.NDArray[Any], *, margin: int = 0, tolerance: int = 0
) -> None:
    """Outside AREA (and `margin` px) nothing has changed; well inside it there is one colour."""
    assert before.shape == after.shape
    outside = np.ones(before.shape[:2], bool)
    outside[AREA[1] - margin : AREA[3] + margin, AREA[0] - margin : AREA[2] + margin] = False
    assert np.array_equal(before[outside], after[outside])
    core = after[AREA[1] + 8 : AREA[3] - 8, AREA[0] + 8 : AREA[2] - 8].astype(int)
    assert np.ptp(core.reshape(core.shape[0] * core.shape[1], -1), axis=0).max() <= tolerance


def decoded(picture: bytes) -> npt.NDArray[np.int32]:
    """Pixels by Pillow."""
    return np.asarray(Image.open(io.BytesIO(picture))).astype(np.int32)


@pytest.mark.parametrize("encoding", PLAIN)
def test_raw_pictures_are_hidden_in_their_own_encoding(tmp_path: Path, encoding: str) -> None:
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic(encoding, padding=b"SECRET")])
    result = reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert (result.kind, result.frames, result.boxes) == ("log", 3, {"area": 3})
    came, written = messages_of(source), messages_of(tmp_path / "b.mcap")
    for before, after in zip(came, written, strict=True):
        old, new = (ROS2.deserialize_cdr(one[4], "sensor_msgs/msg/Image") for one in (before, after))
        assert (new.width, new.height, new.encoding, new.step, new.header) == (
            old.width, old.height, old.encoding, old.step, old.header,
        )  # fmt: skip
        old, new = (m.data.reshape(HEIGHT, m.step)[:, :-6].reshape(HEIGHT, WIDTH, -1) for m in (old, new))
        if encoding in ("rgba8", "bgra8"):
            assert (new[..., 3] == 255).all()
        if encoding.startswith("yuv422"):
            luma = 1 if encoding == "yuv422" else 0
            check_pixels(old[..., luma], new[..., luma])
            check_pixels(old, new, margin=1, tolerance=255)
        else:
            check_pixels(old[..., :3], new[..., :3])
    assert all(b"SECRET" in one[4] for one in came)
    assert not any(b"SECRET" in one[4] for one in written)


def compressed_topics() -> list[Topic]:
    """The same JPEG in every kind of message that holds one."""
    turns = range(3)
    schema = (
        "foxglove.CompressedImage",
        "jsonschema",
        json.dumps({"title": "foxglove.CompressedImage"}).encode(),
    )
    text = b"builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n"
    ros = _foxglove_ros()
    return [
        Topic("/ros2", made.ros_schema(2, "sensor_msgs/msg/CompressedImage"), "cdr",
              [made.ros_compressed(2, JPEG, turn) for turn in turns]),
        Topic("/ros1", made.ros_schema(1, "sensor_msgs/msg/CompressedImage"), "ros1",
              [made.ros_compressed(1, JPEG, turn) for turn in turns]),
        Topic("/protobuf", made.protobuf_schema("foxglove.CompressedImage"), "protobuf",
              [made.foxglove("foxglove.CompressedImage", "protobuf", t, format="jpeg", data=JPEG) for t in turns]),
        Topic("/json", schema, "json",
              [made.foxglove("", "json", turn, format="jpeg", data=JPEG) for turn in turns]),
        Topic("/foxglove_ros", ("foxglove_msgs/msg/CompressedImage", "ros2msg", text), "cdr", [ros] * 3),
    ]  # fmt: skip


def _foxglove_ros() -> bytes:
    from anonymize.media.image_messages import _store

    store = _store(2)
    time = store.types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    kind = store.types["foxglove_msgs/msg/CompressedImage"]
    message = kind(timestamp=time, frame_id="f", data=np.frombuffer(JPEG, np.uint8), format="jpeg")
    return bytes(store.serialize_cdr(message, "foxglove_msgs/msg/CompressedImage"))


def jpeg_in(message: bytes) -> bytes:
    """The picture file inside any of these messages."""
    if message.startswith(b"{"):
        return base64.b64decode(json.loads(message)["data"])
    start = message.index(b"\xff\xd8\xff")
    return message[start : message.rindex(b"\xff\xd9") + 2]


def test_jpegs_in_messages_keep_their_coefficients_outside(tmp_path: Path) -> None:
    source = made.write_mcap(tmp_path / "a.mcap", compressed_topics())
    result = reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert result.frames == 15
    assert not [note for note in result.notes if "encoded anew" in note]
    came, written = messages_of(source), messages_of(tmp_path / "b.mcap")
    assert [one[:4] for one in came] == [one[:4] for one in written]
    for one in written:
        check_pixels(decoded(JPEG), decoded(jpeg_in(one[4])), margin=8, tolerance=2)
    message = made.protobuf_class("foxglove.CompressedImage").FromString(written[2][4])
    assert (message.frame_id, message.format, message.timestamp.seconds) == (
        "f",
        "jpeg",
        made.START_NS // 10**9,
    )


def test_raw_foxglove_and_ros1_pictures(tmp_path: Path) -> None:
    step, data = made.packed("bgr8", STREET)
    fields = {"width": WIDTH, "height": HEIGHT, "encoding": "bgr8", "step": step, "data": data}
    source = made.write_mcap(tmp_path / "a.mcap", [
        Topic("/p", made.protobuf_schema("foxglove.RawImage"), "protobuf",
              [made.foxglove("foxglove.RawImage", "protobuf", **fields)]),
        Topic("/j", ("foxglove.RawImage", "jsonschema", b"{}"), "json", [made.foxglove("", "json", **fields)]),
        Topic("/r", made.ros_schema(1, "sensor_msgs/msg/Image"), "ros1", [made.ros_image(1, "bgr8")]),
    ])  # fmt: skip
    assert reprocess_log(source, tmp_path / "b.mcap", make_tools()).frames == 3
    first, second, third = (one[4] for one in messages_of(tmp_path / "b.mcap"))
    pixels = [
        made.protobuf_class("foxglove.RawImage").FromString(first).data,
        base64.b64decode(json.loads(second)["data"]),
        ROS1.deserialize_ros1(third, "sensor_msgs/msg/Image").data.tobytes(),
    ]
    for one in pixels:
        check_pixels(STREET[..., ::-1], np.frombuffer(one, np.uint8).reshape(HEIGHT, WIDTH, 3))


@pytest.mark.parametrize(("compression", "chunked"), [("zstd", True), ("lz4", True), ("", True), ("", False)])
def test_order_times_numbers_schemas_metadata_and_chunks_stay(
    tmp_path: Path, compression: str, chunked: bool
) -> None:
    topics = [bool_topic("/a", 5), image_topic(count=5), bool_topic("/b", 5)]
    source = made.write_mcap(tmp_path / "a.mcap", topics, compression=compression, chunked=chunked)
    result = reprocess_log(source, tmp_path / "b.mcap", make_tools())
    target = tmp_path / "b.mcap"
    came, written = messages_of(source), messages_of(target)
    assert [one[:4] for one in came] == [one[:4] for one in written]
    assert [one[4] for one in came if one[0] != "/front"] == [one[4] for one in written if one[0] != "/front"]
    with source.open("rb") as one, target.open("rb") as other:
        summaries = [make_reader(stream).get_summary() for stream in (one, other)]
        schemas, channels = (
            [sorted(repr(value) for value in getattr(s, name).values()) for s in summaries if s]
            for name in ("schemas", "channels")
        )
        assert schemas[0] == schemas[1]
        assert channels[0] == channels[1]
        notes = [
            [(m.name, m.metadata) for m in make_reader(stream).iter_metadata()] for stream in (one, other)
        ]
        assert notes[0] == notes[1] == [("drive", {"software": "1.2"})]
    chunks = [
        [(chunk.compression, chunk.message_start_time, chunk.message_end_time) for chunk in chunks_of(path)]
        for path in (source, target)
    ]
    assert chunks[0] == chunks[1]
    assert len(chunks[0]) == (3 if chunked else 0)
    assert any("'drive'" in note for note in result.notes)


def chunks_of(path: Path) -> list[Chunk]:
    """The chunks of an MCAP file, in order."""
    with path.open("rb") as stream:
        found = list(StreamReader(stream, emit_chunks=True, validate_crcs=True).records)
    assert any(isinstance(record, DataEnd) for record in found)
    return [record for record in found if isinstance(record, Chunk)]


@pytest.mark.parametrize("compression", ["none", "bz2", "lz4"])
def test_ros1_bags_keep_times_types_and_compression(tmp_path: Path, compression: str) -> None:
    flag = bytes(ROS1.serialize_ros1(ROS1.types["std_msgs/msg/Bool"](data=True), "std_msgs/msg/Bool"))
    topics = {
        "/front": ("sensor_msgs/msg/Image", [made.ros_image(1, "rgb8", turn) for turn in range(3)]),
        "/brake": ("std_msgs/msg/Bool", [flag] * 3),
        "/say": ("std_msgs/msg/String", [b"\x06\0\0\0SECRET"] * 3),
        "/rear": (
            "sensor_msgs/msg/CompressedImage",
            [made.ros_compressed(1, JPEG, turn) for turn in range(3)],
        ),
    }
    source = made.write_bag(tmp_path / "a.bag", topics, compression)
    result = reprocess_log(source, tmp_path / "b.bag", make_tools())
    assert result.dropped == {"words, which nobody looks through": 3}
    with BagReader(source) as old, BagReader(tmp_path / "b.bag") as new:
        came = [(c.topic, c.msgtype, c.digest, c.msgdef.data, t) for c, t, _ in old.messages()]
        written = [(c.topic, c.msgtype, c.digest, c.msgdef.data, t) for c, t, _ in new.messages()]
        assert [one for one in came if one[0] != "/say"] == written
        for connection, _, data in new.messages():
            if connection.topic == "/front":
                pixels = ROS1.deserialize_ros1(data, "sensor_msgs/msg/Image").data.reshape(HEIGHT, WIDTH, 3)
                check_pixels(STREET, pixels)
            elif connection.topic == "/rear":
                check_pixels(decoded(JPEG), decoded(jpeg_in(data)), margin=8, tolerance=2)
            else:
                assert data == flag
    assert f"compression={compression}".encode() in (tmp_path / "b.bag").read_bytes()


def test_a_real_ros2_bag_is_hidden_and_its_other_channels_are_named(tmp_path: Path, data_dir: Path) -> None:
    source, target = data_dir / "mcap" / "ros2_camera.db3", tmp_path / "b.db3"
    tools = Tools(ArchiveSettings(video=Settings(min_long_side_px=FULL_SIZE_PX)), MODEL)
    result = reprocess_log(source, target, tools)
    assert result.boxes == {"face": 2, "plate": 1}  # a false hit of these weights
    assert result.dropped == {
        "a position": 1, "motion, which gives the way again": 1, "words, which nobody looks through": 1,
    }  # fmt: skip
    assert any("/fix (sensor_msgs/NavSatFix): a position" in name for name in result.removed)
    rows = "SELECT m.id, name, type, timestamp FROM messages m JOIN topics t ON topic_id = t.id ORDER BY m.id"
    old, new = (sqlite3.connect(path).execute(rows).fetchall() for path in (source, target))
    assert [row for row in old if row[1].startswith("/image")] == new
    ((before,), (after,)) = (
        sqlite3.connect(path).execute("SELECT data FROM messages WHERE topic_id = 2").fetchone()
        for path in (source, target)
    )
    before, after = (ROS2.deserialize_cdr(one, "sensor_msgs/msg/Image") for one in (before, after))
    changed = (before.data != after.data).reshape(480, 640, 3).any(axis=2)
    rows_px, columns_px = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert before.header == after.header
    assert 110 < rows_px[0] < 200 < 419 < rows_px[-1] < 480  # the face, grown by a tenth (new) and 1.3 times
    assert 210 < columns_px[0] < 294 < 434 < columns_px[-1] < 510


def test_a_target_that_exists_and_a_source_that_is_none_are_refused(tmp_path: Path) -> None:
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic()])
    text = tmp_path / "text.mcap"
    text.write_text("no log")
    for came, target in ((source, source), (source, text), (text, tmp_path / "b.mcap")):
        with pytest.raises(MediaError):
            reprocess_log(came, target, make_tools())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mcap", "text.mcap"]
    assert text.read_text() == "no log"


@pytest.mark.parametrize("fault", ["cut", "bit", "no end"])
def test_a_damaged_log_leaves_nothing(tmp_path: Path, fault: str) -> None:
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic(), bool_topic()], compression="")
    content = bytearray(source.read_bytes())
    if fault == "cut":
        content = content[: len(content) // 2]
    elif fault == "bit":
        content[len(content) // 3] ^= 1
    else:
        content = content[:-30]
    source.write_bytes(content)
    with pytest.raises(MediaError, match="truncated or damaged"):
        reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]


@pytest.mark.parametrize("fault", ["order", "time", "missing", "raw"])
def test_what_was_written_wrong_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    add, kept = McapWriter.add, []

    def adds_wrong(self: McapWriter, record: Record) -> None:
        if not isinstance(record, LogMessage) or record.sequence != 8:
            return add(self, record)
        if fault == "time":
            return add(self, replace(record, time_ns=record.time_ns + 1))
        if fault == "raw":
            return add(self, replace(record, data=made.ros_image(2, "rgb8", 1)))
        if fault == "order":
            kept.append(record)
            return add(self, record) if len(kept) == 1 else None
        return None

    monkeypatch.setattr(McapWriter, "add", adds_wrong)
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic(), image_topic(name="/rear")])
    with pytest.raises(MediaError, match="other messages than were meant"):
        reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]


def test_a_finding_of_the_second_look_names_topic_frame_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Box(Label.PLATE, (3.0, 4.0, 33.0, 14.0), 0.9, Origin.DETECTED, (0, 0, 0, 0))
    monkeypatch.setattr(
        SecondLook, "findings", lambda _, frame, __: (found,) if frame.pts > made.stamp(24) else ()
    )
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic("mono8", count=30)])
    with pytest.raises(SecondLookError) as fault:
        reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert (fault.value.topic, fault.value.label, fault.value.frame) == ("/front", "plate", 25)
    assert fault.value.pts_s == pytest.approx(made.stamp(25) * 1e-9)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mcap"]


def test_more_cameras_than_one_engine_serves(tmp_path: Path) -> None:
    topics = [image_topic("mono8", count=1, name=f"/camera_{place}") for place in range(18)]
    source = made.write_mcap(tmp_path / "a.mcap", topics)
    result: FileResult = reprocess_log(source, tmp_path / "b.mcap", make_tools())
    assert (result.frames, result.boxes) == (18, {"area": 18})


def test_a_long_log_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    peaks = []
    for count in (6, 60):  # 5.7 MB of pixels in the longer one
        source = made.write_mcap(tmp_path / f"{count}.mcap", [image_topic(count=count)])
        tracemalloc.start()
        reprocess_log(source, tmp_path / f"{count}-out.mcap", make_tools())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000


def test_progress_and_stop(tmp_path: Path) -> None:
    source = made.write_mcap(tmp_path / "a.mcap", [image_topic("mono8", count=2)])
    told: list[int] = []

    class Stopped(Exception):  # noqa: N818
        pass

    def stop() -> None:
        raise Stopped

    tools = make_tools()
    reprocess_log(source, tmp_path / "b.mcap", Tools(tools.settings, MODEL, progress=told.append))
    assert told
    assert told[-1] == source.stat().st_size
    with pytest.raises(Stopped):
        reprocess_log(source, tmp_path / "c.mcap", Tools(tools.settings, MODEL, check_stop=stop))
    assert not list(tmp_path.glob("*c.mcap*"))


def test_a_missing_library_is_said_and_never_worked_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mcap", None)
    source = made.write_mcap(tmp_path / "a.mcap", [bool_topic()])
    with pytest.raises(UsageError, match="mcap; wanted"):
        reprocess_log(source, tmp_path / "b.mcap", make_tools())
    monkeypatch.setitem(sys.modules, "jpeglib", None)
    jpeg_coefficients._library.cache_clear()
    (tmp_path / "a.jpg").write_bytes(JPEG)
    with pytest.raises(UsageError, match="jpeglib"):  # not encoded anew, with loss, without a word
        reprocess_picture(tmp_path / "a.jpg", tmp_path / "b.jpg", make_tools())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.mcap"]
