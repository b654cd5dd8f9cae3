"""Stands for a camera process: publishes the frames of a video as raw frames, at their pace.

python examples/shared_memory/camera.py FOLDER drive.mp4
"""

import sys
import time
from pathlib import Path

import anonymize
from anonymize.live.shared_frames import Link
from anonymize.live.shared_header import needed_bytes


def main(folder: str, video: str) -> None:
    """Publish every frame when it is due."""
    with anonymize.open_video(video) as frames, Link(Path(folder)) as link:
        publisher, begun_s, first_s, sent = None, 0.0, 0.0, 0
        for captured in frames:
            due_s = float(captured.pts * captured.time_base)
            if publisher is None:
                size = needed_bytes(captured.pixel_format, captured.width, captured.height)
                publisher = link.publish_raw(captured.camera, size)
                time.sleep(1.0)  # let the others find it
                begun_s, first_s = time.monotonic(), due_s
            time.sleep(max(0.0, begun_s + due_s - first_s - time.monotonic()))
            publisher.publish(captured)
            sent += 1
        time.sleep(1.0)  # what was sent is gone once nobody publishes any more
        print(f"camera: {sent} frames sent")


if __name__ == "__main__":
    main(*sys.argv[1:])
