"""What a video of the archive costs besides the network, against plain decoding and encoding; and its memory.

    python bench/archive.py                  # cost, some minutes
    python bench/archive.py --rounds 5
    python bench/archive.py --hour           # peak memory over an hour of film, some minutes
    python bench/archive.py --fill           # how near to its fill an area is after coding, by encoder and quality

Sources are clips of `../shared/data/video`, their frames repeated to 20 groups of a second or half a second, coded
by x264 veryfast at CRF 20 into a folder in memory. Boxes are drawn by a fixed rule in 5, 30 and 100 % of the groups,
six a frame. *Plain* is PyAV alone: decode, encode with the same encoder and settings, write. *Ours* is the decoding
of the first pass (where the network would look), and `rewrite_video` with everything: hiding, encoding, comparing
and reading back. One thread each; processor time of this process, which other work on the machine disturbs least;
rounds take turns, and the medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from anonymize.archive.video_rewrite import RewriteFacts, rewrite_video
from anonymize.archive.work import ArchiveSettings
from anonymize.frames import (
    Box,
    CapturedFrame,
    FrameMemory,
    Label,
    Origin,
    ReleasedFrame,
    _seal_anonymized,
    _seal_released,
)
from anonymize.media.video import open_video

VIDEO = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "video"
MEMORY = Path("/dev/shm")
GROUPS = 20
SHARES = (0.05, 0.30, 1.0)
CLIPS = {"720p": ("us_highway_720p.mp4", 25), "1080p": ("car_passing_1080p.mp4", 12)}
RATE = 25
FILLS = (("h264", None), ("h264", 32), ("hevc", None), ("hevc", 32), ("av1", None), ("vp9", None), ("mjpeg", None),
         ("mjpeg", 12))  # fmt: skip
SETTINGS = ArchiveSettings(audio="drop")
CODEC = {"preset": "veryfast", "crf": "20"}


def frames_of(path: Path, count: int) -> Iterator[Any]:
    """`count` decoded frames, from the start again when the clip ends."""
    while count > 0:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                if count == 0:
                    return
                count -= 1
                yield frame


def make_source(folder: Path, name: str, b_frames: int) -> Path:
    """A film of `GROUPS` groups."""
    clip, length = CLIPS[name]
    path = folder / f"{name}-{b_frames}.mp4"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=RATE)
        stream.options = {**CODEC, "g": str(length), "bf": str(b_frames), "sc_threshold": "0"}
        for number, frame in enumerate(frames_of(VIDEO / clip, GROUPS * length)):
            if not number:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, RATE), 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def plain(source: Path, target: Path, b_frames: int) -> None:
    """Decode and encode, one thread, nothing else."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        stream: Any = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {**CODEC, "bf": str(b_frames)}
        for frame in container.decode(video):
            frame.pict_type = 0
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


