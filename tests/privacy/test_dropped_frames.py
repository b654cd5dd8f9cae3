"""SAFETY 3, for files: a frame that is left out leaves no residue, for the encoder never sees it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import anonymize.cli.work
from anonymize.cli import main
from anonymize.drawing import draw_street
from anonymize.errors import DetectorError

av = pytest.importorskip("av", reason="video needs PyAV, the extra [video]")


@pytest.fixture
def secret() -> np.ndarray:
    """A pattern of 8 px squares, as strong as a plate's characters."""
    squares = np.random.default_rng(11).integers(0, 2, (45, 80)) * 80 - 40
    return np.kron(squares, np.ones((8, 8)))


@pytest.fixture
def clip(tmp_path: Path, secret: np.ndarray) -> Path:
    street = draw_street(640, 360)[0]
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number in range(9):
            rgb = street.astype(float) + (secret[..., None] if number == 4 else 0)
            picture = av.VideoFrame.from_ndarray(np.clip(rgb, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def strengths(path: Path, secret: np.ndarray) -> list[float]:
    """How much of the pattern stands in each frame but the first, beside the street: 1 where it was put."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray").astype(float) for frame in container.decode(video=0)]
    return [abs(float(((frame - frames[0]) * secret).mean() / (secret**2).mean())) for frame in frames[1:]]


def test_nothing_of_a_dropped_frame_is_in_later_ones(clip, secret, tmp_path, monkeypatch, capsys):
    assert max(strengths(clip, secret)) > 0.7  # the pattern can be seen where it is
    hide = anonymize.cli.work.Engine._hide

    def fails_on_the_secret(self, captured, camera, *due):
        if camera is self._cameras["front"] and captured.pts * captured.time_base * 30 == 4:
            raise DetectorError("told to")
        return hide(self, captured, camera, *due)

    monkeypatch.setattr(anonymize.cli.work.Engine, "_hide", fails_on_the_secret)
    target = tmp_path / "out.mp4"
    assert main(["run", str(clip), "-o", str(target), "--on-error", "skip-frame", "--json", "--fast"]) == 0
    assert json.loads(capsys.readouterr().out)["frames_dropped"] == {"detector_error": 1}
    left = strengths(target, secret)
    assert len(left) == 7
    assert max(left) < 0.05
