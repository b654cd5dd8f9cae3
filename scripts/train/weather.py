"""Colour, dark, blur, noise and JPEG damage, each as cheap as a table or one filter."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def tint(pixels: Pixels, rng: np.random.Generator, *, night: float = 0.12) -> Pixels:
    """Return the pixels under another light: gain, gamma, colour cast; one table look-up."""
    ramp = np.arange(256) / 255.0
    dark = rng.random() < night
    gamma = rng.uniform(1.2, 1.9) if dark else np.exp(rng.normal(0, 0.22))
    gain = rng.uniform(0.5, 0.95) if dark else np.exp(rng.normal(0, 0.18))
    cast = np.exp(rng.normal(0, 0.14 if rng.random() < 0.25 else 0.04, 3))
    offset = rng.normal(0, 0.04)
    curves = np.clip(ramp[:, None] ** gamma * gain * cast + offset, 0, 1) * 255
    out = cv2.LUT(pixels, curves.astype(np.uint8)[None])
    if rng.random() < 0.07:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(out, np.uint8)


def spoil(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return the canvas as a poor camera would give it."""
    if rng.random() < 0.12:
        pixels = motion_blur(pixels, int(rng.integers(3, 8)), float(rng.uniform(0, 180)))
    elif rng.random() < 0.08:
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.4, 1.3))), np.uint8)
    if rng.random() < 0.12:
        noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        tiled = np.tile(noise, (pixels.shape[0] // 64 + 1, pixels.shape[1] // 64 + 1, 1))
        tiled = tiled[: pixels.shape[0], : pixels.shape[1]]
        strength = float(rng.uniform(0.02, 0.14))
        pixels = np.asarray(cv2.addWeighted(pixels, 1.0, tiled, strength, -127.5 * strength), np.uint8)
    if rng.random() < 0.18:
        quality = int(rng.integers(25, 80))
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return pixels


def motion_blur(pixels: Pixels, length_px: int, angle_deg: float) -> Pixels:
    """Return the pixels smeared along a line."""
    kernel = np.zeros((length_px, length_px), np.float32)
    kernel[length_px // 2] = 1
    matrix = cv2.getRotationMatrix2D(((length_px - 1) / 2,) * 2, angle_deg, 1.0)
    kernel = cv2.warpAffine(kernel, matrix, (length_px, length_px))
    return np.asarray(cv2.filter2D(pixels, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)
