"""Units of coded pictures and their parameter sets, against FFmpeg's own reading and against records that it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from anonymize.errors import MediaError
from anonymize.media.nal import (
    H264,
    HEVC,
    RULES,
    begins_anew,
    join_units,
    sei_types,
    slices_of,
    split_units,
)
from anonymize.media.parameter_sets import in_order, make_record, read_record, set_key, shape_of
from tests.archive.video_making import grouped_clip


def test_units_are_split_and_joined() -> None:
    units = [b"\x65abc", b"\x41\0\0\3\1", b"\x06x"]
    for start_codes, length in ((True, 0), (False, 4)):
        assert split_units(join_units(units, start_codes=start_codes), length) == units
    assert split_units(b"\0\0\1\x65ab\0\0\0\1\x41c\0\0", 0) == [b"\x65ab", b"\x41c"]  # zeros may follow
    assert split_units(b"\2\x65a\0\1\x41", 1) == [b"\x65a", b"\x41"]
    with pytest.raises(MediaError, match="a unit of 9 bytes came where 2 are left"):
        split_units(b"\0\0\0\x09ab", 4)


def test_types_and_layers() -> None:
    assert [H264.type_of(unit) for unit in (b"\x65", b"\x41", b"\x67", b"")] == [5, 1, 7, -1]
    assert HEVC.type_of(bytes([19 << 1, 1])) == 19
    assert HEVC.type_of(bytes([19 << 1, 1 << 3 | 1])) == -1  # layer 1
    assert HEVC.type_of(bytes([19 << 1 | 1, 1])) == -1  # layer 32
    assert HEVC.type_of(b"\x26") == -1


def test_a_picture_begins_anew_if_all_its_slices_do() -> None:
    assert begins_anew([b"\x65", b"\x65"], H264)
    assert not begins_anew([b"\x65", b"\x41"], H264)
    assert not begins_anew([], H264)
    assert not begins_anew([bytes([21 << 1, 1])], HEVC)  # CRA: pictures before it may be shown after it


def test_what_supplemental_information_is_about() -> None:
    long = bytes([255, 2]) + b"x" * 257
    assert sei_types(b"\x06" + bytes([5]) + long + bytes([137, 2, 1, 1, 0x80]), H264) == {5, 137}
    assert sei_types(bytes([39 << 1, 1, 255, 1, 1, 9, 0x80]), HEVC) == {256}
    assert sei_types(b"\x06", H264) == set()


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p"])
@pytest.mark.parametrize(("kind", "codec"), [("h264-b", "h264"), ("hevc-b", "hevc")])
@pytest.mark.parametrize("size", [(128, 96), (130, 98)])
def test_shape_and_record_as_ffmpeg_has_them(
    tmp_path: Path, kind: str, codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    width, height = size
    path = grouped_clip(
        tmp_path / "in.mp4", kind, groups=1, pix_fmt=pix_fmt, width=width, height=height, colour=(1, 9, 9, 16)
    )
    rules = RULES[codec]
    with av.open(str(path)) as container:
        record = bytes(container.streams.video[0].codec_context.extradata or b"")
    units, length = read_record(record, rules)
    assert length == 4
    sets = {set_key(unit, rules): unit for unit in units if rules.type_of(unit) in rules.sets}
    assert set(sets) == {(kind, 0) for kind in rules.sets}
    shape = shape_of(sets[rules.sets[-2], 0], rules)
    step = {"yuv420p": 1, "yuv420p10le": 1, "yuv422p": 2, "yuv444p": 3}[pix_fmt]
    bits = 10 if pix_fmt.endswith("10le") else 8
    block = 16  # x265 ultrafast: min-cu-size=16
    assert (shape.chroma_format, shape.luma_bits, shape.chroma_bits) == (step, bits, bits)
    assert shape.crop_px == (0, -width % block, 0, -height % block) and shape.block_px == block
    assert shape.progressive and shape.says_delay and not shape.crops_beyond_alignment
    made = make_record(in_order(sets), rules)
    assert read_record(made, rules) == (in_order(sets), 4)
    if codec == "h264":
        assert made == record
    else:  # FFmpeg keeps x265's words and marks the sets as complete
        assert made[:13] == record[:13] and made[16:19] == record[16:19]
    annex_b = join_units(in_order(sets), start_codes=True)
    assert read_record(annex_b, rules) == (in_order(sets), 0)


def test_a_picture_coded_as_fields_says_so(tmp_path: Path) -> None:
    options = {"preset": "fast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = grouped_clip(tmp_path / "in.mp4", groups=1, options=options)
    with av.open(str(path)) as container:
        units, _ = read_record(bytes(container.streams.video[0].codec_context.extradata or b""), H264)
    assert not shape_of(next(unit for unit in units if H264.type_of(unit) == 7), H264).progressive


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_records_and_sets_that_are_cut_off(tmp_path: Path, codec: str) -> None:
    """Any length of a record is read or refused by an error of ours."""
    path = grouped_clip(tmp_path / "in.mp4", codec, groups=1)
    rules = RULES[codec]
    with av.open(str(path)) as container:
        record = bytes(container.streams.video[0].codec_context.extradata or b"")
    whole, _ = read_record(record, rules)
    refused = 0
    for size in range(len(record)):
        try:
            read_record(record[:size], rules)
        except MediaError:
            refused += 1
    assert refused >= len(record) - 8
    for unit in whole:
        for size in range(1, len(unit)):
            if rules.type_of(unit) == rules.sets[-2]:
                try:
                    shape_of(unit[:size], rules)
                except MediaError:
                    refused += 1
    assert refused > len(record)


def test_slices_alone_are_pictures() -> None:
    assert slices_of([b"\x67", b"\x68", b"\x06", b"\x65a", b"\x13", b"\x74"], H264) == [b"\x65a"]
