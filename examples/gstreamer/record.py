"""Records a hidden video and tells what was dropped, and why. Run it with the system's Python, as docs/live.md says.

python3 examples/gstreamer/record.py 'v4l2src ! video/x-raw,width=1280,height=720' hidden.mkv
python3 examples/gstreamer/record.py 'filesrc location=drive.mp4 ! decodebin' hidden.mkv
"""

import sys
from collections import Counter

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def main(source: str, output: str) -> int:
    """Run until the source ends or the pipeline stops; 0 if it ended by itself."""
    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"{source} ! videoconvert ! queue max-size-buffers=2 ! vehicleanonymize name=hide ! "
        f"videoconvert ! jpegenc quality=90 ! matroskamux ! filesink location={output}"
    )
    dropped: Counter[str] = Counter()
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.ELEMENT
    pipeline.set_state(Gst.State.PLAYING)
    try:
        while True:
            message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, wanted)
            structure = message.get_structure()
            if message.type == Gst.MessageType.ELEMENT:
                if structure.has_name("vehicleanonymize-dropped"):
                    dropped[structure.get_string("reason")] += 1
                continue
            if message.type == Gst.MessageType.ERROR:
                print(message.parse_error()[0].message, file=sys.stderr)
                return 1
            print(
                f"dropped: {dict(dropped)}; {pipeline.get_by_name('hide').get_property('stats').to_string()}"
            )
            return 0
    finally:
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
