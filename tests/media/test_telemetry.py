"""The telemetry track of a video: one, of the kind that is read, or an error; the file is opened as any video is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from anonymize.errors import MediaError
from anonymize.media.telemetry import is_film, read_telemetry

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")


def film(path: Path, *tracks: list[tuple[int, bytes]]) -> Path:
    """A film of one picture with data tracks of (time in ms, content)."""
    with av.open(str(path), "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        streams = [output.add_data_stream("bin_data") for _ in tracks]
        output.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        output.mux(video.encode(None))
        for stream, packets in zip(streams, tracks, strict=True):
            # the last packet of a track without durations is not handed out again
            for at_ms, content in [*packets, (5000, b"end")]:
                packet = av.Packet(content)
                packet.stream, packet.time_base = stream, Fraction(1, 1000)
                packet.pts = packet.dts = at_ms
                output.mux(packet)
    return path


def test_packets_come_with_their_times(tmp_path):
    path = film(tmp_path / "a.mp4", [(0, b"DEVC0"), (1001, b"DEVC1"), (1500, b"other")])
    telemetry = read_telemetry(path)
    assert telemetry.packets == ((0.0, b"DEVC0"), (1.001, b"DEVC1"))
    assert "DEVC" not in repr(telemetry)


@pytest.mark.parametrize(
    ("tracks", "count"), [([], 0), ([[(0, b"48.2 N 16.3 E")]], 0), ([[(0, b"DEVC0")], [(0, b"DEVC1")]], 2)]
)
def test_no_track_and_two_tracks_are_refused(tmp_path, tracks, count):
    with pytest.raises(MediaError, match=f"{count} telemetry tracks") as caught:
        read_telemetry(film(tmp_path / "a.mp4", *tracks))
    assert "48.2" not in str(caught.value)


def test_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("anonymize.media.telemetry.MOST_BYTES", 12)
    with pytest.raises(MediaError, match="split the file"):
        read_telemetry(film(tmp_path / "a.mp4", [(0, b"DEVC0000"), (1000, b"DEVC1111")]))


@pytest.mark.parametrize(
    "content", [b"", b"ffconcat version 1.0\nfile other.mp4\n", b"\0\0\0\x18ftypmp42" + b"\0" * 40]
)
def test_what_is_no_film_is_refused(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError):
        read_telemetry(path)
    with pytest.raises(MediaError, match="cannot be opened"):
        read_telemetry(tmp_path / "none.mp4")


def test_films_are_told_by_their_beginning(tmp_path):
    assert is_film(film(tmp_path / "a.bin", []))
    (tmp_path / "b.mp4").write_text("time_s,lon_deg,lat_deg\n")
    assert not is_film(tmp_path / "b.mp4")
    assert not is_film(tmp_path / "none")
    assert not is_film(tmp_path)


def test_a_real_one(data_dir):
    packets = read_telemetry(data_dir / "video" / "action_camera_telemetry.mp4").packets
    assert [round(start_s, 3) for start_s, _ in packets] == [round(1.001 * k, 3) for k in range(11)]
