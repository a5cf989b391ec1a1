"""The progress bar: stage, share, rate and time left, on stderr."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text


class _Rate(ProgressColumn):
    """Units a second: bytes as MB, anything else by its name."""

    def render(self, task: Task) -> Text:
        speed, unit = task.finished_speed or task.speed, task.fields["unit"]
        if not speed:
            return Text("")
        return Text(f"{speed / 1e6:.1f} MB/s" if unit == "B" else f"{speed:,.0f} {unit}/s")


class Bar:
    """A `datakit.progress.Progress` that is drawn with rich; a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        self._progress = Progress(
            *columns, console=self._console, transient=True, disable=quiet or not self._console.is_terminal
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()
        self._last = 0.0

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, stage: str, done: float, total: float, unit: str) -> None:
        """Move a stage's bar; at most twenty times a second."""
        now = time.monotonic()
        if stage in self._tasks and now - self._last < 0.05 and done < total:
            return
        self._last = now
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total or None, unit=unit, figures="")
        self._progress.update(self._tasks[stage], completed=done, total=total or None)

    def figures(self, stage: str, values: Mapping[str, float]) -> None:
        """Show figures at the end of a stage's bar."""
        if stage in self._tasks:
            words = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self._progress.update(self._tasks[stage], figures=words)

    def notice(self, text: str) -> None:
        """Print a notice above the bar, once."""
        if text not in self._said:
            self._said.add(text)
            self._console.print(Text(f"note: {text}", style="yellow"), soft_wrap=True)
