"""One rebuild of the index at a time, watched, cancelled and counted."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from rag.builder import BuildReport
from rag.engine import BuildProgress
from rag.errors import BuildCancelledError, IndexLockedError, RagError
from rag.server.metrics import Metrics

logger = logging.getLogger(__name__)

Advance = Callable[[BuildProgress], None]


class Rebuilds:
    """Runs rebuilds. May be used from several threads.

    Args:
        index_dir: The index, to be named in messages.
        build: Builds; called with what to tell its progress to.
        metrics: Counts.
    """

    def __init__(self, index_dir: Path, build: Callable[[Advance], BuildReport], metrics: Metrics) -> None:
        self.index_dir = index_dir
        self._build = build
        self._metrics = metrics
        self._lock = threading.Lock()
        self._cancelled: threading.Event | None = None  # of the rebuild under way

    @property
    def is_running(self) -> bool:
        """Whether a rebuild is under way in this process."""
        return self._cancelled is not None

    def cancel(self) -> bool:
        """Have the rebuild that is under way end at its next step; the live index stays as it is.

        A rebuild whose index is live already goes on to its report.

        Returns:
            Whether one was under way.
        """
        cancelled = self._cancelled
        if cancelled is None:
            return False
        cancelled.set()
        return True

    def run(self, progress: Advance | None = None) -> BuildReport:
        """Bring the index up to date with the folders; embeds only what changed.

        Args:
            progress: Called from this thread as the stages advance.

        Raises:
            BuildCancelledError: ``cancel`` was called meanwhile.
            IndexLockedError: A rebuild is running already, here or in another process.
            CorpusError: There is no folder to read, or nothing in it can be read.
            RagError: The embedder or the index cannot be opened.
        """
        if not self._lock.acquire(blocking=False):
            raise IndexLockedError(f"{self.index_dir} is being rebuilt already; wait until that has finished")
        cancelled = self._cancelled = threading.Event()
        outcome = "failed"

        def advance(step: BuildProgress) -> None:
            if progress is not None:
                progress(step)
            is_live = step.stage == "write" and step.done == step.total
            if cancelled.is_set() and not is_live:
                raise BuildCancelledError(
                    f"the rebuild of {self.index_dir} was cancelled; the index is as it was before. Start it again"
                )

        try:
            report = self._build(advance)
            outcome = "done"
            return report
        except BuildCancelledError:
            outcome = "cancelled"
            raise
        finally:
            self._cancelled = None
            self._lock.release()
            self._metrics.builds.labels(outcome).inc()

    def stream(self) -> Iterator[BuildProgress | BuildReport]:
        """Rebuild in a thread of its own and yield its progress, then the report.

        Whoever stops listening does not stop the rebuild. Progress that comes faster than it is read is skipped
        over; the report never is.

        Raises:
            RagError: What `run` raises.
        """
        events: queue.SimpleQueue[BuildProgress | BuildReport | BaseException] = queue.SimpleQueue()

        def work() -> None:
            try:
                events.put(self.run(events.put))
            except RagError as error:
                events.put(error)
            except BaseException as error:
                logger.exception("the rebuild failed")
                events.put(error)

        threading.Thread(target=work, name="sanad-rebuild", daemon=True).start()
        while True:
            event = events.get()
            while isinstance(event, BuildProgress) and not events.empty():
                event = events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, BuildReport):
                return
