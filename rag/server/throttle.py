"""How long a guesser must wait: after some failures each one doubles the time until the next try."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable


class Throttle:
    """Failures by key (a name, an address), in bounded memory: the key not seen for longest is forgotten first.

    Args:
        free: Failures that cost no wait, at least 1.
        longest_s: Longest wait; the first is 1 second, each further failure doubles it.
        forget_s: A key without a failure for so long starts afresh; more than ``longest_s``.
        keep: Keys remembered.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        *,
        free: int,
        longest_s: float,
        forget_s: float,
        keep: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if free < 1 or keep < 1 or not 0 < longest_s < forget_s:
            raise ValueError(
                f"free={free} and keep={keep} must be at least 1, 0 < longest_s={longest_s} < forget_s={forget_s}"
            )
        self.free = free
        self.longest_s = longest_s
        self.forget_s = forget_s
        self.keep = keep
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  # key: (how many, when the last)

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, key: str) -> float:
        """Return the seconds until ``key`` may try again; 0.0 if it may now."""
        count, last = self._known(key)
        if count < self.free:
            return 0.0
        wait = min(2.0 ** min(count - self.free, 60), self.longest_s)
        return max(0.0, last + wait - self._clock())

    def fail(self, key: str) -> None:
        """Count a failure of ``key``."""
        self._failures[key] = (self._known(key)[0] + 1, self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > self.keep:
            self._failures.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    def _known(self, key: str) -> tuple[int, float]:
        count, last = self._failures.get(key, (0, 0.0))
        return (count, last) if self._clock() - last < self.forget_s else (0, 0.0)
