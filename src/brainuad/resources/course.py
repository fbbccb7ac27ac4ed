"""What a training uses over time: `system.jsonl` beside its outputs, a line every few seconds, from a thread.

CPU and memory are those of the process and its children, as in `brainuad.resources.clock`. GPUs are asked by torch
where the process trains on them itself; their utilisation needs NVML's Python package.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from brainuad.resources.clock import now_used

NAME = "system.jsonl"
FIRST_SECONDS, LATER_SHARE = 5.0, 0.02
"""Between two lines: so many seconds or, of a long turn, this share of its time, which makes 340 lines in a day."""
MB = 2**20


def record(path: Path, over: threading.Event) -> None:
    """Append what this process uses until `over`; a disk that refuses it ends nothing. Lines go on counting."""
    began, step = time.monotonic(), next((line["step"] + 1 for line in reversed(read(path))), 0)
    before, (cpu, _) = began, now_used()
    while not over.wait(max(FIRST_SECONDS, LATER_SHARE * (time.monotonic() - began))):
        now, (cpu_now, memory) = time.monotonic(), now_used()
        percent = round(max(0.0, 100 * (cpu_now - cpu) / (now - before)), 1)
        line = {"cpu_percent": percent, "memory_megabytes": round(memory, 1), **dict(_gpus())}
        with suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 1), "step": step, "used": line}) + "\n")
        before, cpu, step = now, cpu_now, step + 1


def read(path: Path, since: float = 0.0) -> list[dict[str, Any]]:
    """The whole lines from `since` on, s since 1970: `time`, `step`, and `used` by name. None without a file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    lines = []
    for line in text.splitlines(keepends=True):
        with suppress(ValueError):
            lines += [json.loads(line)] if line.endswith("\n") else []
    return [line for line in lines if line["time"] >= since]


def _gpus() -> Iterator[tuple[str, float]]:
    """Of each GPU that this process computes on; nothing is loaded or started to find out."""
    torch: Any = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)  # not there yet while another thread imports torch
    if not getattr(cuda, "is_initialized", bool)():
        return
    for number in range(torch.cuda.device_count()):
        if reserved := torch.cuda.memory_reserved(number):
            yield f"gpu_{number}_memory_megabytes", round(reserved / MB, 1)
            with suppress(Exception):  # NVML's own errors, as of a part of a GPU (MIG), have no other base
                yield f"gpu_{number}_percent", float(torch.cuda.utilization(number))
