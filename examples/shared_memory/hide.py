"""The only process that sees raw frames besides the camera's: hides them and publishes what was released.

python examples/shared_memory/hide.py FOLDER WIDTH HEIGHT PIXEL_FORMAT [SECONDS WITHOUT A FRAME AFTER WHICH IT ENDS]
"""

import sys
from pathlib import Path

import anonymize
from anonymize.kernel_cache import use_kernel_cache
from anonymize.live.shared_frames import Link
from anonymize.live.shared_header import needed_bytes


def main(folder: str, width: str, height: str, pixel_format: str, patience_s: str = "30") -> None:
    """Hide frame after frame until none comes any more."""
    use_kernel_cache()
    engine = anonymize.Engine()  # it copies: the shared memory itself stays as it came, and is read-only
    engine.warm_up(width=int(width), height=int(height), pixel_format=pixel_format)
    most_bytes = needed_bytes(pixel_format, int(width), int(height))
    with Link(Path(folder)) as link:
        frames, publisher, sent = link.raw_frames("front"), link.publish_hidden("front", most_bytes), 0
        print("hide: ready", flush=True)
        while (captured := frames.receive(float(patience_s))) is not None:
            outcomes = engine.process(captured)
            del captured  # the slot is the camera's again
            for outcome in outcomes:
                if isinstance(outcome, anonymize.ReleasedFrame):
                    publisher.publish(outcome)  # takes nothing else
                    sent += 1
        counts = f"{sent} frames sent, {frames.missed} missed, {frames.refused} refused"
        print(f"hide: {counts}, dropped: {dict(engine.dropped) or 0}")


if __name__ == "__main__":
    main(*sys.argv[1:])
