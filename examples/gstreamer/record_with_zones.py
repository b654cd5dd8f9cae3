"""Record a camera hidden, without the frames near restricted zones. Run it with the system's Python (docs/live.md).

python3 examples/gstreamer/record_with_zones.py 'v4l2src ! video/x-raw,width=1280' hidden.mkv site.toml /dev/ttyACM0
my_receiver | python3 examples/gstreamer/record_with_zones.py 'v4l2src ! video/x-raw,width=1280' hidden.mkv site.toml

Without a receiver's device, positions come on standard input as they are measured, a line each:
`time_s lon_deg lat_deg accuracy_m` (UTC, s since 1970; degrees, WGS 84; radius that holds 68 % of the error, m).
"""

import math
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402


def feed(element: Gst.Element) -> None:
    """Give each position on at once: a fix that comes late is worth nothing."""
    for line in sys.stdin:
        time_s, lon_deg, lat_deg, accuracy_m = map(float, line.split())
        not_known = math.nan  # wheel speed (m/s) and heading (degrees), where you have them
        element.emit("fix", lon_deg, lat_deg, accuracy_m, time_s, 3, False, not_known, not_known)


def main(source: str, output: str, config: str, receiver: str = "") -> int:
    """Run until the source ends or the pipeline stops; 0 if it ended by itself."""
    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"{source} ! videoconvert ! queue max-size-buffers=2 leaky=downstream ! vehicleanonymizehold name=hide ! "
        "queue max-size-time=0 max-size-bytes=0 max-size-buffers=60 ! "
        f"videoconvert ! jpegenc quality=90 ! matroskamux ! filesink location={output}"
    )
    hide = pipeline.get_by_name("hide")
    hide.set_property("config", config)
    hide.set_property("nmea", receiver)
    pipeline.set_state(Gst.State.PLAYING)
    if not receiver:
        threading.Thread(target=feed, args=(hide,), daemon=True).start()
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
    try:
        while True:
            message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, wanted)
            if message.type == Gst.MessageType.EOS:
                print(hide.get_property("stats").to_string())
                return 0
            if message.type == Gst.MessageType.ERROR:
                print(message.parse_error()[0].message, file=sys.stderr)
                return 1
            print(message.parse_warning()[0].message, file=sys.stderr)
    finally:
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
