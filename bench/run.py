"""Frames a second of `anonymize run` against a plain decode and encode: `python bench/run.py CLIP [--fast]`.

Both use the same encoder settings and all cores, in turn, several times in one run; hiding pays for detection.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

import av

from anonymize.cli import main as anonymize
from anonymize.media.video import open_video


def plain_s(clip: Path, target: Path, options: dict[str, str]) -> float:
    """Seconds to decode and encode all frames with the encoder that `anonymize run` takes."""
    start_s = time.perf_counter()
    with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
        stream = source.streams.video[0]
        out = sink.add_stream("libx264", rate=stream.average_rate, options=options)
        out.width, out.height, out.pix_fmt = stream.width, stream.height, "yuv420p"
        out.codec_context.thread_count = 0
        for frame in source.decode(stream):
            frame.pict_type = 0
            sink.mux(out.encode(frame))
        sink.mux(out.encode(None))
    return time.perf_counter() - start_s


def hidden_s(clip: Path, target: Path, words: list[str]) -> float:
    """Seconds of `anonymize run` in this process, kernels loaded before."""
    start_s = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        if anonymize(["run", str(clip), "-o", str(target), "--overwrite", "--quiet", *words]):
            raise SystemExit("anonymize run failed")
    return time.perf_counter() - start_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--preset", default="veryfast")
    parser.add_argument("--crf", default="20")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with open_video(options.clip) as reader:
        frames = sum(1 for _ in reader)
    words = ["--preset", options.preset, "--quality", options.crf] + ["--fast"] * options.fast
    with tempfile.TemporaryDirectory() as folder:
        hidden_s(options.clip, Path(folder, "warm.mp4"), words)
        rounds = [
            (
                plain_s(
                    options.clip, Path(folder, "plain.mp4"), {"preset": options.preset, "crf": options.crf}
                ),
                hidden_s(options.clip, Path(folder, "hidden.mp4"), words),
            )
            for _ in range(options.repeats)
        ]
    plain, hidden = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{options.clip.name}: {frames} frames, preset {options.preset}, crf {options.crf}")
    print(f"  plain decode + encode  {frames / plain:7.1f} frames/s")
    print(f"  anonymize run          {frames / hidden:7.1f} frames/s, {hidden / plain:.2f} times as long")


if __name__ == "__main__":
    main()
