"""What was written and is not what was meant is found, and nothing of it is left."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

from anonymize.archive.work import ArchiveSettings
from anonymize.errors import MediaError, VerificationError
from anonymize.frames import CapturedFrame, ReleasedFrame
from anonymize.media import video_group_write
from anonymize.media.nal import HEVC, RULES, join_units, slices_of, split_units
from anonymize.media.video import open_video
from anonymize.media.video_group_write import GroupWriter
from anonymize.media.video_planes import writable_planes
from anonymize.media.video_proof import _MAX_PATCH, Proof, _patches
from anonymize.media.video_read_back import picture_bytes
from anonymize.media.video_write import VideoWriter
from tests.archive.video_making import AREA, FAST, GROUP, area_of, grouped_clip, rewritten, seal
from tests.media.video_samples import Clip, make_clip

WHOLE = ArchiveSettings(preset="ultrafast", copy_groups=False)


def refused(source: Path, message: str, kind: type[Exception] = VerificationError, **chosen: Any) -> None:
    """The rewriting fails and leaves nothing."""
    target = source.with_name(f"out{source.suffix}")
    before = sorted(path.name for path in source.parent.iterdir())
    with pytest.raises(kind, match=message):
        rewritten(source, target, 0, GROUP + 3, **chosen)
    assert sorted(path.name for path in source.parent.iterdir()) == before


@pytest.mark.parametrize("settings", [FAST, WHOLE], ids=["groups", "whole"])
def test_a_raw_area_in_the_coded_picture(
    tmp_path: Path, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that codes the source's pixels where the fill should be."""
    source = grouped_clip(tmp_path / "in.mp4")
    raw = area_of(source, GROUP + 3)
    encode = VideoWriter._encode

    def leaking(self: VideoWriter, pts: int, duration: int) -> None:
        x1, y1, x2, y2 = AREA
        writable_planes(self._picture, self.reader.facts.pixel_format)[0][y1:y2, x1:x2] = raw
        encode(self, pts, duration)

    monkeypatch.setattr(VideoWriter, "_encode", leaking)
    refused(source, "plane 0 at pts 0, rows 40-88, columns 16-64, differs from its fill", settings=settings)


def test_half_of_an_area_left_raw_in_one_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = grouped_clip(tmp_path / "in.mp4")
    raw = area_of(source, GROUP + 3)
    encode = VideoWriter._encode

    def leaking(self: VideoWriter, pts: int, duration: int) -> None:
        x1, y1, x2, _ = AREA
        if len(self._times) == GROUP + 3:
            writable_planes(self._picture, self.reader.facts.pixel_format)[0][y1 : y1 + 16, x1:x2] = raw[:16]
        encode(self, pts, duration)

    monkeypatch.setattr(VideoWriter, "_encode", leaking)
    refused(source, "differs from its fill")


