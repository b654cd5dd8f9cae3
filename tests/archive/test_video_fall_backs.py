"""What cannot be copied with certainty is encoded anew as a whole, and the reason is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av
from av.bitstream import BitStreamFilterContext
from av.packet import PacketSideData

from anonymize.archive.work import ArchiveSettings
from anonymize.errors import MediaError
from anonymize.media.nal import H264
from anonymize.media.parameter_sets import free_id, read_record, shape_of
from anonymize.media.video_groups import GroupReader, GroupScan, _check_sets, _Scanner
from tests.archive.video_making import (
    FAST,
    FILL,
    GROUP,
    X265,
    area_of,
    decoded,
    grouped_clip,
    joined,
    remade,
    rewritten,
    unit,
)
from tests.archive.video_making import (
    H264 as H264_OPTIONS,
)
from tests.media.video_samples import Clip, contents, make_clip

OPEN = {"preset": "fast", "crf": "18", "bf": "2",
        "x264-params": f"keyint={GROUP}:min-keyint={GROUP}:open-gop=1:scenecut=0"}  # fmt: skip
HDR = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"


def open_groups(folder: Path) -> Path:
    return grouped_clip(folder / "in.mp4", options=OPEN)


def cut_by_an_edit_list(folder: Path) -> Path:
    whole = grouped_clip(folder / "whole.mp4")
    with av.open(str(whole)) as container, av.open(str(folder / "in.mp4"), "w") as output:
        stream = container.streams.video[0]
        written = output.add_stream_from_template(stream)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None and stream.time_base:
                shift = round(Fraction(5, 25) / stream.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = written
                output.mux(packet)
    return folder / "in.mp4"


def cropped(folder: Path) -> Path:
    """32 columns are coded and not shown."""
    whole = grouped_clip(folder / "whole.ts", width=160)
    with av.open(str(whole)) as container, av.open(str(folder / "in.ts"), "w") as output:
        stream = container.streams.video[0]
        crop = BitStreamFilterContext("h264_metadata=crop_right=32", stream)
        written = output.add_stream_from_template(stream)
        for packet in container.demux(stream):
            for narrow in crop.filter(packet) if packet.size else ():
                narrow.stream = written
                output.mux(narrow)
    return folder / "in.ts"


def sets_that_change(folder: Path) -> Path:
    one = grouped_clip(folder / "one.ts", groups=2)
    two = grouped_clip(
        folder / "two.ts", groups=2, times=range(20, 36), options={**H264_OPTIONS, "refs": "3"}
    )
    return joined(folder / "in.ts", one, two)


def colours_beside(folder: Path) -> Path:
    """The transfer is told in supplemental information (payload 147: HLG)."""
    whole = grouped_clip(folder / "whole.mp4")
    told = unit(bytes([6, 147, 1, 18, 0x80]))
    return remade(whole, folder / "in.mp4", lambda packet, _: told + bytes(packet))


def hdr(folder: Path) -> Path:
    options = {"preset": "ultrafast", "x265-params": f"{X265}:bframes=0:{HDR}"}
    return grouped_clip(
        folder / "in.mp4", "hevc", options=options, pix_fmt="yuv420p10le", colour=(1, 9, 9, 16)
    )


def overlapping(folder: Path) -> Path:
    """The last picture of the first group is shown after the first of the second."""
    whole = grouped_clip(folder / "whole.mp4", groups=2)
    with av.open(str(whole)) as container, av.open(str(folder / "in.mp4"), "w") as output:
        stream = container.streams.video[0]
        written = output.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in container.demux(stream) if p.size):
            assert packet.pts is not None and packet.duration is not None
            packet.pts += packet.duration * 3 // 2 * (number == GROUP - 1)
            packet.stream = written
            output.mux(packet)
    return folder / "in.mp4"


def of_codec(codec: str, extension: str, **options: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        clip = Clip(folder / f"in.{extension}", range(12), codec=codec, options=options, pix_fmt=pix_fmt)
        return make_clip(clip)

    return made


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (open_groups, "every group holds a box"),
        (cut_by_an_edit_list, "an edit list cuts frames away"),
        (cropped, r"pixels are coded that are not shown \(\(0, 32, 0, 0\) px"),
        (sets_that_change, "its parameter sets change"),
        (colours_beside, r"colours are described beside the pictures \(SEI\)"),
        (hdr, "HDR light levels"),
        (lambda folder: grouped_clip(folder / "in.avi"), "groups are not copied into avi"),
        (of_codec("libsvtav1", "mp4", preset="12"), "groups of av1 are not copied"),
        (of_codec("libvpx-vp9", "mkv", deadline="realtime", **{"cpu-used": "8"}), "groups of vp9 are not copied"),
        (of_codec("mjpeg", "avi", strict="unofficial"), "groups of mjpeg are not copied"),
        (of_codec("mpeg4", "mp4"), "groups of mpeg4 are not copied"),
    ],
    ids=["open", "edit-list", "cropped", "sets", "colour", "hdr", "avi", "av1", "vp9", "mjpeg", "mpeg4"],
)  # fmt: skip
def test_a_whole_file_is_encoded_anew(tmp_path: Path, made: Callable[[Path], Path], reason: str) -> None:
    source = made(tmp_path)
    target = tmp_path / f"out{source.suffix}"
    settings = FAST if made in (open_groups, cut_by_an_edit_list, cropped) else ArchiveSettings()
    facts = rewritten(source, target, 3, settings=settings)
    assert re.search(reason, facts.fall_back)
    assert facts.copied_groups == 0
    before, after = decoded(source), decoded(target)
    assert [time for time, _ in after] == [time for time, _ in before]
    assert facts.frames == len(before)
    assert abs(area_of(target, 3) - FILL).mean() < 6
    assert facts.verified


def test_nothing_of_what_an_edit_list_hides_remains(tmp_path: Path) -> None:
    source = cut_by_an_edit_list(tmp_path)
    rewritten(source, tmp_path / "out.mp4", 3)

    def packets(path: Path) -> int:
        with av.open(str(path)) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))

    assert packets(source) == 4 * GROUP
    assert packets(tmp_path / "out.mp4") == 4 * GROUP - 5 == len(contents(tmp_path / "out.mp4").times_s)


def test_overlapping_groups_are_no_groups(tmp_path: Path) -> None:
    facts = rewritten(overlapping(tmp_path), tmp_path / "out.mp4", 3)
    assert facts.fall_back == "groups of pictures overlap in time"


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"copy_groups": False}, "copying of groups is switched off"),
        ({"encoder": "hevc"}, "coded as hevc by choice"),
    ],
)
def test_by_choice(tmp_path: Path, chosen: dict[str, Any], reason: str) -> None:
    source = grouped_clip(tmp_path / "in.mp4")
    facts = rewritten(source, tmp_path / "out.mp4", 3, settings=ArchiveSettings(preset="ultrafast", **chosen))
    assert (facts.fall_back, facts.copied_groups, facts.encoder) == (reason, 0, chosen.get("encoder", "h264"))
    assert facts.notes[-1] == f"every picture was encoded anew: {reason}"


def test_into_a_container_that_holds_no_groups(tmp_path: Path) -> None:
    facts = rewritten(grouped_clip(tmp_path / "in.mp4"), tmp_path / "out.avi", 3)
    assert facts.fall_back == "groups are not copied into avi"


@pytest.mark.parametrize("extension", ["mp4", "ts"])
def test_interlaced_video_is_refused_by_name(tmp_path: Path, extension: str) -> None:
    options = {"preset": "fast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    source = grouped_clip(tmp_path / f"in.{extension}", options=options)
    with pytest.raises(MediaError, match="is interlaced; wanted progressive video"):
        rewritten(source, tmp_path / f"out.{extension}")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_interlaced_frames_in_the_middle_are_refused_by_name(tmp_path: Path) -> None:
    fields = {"preset": "fast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    one = grouped_clip(tmp_path / "one.ts", groups=2)
    two = grouped_clip(tmp_path / "two.ts", groups=2, times=range(20, 36), options=fields)
    source = joined(tmp_path / "in.ts", one, two)
    with pytest.raises(MediaError, match="frame 16 is interlaced; wanted progressive video"):
        rewritten(source, tmp_path / "out.ts", 3)
    assert not (tmp_path / "out.ts").exists()


def test_sets_that_a_container_hands_in_beside_a_packet(tmp_path: Path) -> None:
    """An MP4 with two descriptions of its samples: FFmpeg tells of the second by a record beside the packet."""
    with av.open(str(grouped_clip(tmp_path / "in.mp4"))) as container:
        stream = container.streams.video[0]
        scanner = _Scanner(GroupScan(H264))
        assert scanner.begin(bytes(stream.codec_context.extradata or b""))
        first, second = (packet for packet, _ in zip(container.demux(stream), range(2), strict=False))
        assert scanner.take(first)
        second.set_sidedata(PacketSideData(1, 8))  # type: ignore[call-arg, arg-type]  # AV_PKT_DATA_NEW_EXTRADATA
        assert not scanner.take(second)
    assert scanner.scan.fall_back == "its parameter sets change"


def test_a_reordered_film_that_says_no_delay(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mp4", "h264-b", groups=1)
    with av.open(str(source)) as container:
        units, _ = read_record(bytes(container.streams.video[0].codec_context.extradata or b""), H264)
    sequence = next(unit for unit in units if H264.type_of(unit) == 7)
    assert shape_of(sequence, H264).says_delay
    scan = GroupScan(H264, sets={(7, 0): silent(sequence), (8, 0): b"\x68"}, delay=1)
    with pytest.raises(MediaError, match="reordered, and it does not say how far"):
        _check_sets(scan)
    _check_sets(GroupScan(H264, sets=scan.sets, delay=0))


def silent(sequence: bytes) -> bytes:
    """The set without usability information: x264's last flag before it is where the rest differs."""
    bits = "".join(f"{byte:08b}" for byte in sequence[4:].replace(b"\0\0\3", b"\0\0"))
    for cut in range(8, len(bits)):
        candidate = bits[:cut] + "0" + "1"  # vui_parameters_present_flag 0, then the stop bit
        padded = candidate.ljust(-(-len(candidate) // 8) * 8, "0")
        made = sequence[:4] + int(padded, 2).to_bytes(len(padded) // 8, "big")
        try:
            shape = shape_of(made, H264)
        except MediaError:
            continue
        if shape.progressive and shape.crop_px == (0, 0, 0, 0) and not shape.says_delay:
            return made
    raise AssertionError("no such cut")


def scanned(path: Path) -> str:
    with GroupReader(path, on_error="fail", camera="front", threads=1) as reader:
        return reader.scan(H264).fall_back


def test_pictures_in_parts_are_not_copied(tmp_path: Path) -> None:
    """Data partitions (NAL types 2 to 4): left out by the allow-list, the picture would be gone."""
    part = unit(bytes([0x42]) + b"part of a picture")
    source = remade(
        grouped_clip(tmp_path / "whole.mp4"), tmp_path / "in.mp4",
        lambda packet, number: bytes(packet) + part * (number == 20),
    )  # fmt: skip
    assert scanned(source) == "its pictures come in parts (NAL type 2)"


def test_a_long_parameter_set_is_not_copied(tmp_path: Path) -> None:
    """It may carry anything."""
    long = unit(bytes([0x68]) + b"\xce" * 2000)
    source = remade(
        grouped_clip(tmp_path / "whole.mp4"), tmp_path / "in.mp4",
        lambda packet, number: long * (number == 8) + bytes(packet),
    )  # fmt: skip
    assert scanned(source) == "a parameter set has 2,001 bytes; wanted at most 1,024"


def test_a_film_that_begins_inside_a_group(tmp_path: Path) -> None:
    """Cut out of an open group: the first keyframe is no IDR."""
    whole = grouped_clip(tmp_path / "whole.mkv", options=OPEN)
    source = remade(
        whole, tmp_path / "in.mkv", lambda packet, number: bytes(packet) if number >= GROUP - 1 else None
    )
    with av.open(str(source)) as container:
        first = next(container.demux(video=0))
        assert first.is_keyframe
    assert scanned(source) == "the film does not begin with a closed group"


def test_every_id_is_taken(tmp_path: Path) -> None:
    """32 ids of parameter sets are there; with all in use ours would replace one of the source's."""
    assert free_id({(7, 0): b"", (8, 0): b"", (8, 1): b""}) == 2
    assert free_id({(8, number): b"" for number in range(255)}) is None


def test_a_group_with_a_picture_missing_fails_the_file(tmp_path: Path) -> None:
    """A packet without a picture in it, in a group that is encoded anew."""
    source = remade(
        grouped_clip(tmp_path / "whole.mp4"), tmp_path / "in.mp4",
        lambda packet, number: unit(b"\x09\x10") if number == GROUP + 2 else bytes(packet),
    )  # fmt: skip
    with pytest.raises(MediaError):
        rewritten(source, tmp_path / "out.mp4", GROUP + 4)
    with pytest.raises(MediaError):
        rewritten(source, tmp_path / "out.mp4", 0)
    assert not (tmp_path / "out.mp4").exists()
