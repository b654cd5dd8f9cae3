"""What the machine says of itself: enough to tell two apart, nothing that names its owner (no host, user or path)."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Final

CPUS: Final = Path("/sys/devices/system/cpu")
THERMAL: Final = Path("/sys/class/thermal")
POWERCAP: Final = Path("/sys/class/powercap")
PARTS: Final = ("vehicle-anonymize", "numpy", "numba", "llvmlite", "onnxruntime", "av")


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def facts() -> dict[str, Any]:
    """What stays as it is during a run."""
    lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = values.get("flags", values.get("Features", "")).split()
    memory = (_read(Path("/proc/meminfo")) or "").partition("MemTotal:")[2].split()
    return {
        "cpu": values.get("model name") or values.get("Model") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "cores": cores(),
        "memory_gb": round(int(memory[0]) / 2**20, 1) if memory else None,
        "virtual": "hypervisor" in flags,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PARTS if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def state() -> dict[str, Any]:
    """What changes: governor, clock rate and temperature where the system tells them (None elsewhere), load average."""
    governors = {word for cpu in CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor") if (word := _read(cpu))}
    rates = [
        int(word) / 1000 for cpu in CPUS.glob("cpu[0-9]*/cpufreq/scaling_cur_freq") if (word := _read(cpu))
    ]
    zones = [int(word) / 1000 for zone in THERMAL.glob("thermal_zone*/temp") if (word := _read(zone))]
    if not rates:
        lines = (_read(Path("/proc/cpuinfo")) or "").splitlines()
        rates = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return {
        "governor": ", ".join(sorted(governors)) or None,
        "frequency_mhz": [round(min(rates)), round(max(rates))] if rates else None,
        "temperature_c": round(max(zones), 1) if zones else None,
        "load_average": round(os.getloadavg()[0], 2),
    }


def warnings(before: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """What makes figures of this machine doubtful."""
    lines = []
    if before["governor"] not in (None, "performance"):
        lines.append(f"the governor is {before['governor']}; for figures that hold, set it to performance")
    if before["load_average"] > 0.3 * known["cores"]:
        lines.append(
            f"load average {before['load_average']} on {known['cores']} cores: other work disturbs these figures"
        )
    if known["virtual"]:
        lines.append("this is a virtual machine: its host can take the processor away (see stolen time)")
    return lines


def peak_memory_mb() -> float | None:
    """The most that this process ever held in memory, MB, since it began or `reset_peak_memory`."""
    return _memory_mb("VmHWM:")


def memory_mb() -> float | None:
    """What this process holds in memory, MB."""
    return _memory_mb("VmRSS:")


def _memory_mb(name: str) -> float | None:
    words = (_read(Path("/proc/self/status")) or "").partition(name)[2].split()
    return round(int(words[0]) * 1024 / 1e6, 1) if words else None


def reset_peak_memory() -> bool:
    """Let the peak begin anew; False where the system does not allow it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
    except OSError:
        return False
    return True


def stolen_s() -> float | None:
    """Time that the host took from all cores of this virtual machine since it began, s."""
    words = (_read(Path("/proc/stat")) or "").partition("\n")[0].split()
    return int(words[8]) / os.sysconf("SC_CLK_TCK") if len(words) > 8 else None


class Energy:
    """Energy of the processor's packages between making this and `watts`, from RAPL."""

    def __init__(self, root: Path = POWERCAP) -> None:
        zones = [zone for zone in sorted(root.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._zones = {zone: joules for zone in zones if (joules := self._joules(zone)) is not None}

    @staticmethod
    def _joules(zone: Path) -> float | None:
        word = _read(zone / "energy_uj")
        return int(word) / 1e6 if word and word.isdigit() else None

    def watts(self, seconds: float) -> float | None:
        """Mean power over the `seconds` since; None where the system does not tell."""
        if not self._zones or seconds <= 0:
            return None
        total = 0.0
        for zone, before in self._zones.items():
            after = self._joules(zone)
            if after is None:
                return None
            limit = _read(zone / "max_energy_range_uj")
            total += after - before if after >= before else after - before + int(limit or 0) / 1e6
        return round(total / seconds, 2)
