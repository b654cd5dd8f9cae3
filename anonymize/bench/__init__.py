"""Latency and throughput of the engine on this machine: each run in a process of its own, every frame counted."""
