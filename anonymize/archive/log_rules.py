"""Which channels of a robot log are hidden, which pass, and why the others are left out: by allow-list (SAFETY 14)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from anonymize.errors import MediaError
from anonymize.media.image_messages import COMPRESSED, RAW, VIDEO, ImageCodec, codec_for
from anonymize.media.log_records import Channel, LogAttachment
from anonymize.media.sniff import HEADER_BYTES, picture_format

# Told by name and encoding. None of them holds a place, a motion, a picture, a distance or a text of somebody's own.
PASSING: Final = frozenset(
    {
        "builtin_interfaces/Duration", "builtin_interfaces/Time", "rosgraph_msgs/Clock",
        "sensor_msgs/CameraInfo", "sensor_msgs/Illuminance", "sensor_msgs/RelativeHumidity", "sensor_msgs/Temperature",
        "sensor_msgs/TimeReference", "std_msgs/Bool", "std_msgs/Empty", "std_msgs/Header",
        "foxglove.CameraCalibration", "foxglove_msgs/CameraCalibration",
    }
)  # fmt: skip
# schema encoding and message encoding that belong together
_ENCODINGS: Final = frozenset(
    {
        ("ros1msg", "ros1"),
        ("ros2msg", "cdr"),
        ("ros2idl", "cdr"),
        ("protobuf", "protobuf"),
        ("jsonschema", "json"),
    }
)
# Why a schema is left out, by what its name holds; the first that fits. What fits none is "not on the list".
_PICTURE: Final = re.compile(
    r"image|video|picture|(?<!can_msgs/)frames?$|camera(?!info|calibration)|theora|h26[45]|jpeg|ffmpeg.*packet|disparity|compresseddata",
    re.IGNORECASE,
)
_REASONS: Final = (
    (re.compile(r"navsat|gps|gnss|location|geo(point|pose|graphic)|position|utm|fluidpressure", re.IGNORECASE),
     "a position"),
    (re.compile(r"tf|transform|pose|odometry|path|frametransform|map|route|goal|marker|scene", re.IGNORECASE),
     "places and ways"),
    (re.compile(r"imu|twist|accel|veloc|speed|wheel|joint|magnet|vehicle|can/?frame|steer|ackermann", re.IGNORECASE),
     "motion, which gives the way again"),
    (re.compile(r"pointcloud|laserscan|lidar|range|radar|grid|octomap|voxel", re.IGNORECASE),
     "distances, which show persons and places"),
    (re.compile(r"string|log|text|diagnostic|audio", re.IGNORECASE), "words, which nobody looks through"),
)  # fmt: skip
# What an attachment must not be, even if it is asked for.
_PICTURE_MEDIA: Final = re.compile(r"image/|video/|audio/", re.IGNORECASE)
NO_KNOWN_PICTURE: Final = "a picture in a form that is not recognised"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a channel: its pictures are hidden, it passes, or it is left out, for a reason in words."""

    fate: Literal["hide", "pass", "drop"]
    reason: str = ""
    codec: ImageCodec | None = None


def judge(channel: Channel, keep_channels: tuple[str, ...]) -> Verdict:
    """What becomes of a channel, by the name and the encoding of its schema, and by the topics that are asked for.

    A channel of pictures is hidden or left out, whatever is asked for.
    """
    name = channel.schema_name
    known = (channel.schema_encoding, channel.message_encoding) in _ENCODINGS
    if name in RAW | COMPRESSED | VIDEO:
        try:
            codec = codec_for(channel)
        except MediaError as fault:
            return Verdict("drop", f"{NO_KNOWN_PICTURE}: {fault}")
        if codec is None:
            return Verdict("drop", f"{NO_KNOWN_PICTURE}: {_encoding_of(channel)}")
        return Verdict("hide", codec=codec)
    if name in PASSING and known:
        return Verdict("pass")
    if _PICTURE.search(name):
        return Verdict("drop", NO_KNOWN_PICTURE)
    if channel.topic in keep_channels:
        return Verdict("pass", "asked for")
    return Verdict("drop", next((why for form, why in _REASONS if form.search(name)), "not on the list"))


def why_not_attached(attachment: LogAttachment, keep_channels: tuple[str, ...]) -> str:
    """Why an attachment is left out, in words; empty where it was asked for and is no picture by name or content."""
    if attachment.name not in keep_channels:
        return "attachments are left out"
    start = attachment.data[:HEADER_BYTES]
    if _PICTURE_MEDIA.match(attachment.media_type) or picture_format(start) or start[4:8] == b"ftyp":
        return NO_KNOWN_PICTURE
    return ""


def _encoding_of(channel: Channel) -> str:
    return f"schema in {channel.schema_encoding or 'no encoding'}, messages in {channel.message_encoding or 'none'}"