class Boxes:
    """Six boxes a frame in every group that is marked."""

    def __init__(self, length: int, share: float, groups: int = GROUPS) -> None:
        wanted = max(1, round(share * groups))
        self.marked = {int((index + 0.5) * groups / wanted) for index in range(wanted)}
        self.length = length

    def has_boxes(self, number: int) -> bool:
        """Whether the frame lies in a marked group."""
        return number // self.length in self.marked

    def hide(self, captured: CapturedFrame, number: int) -> ReleasedFrame:
        """The boxes filled with one colour."""
        width, height = captured.width, captured.height
        hidden = []
        for index in range(6):
            side = height // (8 + 4 * index) & ~1
            x = (width * index // 7 + 4 * number) % (width - 2 * side) & ~1
            y = height * (3 + index) // 10 & ~1
            area = (x, y, x + 2 * side, y + side)
            for plane, shift in zip(captured.planes, (0, 1, 1), strict=True):
                plane[area[1] >> shift : area[3] >> shift, area[0] >> shift : area[2] >> shift] = 110
            hidden.append(Box(Label.PLATE, tuple(map(float, area)), 0.9, Origin.DETECTED, area))  # type: ignore[arg-type]
        frame = _seal_anonymized(captured, captured.planes, FrameMemory(), boxes=tuple(hidden))
        return _seal_released(frame)


def first_pass(source: Path) -> None:
    """The decoding that the network needs."""
    with open_video(source) as reader:
        for _ in reader:
            pass


def rewrite(
    source: Path, target: Path, boxes: Boxes, progress: Callable[[int], None] = lambda _: None
) -> RewriteFacts:
    """Pass 2, whole."""
    target.unlink(missing_ok=True)
    return rewrite_video(
        source, target, has_boxes=boxes.has_boxes, hide=boxes.hide, settings=SETTINGS,
        progress=progress, check_stop=lambda: None,
    )  # fmt: skip


def cpu_s(work: Callable[[], Any]) -> float:
    """Processor time of this process, s."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def compare(folder: Path, name: str, b_frames: int, rounds: int) -> None:
    """One size: the table's rows."""
    source = make_source(folder, name, b_frames)
    length = CLIPS[name][1]
    target = folder / "out.mp4"
    loads = {share: Boxes(length, share) for share in SHARES}
    taken: dict[Any, list[float]] = {key: [] for key in ("plain", "first", *SHARES)}
    for _ in range(rounds):
        taken["plain"].append(cpu_s(lambda: plain(source, target, b_frames)))
        taken["first"].append(cpu_s(lambda: first_pass(source)))
        for share, boxes in loads.items():
            taken[share].append(cpu_s(lambda boxes=boxes: rewrite(source, target, boxes)))
    middle = {key: statistics.median(values) for key, values in taken.items()}
    frames = GROUPS * length
    for share, boxes in loads.items():
        facts = rewrite(source, target, boxes)
        whole = middle["first"] + middle[share]
        print(
            f"{name}  B pictures {b_frames}  {share:4.0%} of groups: {whole / middle['plain']:.2f} x plain "
            f"(first pass {middle['first'] / middle['plain']:.2f}, rewriting {middle[share] / middle['plain']:.2f}; "
            f"plain {1e3 * middle['plain'] / frames:.1f} ms a frame, {rounds} rounds); "
            f"{facts.copied_groups} of {facts.groups} groups copied {facts.fall_back}"
        )


def measure_fill(folder: Path) -> None:
    """The largest differences between fill and file, for the tolerance of the proof."""
    source, length = VIDEO / CLIPS["720p"][0], 38
    for encoder, quality in FILLS:
        settings = ArchiveSettings(encoder=encoder, quality=quality, audio="drop")
        boxes, target = Boxes(length, 1.0, groups=1), folder / "out.mkv"
        target.unlink(missing_ok=True)
        facts = rewrite_video(
            source, target, has_boxes=boxes.has_boxes, hide=boxes.hide, settings=settings,
            progress=lambda _: None, check_stop=lambda: None,
        )  # fmt: skip
        print(f"{encoder:6} quality {quality or 'default'}: {facts.verified[1]}")


def resident_mib() -> float:
    """Memory of this process, MiB."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def measure_hour(folder: Path, seconds: int) -> None:
    """Memory along a film of small pictures, made by repeating the packets of a short one."""
    length, short, long = RATE, folder / "short.mp4", folder / "long.mp4"
    with av.open(str(short), "w") as output:
        stream: Any = output.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {**CODEC, "preset": "ultrafast", "g": str(length), "bf": "0", "sc_threshold": "0"}
        for number, frame in enumerate(frames_of(VIDEO / "us_highway_540p.mp4", 8 * length)):
            small = frame.reformat(320, 180, "yuv420p")
            small.pts, small.time_base, small.pict_type = number, Fraction(1, RATE), 0
            output.mux(stream.encode(small))
        output.mux(stream.encode(None))
    with av.open(str(short)) as container, av.open(str(long), "w") as output:
        video = container.streams.video[0]
        stream = output.add_stream_from_template(video)
        packets = [(bytes(p), p.is_keyframe, p.pts) for p in container.demux(video) if p.size]
        span = int(8 / video.time_base)
        for turn in range(seconds // 8):
            for content, key, pts in packets:
                packet = av.Packet(content)
                packet.pts = packet.dts = pts + turn * span
                packet.time_base, packet.is_keyframe, packet.stream = video.time_base, key, stream
                output.mux(packet)
    seen: list[float] = []
    size = long.stat().st_size
    boxes = Boxes(length, 0.3, groups=seconds)

    def note(done: int) -> None:
        if done * 20 // size >= len(seen):
            seen.append(resident_mib())

    begun = time.process_time()
    facts = rewrite(long, folder / "out.mp4", boxes, note)
    print(
        f"{facts.frames:,} frames, {seconds} s of film, {size / 2**20:.0f} MiB, {facts.copied_groups:,} of "
        f"{facts.groups:,} groups copied, {time.process_time() - begun:.0f} s of processor time; resident MiB at "
        f"5 % steps: {' '.join(f'{value:.0f}' for value in seen)}, at the end {resident_mib():.0f}"
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--b-frames", type=int, default=0)
    parser.add_argument("--hour", nargs="?", type=int, const=3600, help="seconds of film (3600)")
    parser.add_argument("--fill", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        if chosen.hour:
            measure_hour(Path(name), chosen.hour)
        elif chosen.fill:
            measure_fill(Path(name))
        else:
            for size in CLIPS:
                compare(Path(name), size, chosen.b_frames, chosen.rounds)


if __name__ == "__main__":
    main()
