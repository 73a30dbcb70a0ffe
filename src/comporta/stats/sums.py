"""What is kept of many numbers: how many, their sum, the sum of their squares. Such sums add up in any order."""

from __future__ import annotations

from msgspec import Struct


class Sums(Struct, frozen=True, omit_defaults=True):
    """Sums of `n` values; tests want them to lie in [0, 1]."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def plus(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The mean; 0 of nothing."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """The variance (over n); 0 of nothing."""
        return max(0.0, self.squares / self.n - self.mean**2) if self.n else 0.0

    @property
    def binary(self) -> bool:
        """Whether all values are 0 or 1: of values in [0, 1] only those are their own squares."""
        return self.total == self.squares

    def flipped(self) -> Sums:
        """The sums of 1 - y."""
        return Sums(self.n, self.n - self.total, self.n - 2 * self.total + self.squares)


def share(n: int, hits: int) -> Sums:
    """The sums of `n` values of which `hits` are 1 and the others 0."""
    return Sums(n, float(hits), float(hits))
