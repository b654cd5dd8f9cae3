"""Importing the gate loads no geometry, no parser and no kernel: a vehicle without zones pays nothing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ["gpxpy", "pynmea2", "shapely", "numba", "tuf", "cryptography", "onnxruntime", "cv2", "av"]


def test_the_gate_loads_nothing_heavy():
    code = (
        "import sys, anonymize.zones, anonymize.zones.zone_gate, anonymize.zones.feeds, anonymize.zones.track_check\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
