"""The gate: which frames may be taken at all, and which may be let go."""

from anonymize.zones.gate import Gate, OpenGate

__all__ = ["Gate", "OpenGate"]
