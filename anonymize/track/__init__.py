"""Boxes held over missed frames and predicted along their motion; tracking only ever adds."""

from anonymize.track.tracker import CameraMotion, Tracker

__all__ = ["CameraMotion", "Tracker"]
