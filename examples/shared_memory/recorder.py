"""Stands for a recorder or a display: sees hidden frames alone, and encodes them as Motion JPEG.

python examples/shared_memory/recorder.py FOLDER hidden.avi [SECONDS WITHOUT A FRAME AFTER WHICH IT ENDS]
"""

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from anonymize.live.shared_frames import HiddenFrame, Link


def picture(hidden: HiddenFrame) -> av.VideoFrame:
    """The frame for PyAV, in memory of its own."""
    layout = hidden.header.layout
    frame = av.VideoFrame(layout.width, layout.height, str(layout.pixel_format))
    for ours, plane in zip(frame.planes, hidden.planes, strict=True):
        lines = np.frombuffer(ours, np.uint8).reshape(-1, ours.line_size)
        content = plane.reshape(plane.shape[0], -1)
        lines[: content.shape[0], : content.shape[1]] = content
    return frame


def main(folder: str, output: str, patience_s: str = "30") -> None:
    """Write frames until none comes any more."""
    count = 0
    with Link(Path(folder)) as link, av.open(output, "w") as container:
        frames = link.hidden_frames("front")
        print("recorder: ready", flush=True)
        stream = None
        while (hidden := frames.receive(float(patience_s))) is not None:
            if hidden.header.predicted_only:
                continue  # the network never looked at it (late="predict"): fit to be shown, not to be kept
            if stream is None:
                stream = container.add_stream("mjpeg", rate=Fraction(30), pix_fmt="yuvj420p")
                stream.width, stream.height = hidden.header.layout.width, hidden.header.layout.height
            container.mux(stream.encode(picture(hidden)))
            count += 1
        if stream is not None:
            container.mux(stream.encode())
    print(f"recorder: {count} frames written")


if __name__ == "__main__":
    main(*sys.argv[1:])
