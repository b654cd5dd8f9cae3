"""The network's input from its definition, overlaps as float64 matrices: twin of `anonymize_kernels.preprocess`."""

from __future__ import annotations

import numpy as np


def overlap_shares(picture_px, network_px, sample_px=1):
    """(network_px, samples) shares: how much of network px n lies over sample s, each `sample_px` picture px wide."""
    samples = -(-picture_px // sample_px)
    edges = np.arange(network_px + 1) * (picture_px / network_px)
    left, right = edges[:-1, None], edges[1:, None]
    sample_left = np.arange(samples)[None, :] * sample_px
    overlap = np.minimum(right, sample_left + sample_px) - np.maximum(left, sample_left)
    return np.clip(overlap, 0, None) / (right - left)


def area_means(plane, picture_size, network_size, sample_px=(1, 1)):
    """Mean of `plane` over each network px; sizes and `sample_px` are (rows, columns)."""
    down, across = (overlap_shares(*both) for both in zip(picture_size, network_size, sample_px, strict=True))
    return down @ np.asarray(plane, np.float64) @ across.T


def to_input(channels, table):
    """(3, h, w) float64 input from three channels (h, w) on the 8-bit scale and a (3, 6) table."""
    table = np.asarray(table, np.float64)
    mixed = np.einsum("oc,chw->ohw", table[:, :3], np.stack(channels)) + table[:, 3, None, None]
    return np.clip(mixed, 0, 255) * table[:, 4, None, None] + table[:, 5, None, None]


def packed_to_input(picture, network_size, table):
    """`picture` (H, W, 3); `network_size` (rows, columns)."""
    size = picture.shape[:2]
    return to_input([area_means(picture[..., c], size, network_size) for c in range(3)], table)


def gray_to_input(luma, network_size, table):
    """`luma` (H, W)."""
    means = area_means(luma, luma.shape, network_size)
    return to_input([means, np.zeros_like(means), np.zeros_like(means)], table)


def planar_to_input(luma, u, v, shifts, bits, network_size, table):
    """`luma` (H, W), `u` and `v` smaller by `shifts` (rows, columns), of `bits` bits."""
    sample_px = (1 << shifts[0], 1 << shifts[1])
    means = [area_means(luma, luma.shape, network_size)]
    means += [area_means(plane, luma.shape, network_size, sample_px) for plane in (u, v)]
    return to_input([mean / 2.0 ** (bits - 8) for mean in means], table)


def nv12_to_input(luma, chroma, network_size, table):
    """`luma` (H, W), `chroma` (ceil(H / 2), ceil(W / 2), 2)."""
    return planar_to_input(luma, chroma[..., 0], chroma[..., 1], (1, 1), 8, network_size, table)
