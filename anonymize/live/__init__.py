"""Live transports around the engine: the GStreamer element and frames between processes.

Nothing here is loaded by the rest of the package. `gstreamer/python/` is what GStreamer's Python loader reads with
the system's Python; `shared_frames` needs the extra `shared-memory`.
"""
