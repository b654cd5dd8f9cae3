"""Of a video of the archive nothing travels but pictures, sound and times: also not in groups that are copied."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: pip install vehicle-anonymize[video]")

import av

from tests.archive.video_making import GROUP, decoded, grouped_clip, remade, rewritten, unit
from tests.media.video_samples import FONT_FREE_SUBTITLE, LOCATION

POSITION = b"GPS 48.2082 16.3738 51km/h"
WORDS = bytes([5, 16 + len(POSITION)]) + bytes(range(16)) + POSITION + b"\x80"  # user data, unregistered
H264_STRANGERS = {  # ITU-T H.264 table 7-1
    "supplemental": bytes([6]) + WORDS,
    "filler": bytes([12]) + POSITION,
    "sequence extension": bytes([13]) + POSITION,
    "prefix of a finer layer": bytes([0x6E]) + POSITION,
    "subset sequence": bytes([0x6F]) + POSITION,
    "auxiliary picture": bytes([19]) + POSITION,
    "second view": bytes([0x74]) + POSITION,
    "depth": bytes([0x75]) + POSITION,
    "reserved": bytes([22]) + POSITION,
    "unspecified": bytes([24]) + POSITION,
}
HEVC_STRANGERS = {  # H.265 table 7-1
    "supplemental before": bytes([39 << 1, 1]) + WORDS,
    "supplemental behind": bytes([40 << 1, 1]) + WORDS,
    "filler": bytes([38 << 1, 1]) + POSITION,
    "slice of a second layer": bytes([1 << 1, 1 | 1 << 3]) + POSITION,
    "sequence of a second layer": bytes([33 << 1, 1 | 1 << 3]) + POSITION,
    "slice of layer 32": bytes([1 << 1 | 1, 1]) + POSITION,
    "reserved": bytes([22 << 1, 1]) + POSITION,
    "unspecified": bytes([48 << 1, 1]) + POSITION,
}


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("kind", "strangers"), [("h264", H264_STRANGERS), ("hevc", HEVC_STRANGERS)])
def test_only_slices_and_parameter_sets_are_copied(
    tmp_path: Path, kind: str, strangers: dict[str, bytes], extension: str
) -> None:
    """Each kind of unit that may carry anything lies before or behind the picture of a copied group."""
    names = list(strangers)
    plain = grouped_clip(tmp_path / "plain.mp4", kind)

    def told(packet: object, number: int) -> bytes:
        content = bytes(packet)  # type: ignore[call-overload]
        if number % 3:  # before it, except what may only lie behind
            return content
        name = names[number // 3 % len(names)]
        behind = name in ("auxiliary picture", "second view", "depth", "supplemental behind", "filler")
        stranger = unit(strangers[name])
        return content + stranger if behind else stranger + content

    source = remade(plain, tmp_path / "in.mp4", told)
    assert source.read_bytes().count(POSITION) == 11
    target = tmp_path / f"out.{extension}"
    facts = rewritten(source, target, 0)
    assert (facts.fall_back, facts.copied_groups) == ("", 3)
    assert POSITION not in target.read_bytes()
    before, after = decoded(plain), decoded(target)
    assert [one[1] for one in before[GROUP:]] == [one[1] for one in after[GROUP:]]


@pytest.mark.parametrize("kind", ["h264", "hevc"])
def test_the_encoders_words_do_not_travel(tmp_path: Path, kind: str) -> None:
    """x264 and x265 write their name and settings into the first picture, x265 into the head, too."""
    source = grouped_clip(tmp_path / "in.mp4", kind)
    name = b"x264 - core" if kind == "h264" else b"x265 (build"
    assert name in source.read_bytes()
    rewritten(source, tmp_path / "out.mp4", GROUP)
    assert name not in (tmp_path / "out.mp4").read_bytes()


@pytest.mark.parametrize("numbers", [(), (0,), range(4 * GROUP)], ids=["copied", "mixed", "encoded"])
@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_nothing_beside_the_pictures_travels(
    tmp_path: Path, extension: str, numbers: tuple[int, ...]
) -> None:
    mp4 = extension == "mp4"
    title = "Anna Example on her way home"
    source = grouped_clip(
        tmp_path / f"in.{extension}", telemetry=mp4, cover=mp4, second_video=not mp4, chapters=True,
        subtitles="mov_text" if mp4 else "subrip", sound="aac",
        metadata={"title": title, "comment": LOCATION, "location": LOCATION},
    )  # fmt: skip
    words = [title.encode(), b"Kirchengasse", FONT_FREE_SUBTITLE, LOCATION.encode()]
    content = source.read_bytes()
    assert all(word in content for word in words)
    target = tmp_path / f"out.{extension}"
    facts = rewritten(source, target, *numbers)
    assert facts.copied_groups == (0 if len(numbers) > 1 else 4 - len(numbers))
    written = target.read_bytes()
    assert [word for word in words if word in written] == []
    with av.open(str(target)) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
        assert not container.chapters()
    named = " ".join(facts.removed)
    for what in ("subtitles", "chapters", "metadata", "cover picture" if mp4 else "second video"):
        assert what in named


def test_words_beside_the_video_stream_itself(tmp_path: Path) -> None:
    plain = grouped_clip(tmp_path / "plain.mov")
    source = tmp_path / "in.mov"
    with av.open(str(plain)) as container, av.open(str(source), "w") as output:
        stream = container.streams.video[0]
        written = output.add_stream_from_template(stream)
        written.metadata["handler_name"] = "Annas Kamera"
        written.metadata["encoder"] = "Serial SN-4711"
        for packet in container.demux(stream):
            if packet.size:
                packet.stream = written
                output.mux(packet)
    assert b"Annas Kamera" in source.read_bytes() and b"SN-4711" in source.read_bytes()
    rewritten(source, tmp_path / "out.mov", 0)
    assert b"Anna" not in (tmp_path / "out.mov").read_bytes()
    assert b"SN-4711" not in (tmp_path / "out.mov").read_bytes()
