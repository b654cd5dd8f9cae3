"""SAFETY 14: only what is on the allow-list passes through a robot log, and a camera never passes unhidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymize.archive.log_job import reprocess_log
from anonymize.archive.log_rules import PASSING, judge
from anonymize.archive.work import ArchiveSettings, Tools
from anonymize.detect import load_packaged
from anonymize.errors import MediaError
from anonymize.media.log_records import Channel
from anonymize.settings import Settings
from tests.archive import making_logs as made
from tests.archive.making_logs import HEIGHT, WIDTH, Topic
from tests.media import making

MODEL = load_packaged()
SECRET = b"SECRET-4711"
JPEG = making.encoded(making.street(WIDTH, HEIGHT), "JPEG", quality=80)


def tools(*keep: str) -> Tools:
    return Tools(
        ArchiveSettings(video=Settings(hide_always=((70, 41, 150, 111),)), keep_channels=keep), MODEL
    )


def secret(name: str, schema: str, encoding: str = "ros2msg", message_encoding: str = "cdr") -> Topic:
    """A channel whose messages and schema hold a secret."""
    return Topic(name, (schema, encoding, SECRET), message_encoding, [SECRET * 3])


DROPPED = {
    "sensor_msgs/msg/NavSatFix": "a position",
    "sensor_msgs/msg/FluidPressure": "a position",
    "gps_msgs/msg/GPSFix": "a position",
    "tf2_msgs/msg/TFMessage": "places and ways",
    "nav_msgs/msg/Odometry": "places and ways",
    "geometry_msgs/msg/PoseStamped": "places and ways",
    "geometry_msgs/msg/TwistStamped": "motion",
    "sensor_msgs/msg/Imu": "motion",
    "sensor_msgs/msg/PointCloud2": "distances",
    "sensor_msgs/msg/LaserScan": "distances",
    "std_msgs/msg/String": "words",
    "rcl_interfaces/msg/Log": "words",
    "std_msgs/msg/Float64": "not on the list",
    "acme_msgs/msg/Thing": "not on the list",
}


def test_what_is_not_on_the_list_is_left_out_and_named_with_its_reason(tmp_path: Path) -> None:
    topics = [secret(f"/t{place}", name) for place, name in enumerate(DROPPED)]
    source = made.write_mcap(tmp_path / "a.mcap", topics, compression="", attachment=SECRET)
    result = reprocess_log(source, tmp_path / "b.mcap", tools())
    assert SECRET in source.read_bytes()
    assert SECRET not in (tmp_path / "b.mcap").read_bytes()
    for place, (name, reason) in enumerate(DROPPED.items()):
        short = name.replace("/msg/", "/")
        assert any(f"/t{place} ({short}): {reason}" in line for line in result.removed), name
    assert "attachment calibration.bin: attachments are left out" in result.removed
    assert sum(result.dropped.values()) == len(DROPPED)


CAMERAS = {
    "a depth picture": ("sensor_msgs/msg/Image", "ros2msg", "cdr", made.ros_image(2, "16UC1")),
    "a colour order that is not said": ("sensor_msgs/msg/Image", "ros2msg", "cdr", made.ros_image(2, "8UC3")),
    "a video stream": ("foxglove.CompressedVideo", "protobuf", "protobuf", SECRET),
    "a video stream in ROS": ("foxglove_msgs/msg/CompressedVideo", "ros2msg", "cdr", SECRET),
    "another encoding of the schema": ("sensor_msgs/msg/Image", "protobuf", "protobuf", SECRET),
    "another encoding of the messages": ("sensor_msgs/msg/Image", "ros2msg", "json", SECRET),
    "no schema encoding": ("sensor_msgs/msg/CompressedImage", "", "cdr", SECRET),
    "flatbuffers": ("foxglove.CompressedImage", "flatbuffer", "flatbuffer", SECRET),
    "a damaged schema": ("foxglove.RawImage", "protobuf", "protobuf", SECRET),
    "compressed depth": ("sensor_msgs/msg/CompressedImage", "ros2msg", "cdr",
                         made.ros_compressed(2, bytes(12) + JPEG, words="16UC1; compressedDepth png")),
    "an unknown camera": ("acme_msgs/msg/CameraFrame", "ros2msg", "cdr", SECRET),
    "a picture transport": ("theora_image_transport/msg/Packet", "ros2msg", "cdr", SECRET),
    "ffmpeg packets": ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "ros2msg", "cdr", SECRET),
    "a disparity": ("stereo_msgs/msg/DisparityImage", "ros2msg", "cdr", SECRET),
}  # fmt: skip


@pytest.mark.parametrize("name", CAMERAS)
def test_a_camera_that_is_not_recognised_does_not_pass_even_when_asked_for(tmp_path: Path, name: str) -> None:
    schema, encoding, message_encoding, data = CAMERAS[name]
    topic = Topic("/front", (schema, encoding, SECRET), message_encoding, [data])
    source = made.write_mcap(tmp_path / "a.mcap", [topic], compression="")
    result = reprocess_log(source, tmp_path / "b.mcap", tools("/front"))
    assert result.frames == 0
    assert any("/front" in line and "not recognised" in line for line in result.removed)
    written = (tmp_path / "b.mcap").read_bytes()
    assert SECRET not in written
    assert data[-200:-100] not in written or len(data) < 300


def test_a_topic_that_is_asked_for_passes_and_stands_in_the_notes(tmp_path: Path) -> None:
    source = made.write_mcap(
        tmp_path / "a.mcap", [secret("/fix", "sensor_msgs/msg/NavSatFix")], compression=""
    )
    result = reprocess_log(source, tmp_path / "b.mcap", tools("/fix"))
    assert SECRET * 3 in (tmp_path / "b.mcap").read_bytes()
    assert "channel /fix passes because it was asked for" in result.notes


@pytest.mark.parametrize(("content", "passes"), [(SECRET * 3, True), (JPEG + SECRET, False)])
def test_an_attachment_that_is_asked_for_passes_if_it_is_no_picture(
    tmp_path: Path, content: bytes, passes: bool
) -> None:
    topic = Topic("/front", made.ros_schema(2, "sensor_msgs/msg/Image"), "cdr", [made.ros_image(2, "mono8")])
    source = made.write_mcap(tmp_path / "a.mcap", [topic], compression="", attachment=content)
    result = reprocess_log(source, tmp_path / "b.mcap", tools("calibration.bin"))
    assert (SECRET in (tmp_path / "b.mcap").read_bytes()) == passes
    assert any("calibration.bin" in line for line in (result.notes if passes else result.removed))


def test_a_camera_that_is_asked_for_is_hidden_all_the_same(tmp_path: Path) -> None:
    topic = Topic("/front", made.ros_schema(2, "sensor_msgs/msg/Image"), "cdr", [made.ros_image(2, "mono8")])
    source = made.write_mcap(tmp_path / "a.mcap", [topic])
    assert reprocess_log(source, tmp_path / "b.mcap", tools("/front")).boxes == {"area": 1}


def test_fields_that_a_picture_does_not_have_are_no_hiding_place(tmp_path: Path) -> None:
    """An unknown protobuf field, one more field of JSON, a schema with one more field, bytes beside the pixels."""
    fields = {"format": "jpeg", "data": JPEG}
    plain = made.foxglove("foxglove.CompressedImage", "protobuf", **fields)
    unknown = plain + bytes([(15 << 3) | 2, len(SECRET)]) + SECRET
    topic = Topic("/p", made.protobuf_schema("foxglove.CompressedImage"), "protobuf", [unknown])
    source = made.write_mcap(tmp_path / "a.mcap", [topic], compression="")
    assert reprocess_log(source, tmp_path / "b.mcap", tools()).frames == 1
    assert SECRET not in (tmp_path / "b.mcap").read_bytes()

    schema = made.protobuf_schema("foxglove.CompressedImage", {"preview": (9, 12)})
    topic = Topic("/p", schema, "protobuf", [plain])
    result = reprocess_log(made.write_mcap(tmp_path / "c.mcap", [topic]), tmp_path / "d.mcap", tools())
    assert result.frames == 0

    message = made.foxglove("", "json", **fields).replace(b'"frame_id"', b'"preview": "SECRET", "frame_id"')
    schema = ("foxglove.CompressedImage", "jsonschema", b"{}")
    good = made.foxglove("", "json", **fields)
    source = made.write_mcap(tmp_path / "e.mcap", [Topic("/j", schema, "json", [good, message])])
    with pytest.raises(MediaError, match="other fields"):
        reprocess_log(source, tmp_path / "f.mcap", tools())
    assert not list(tmp_path.glob("*f.mcap*"))

    good = made.ros_image(2, "mono8")
    topic = Topic("/i", made.ros_schema(2, "sensor_msgs/msg/Image"), "cdr", [good, good + SECRET * 10])
    source = made.write_mcap(tmp_path / "g.mcap", [topic])
    with pytest.raises(MediaError, match="no sensor_msgs/Image"):
        reprocess_log(source, tmp_path / "h.mcap", tools())


def test_metadata_of_pictures_in_messages_goes(tmp_path: Path) -> None:
    picture = making.encoded(
        making.street(WIDTH, HEIGHT), "JPEG", exif=making.exif_block(orientation=6), comment=SECRET
    )
    schema = made.ros_schema(2, "sensor_msgs/msg/CompressedImage")
    topic = Topic("/c", schema, "cdr", [made.ros_compressed(2, picture + SECRET)])
    source = made.write_mcap(tmp_path / "a.mcap", [topic], compression="")
    result = reprocess_log(source, tmp_path / "b.mcap", tools())
    written = (tmp_path / "b.mcap").read_bytes()
    assert not any(word in written for word in (SECRET, b"SN-4711", b"Anna"))
    assert "GPS position" in result.removed


def test_the_allow_list_holds_no_name_that_is_a_reason_to_drop() -> None:
    """What passes is not told by accident to be a picture, a place, a motion, a distance or a text."""
    for name in PASSING:
        form = ("protobuf", "protobuf") if "." in name else ("ros2msg", "cdr")
        assert judge(Channel(1, "/t", name, *form, b""), ()).fate == "pass"
        assert judge(Channel(1, "/t", name, "flatbuffer", "flatbuffer", b""), ()).fate == "drop"
        assert judge(Channel(1, "/t", name, form[0], "json-of-mine", b""), ()).fate == "drop"
