"""Description of the machine and of the package versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """The processor, its cores, Python, and the versions of the packages that are installed."""
    processors = Path("/proc/cpuinfo")
    text = processors.read_text() if processors.exists() else ""
    models = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    described: dict[str, Any] = {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],  # load of other processes, if read before measuring
        "python": platform.python_version(),
    }
    for package in packages:
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            described[package] = None
    return described