def test_copied_bytes_that_were_altered_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = GroupWriter._framed

    def altering(self: GroupWriter, packet: Any, slices: list[bytes], *rest: Any) -> Any:
        late = self._run_is_copied and self.frames_written == 3 * GROUP + 5
        changed = [slices[0][:-9] + b"\x55" + slices[0][-8:]] if late else slices
        return frame(self, packet, changed, *rest)

    monkeypatch.setattr(GroupWriter, "_framed", altering)
    refused(grouped_clip(tmp_path / "in.mp4"), "16 pictures were read back from it with other bytes")


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_copied_groups_behind_other_parameter_sets(
    tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEVC: without the source's sets before it a copied group is decoded by the encoder's."""
    frame = GroupWriter._framed

    def forgetting(self: GroupWriter, packet: Any, slices: list[bytes], sets: Any, *rest: Any) -> Any:
        return frame(self, packet, slices, {} if sets is self._scan.sets else sets, *rest)

    monkeypatch.setattr(GroupWriter, "_framed", forgetting)
    refused(
        grouped_clip(tmp_path / f"in.{extension}", "hevc-b"), "another parameter set|damaged|pictures came"
    )


def test_a_head_without_our_parameter_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = video_group_write.make_record
    monkeypatch.setattr(
        video_group_write, "make_record", lambda sets, rules: make(list(sets)[:1] + list(sets)[-1:], rules)
    )
    refused(grouped_clip(tmp_path / "in.mp4"), "parameter set|cannot be|pictures came|Invalid")


@pytest.mark.parametrize("settings", [FAST, WHOLE], ids=["groups", "whole"])
def test_a_picture_that_does_not_reach_the_file(
    tmp_path: Path, settings: ArchiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mux = VideoWriter._mux
    seen: list[Any] = []

    def losing(self: VideoWriter, packet: Any) -> None:
        seen.append(packet)
        if len(seen) != 14:
            mux(self, packet)

    monkeypatch.setattr(VideoWriter, "_mux", losing)
    refused(
        grouped_clip(tmp_path / "in.mp4"),
        "fewer pictures|other bytes|pictures came|other pixels",
        settings=settings,
    )


def test_a_picture_that_the_encoder_swallows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    see = Proof.see
    monkeypatch.setattr(
        Proof, "see", lambda self, packet, codec: None if packet.pts == 3 * 512 else see(self, packet, codec)
    )
    refused(grouped_clip(tmp_path / "in.mp4"), "1 encoded frames did not come out|damaged", kind=MediaError)


def test_times_that_are_not_those_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mux = VideoWriter._mux

    def late(self: VideoWriter, packet: Any) -> None:
        if packet is not None and packet.pts == 5 * 512:
            packet.pts += 100
        mux(self, packet)

    monkeypatch.setattr(VideoWriter, "_mux", late)
    refused(grouped_clip(tmp_path / "in.mp4"), r"frame 5 was found at 0\.207813 s; wanted 0\.2")


def test_a_file_of_another_codec(tmp_path: Path) -> None:
    source = grouped_clip(tmp_path / "in.mkv")
    with open_video(source) as reader:
        proof = Proof(source, "vp9", reader.facts)
    with source.open("rb") as file, pytest.raises(VerificationError, match="holds h264; wanted vp9"):
        proof.check_file(file.fileno(), source, array("q"), reader.facts.time_base)


@pytest.mark.parametrize("encoder", ["h264", "hevc", "av1", "vp9", "mjpeg"])
def test_every_encoder_and_container_passes(tmp_path: Path, encoder: str) -> None:
    """What muxers add and take away is no difference."""
    source = grouped_clip(tmp_path / "in.mp4", groups=2)
    preset = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8", "mjpeg": None}[encoder]
    for extension in {"mjpeg": ("avi", "mov"), "vp9": ("webm", "mp4"), "av1": ("webm", "mp4")}.get(
        encoder, ("ts", "mov", "mkv")
    ):
        settings = ArchiveSettings(encoder=encoder, preset=preset, copy_groups=False)
        facts = rewritten(source, tmp_path / f"{encoder}.{extension}", 3, settings=settings)
        assert facts.verified[1].startswith("1 hidden areas in 16 frames hold their fill"), extension


@pytest.mark.parametrize("pixels", [(1, 1, 3, 3), (0, 0, 128, 96), (100, 80, 200, 200), (120, 90, 128, 96)])
def test_areas_of_any_place_and_size(tmp_path: Path, pixels: tuple[int, int, int, int]) -> None:
    source = grouped_clip(tmp_path / "in.mp4", groups=2)

    def hide(captured: CapturedFrame, number: int) -> ReleasedFrame:
        x1, y1, x2, y2 = pixels
        for plane, shift in zip(captured.planes, (0, 1, 1), strict=True):
            plane[y1 >> shift : -(-y2 >> shift), x1 >> shift : -(-x2 >> shift)] = 110
        return seal(captured, pixels)

    facts = rewritten(source, tmp_path / "out.mp4", 0, 9, hide=hide)
    assert facts.verified[1].startswith("16 hidden areas in 16 frames hold their fill")


def test_only_what_makes_the_picture_counts() -> None:
    slice_, sei, second_layer = bytes([2, 1, 7]), bytes([78, 1, 5]), bytes([3, 9, 7])
    content = join_units([sei, slice_, second_layer], start_codes=True)
    assert picture_bytes("hevc", content, 0) == join_units([slice_], start_codes=True)
    assert slices_of(split_units(content, 0), HEVC) == [slice_]
    frame, temporal, padding = bytes([0x32, 2, 1, 2]), bytes([0x12, 0]), bytes([0x7A, 1, 9])
    assert picture_bytes("av1", temporal + frame + padding, 0) == frame
    assert picture_bytes("vp9", b"anything", 0) == b"anything"
    assert set(RULES) == {"h264", "hevc"}


def test_the_fill_is_kept_in_little_memory(tmp_path: Path) -> None:
    """Of a large area every second or fourth line: 64 Ki samples a plane at most."""
    source = make_clip(Clip(tmp_path / "in.mp4", range(1), width=1280, height=720))
    with open_video(source) as reader:
        frame = seal(next(iter(reader)))
        patches = _patches(frame, [(0, 0, 1280, 720)])
    assert [patch.plane for patch in patches] == [0, 1, 2]
    assert all(patch.samples.size <= _MAX_PATCH and patch.samples.base is None for patch in patches)
    assert np.shares_memory(patches[0].samples, frame.planes[0]) is False
