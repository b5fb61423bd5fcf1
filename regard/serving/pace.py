"""How fast a service reads, by the batches which it computed lately."""

KEPT = 0.9  # of what is known, with each new batch: the last ten or so count


class Pace:
    """Tokens a second, of all threads.

    Args:
        batch: tokens of a full batch; one which is not half full says little of what a thread can do.
        threads: which work side by side.
    """

    def __init__(self, batch: int, threads: int):
        self._least, self._threads = batch / 2, threads
        self._tokens = self._seconds = 0.0  # of lately, as one thread has computed them

    def add(self, tokens: int, seconds: float) -> bool:
        """Take in a batch; whether it is the first of which anything is known."""
        if tokens < self._least:
            return False
        is_first = not self._seconds
        self._tokens = KEPT * self._tokens + tokens
        self._seconds = KEPT * self._seconds + seconds
        return is_first

    def seconds(self, tokens: int) -> float:
        """How long so many tokens take; nothing as long as nothing was measured."""
        return tokens * self._seconds / (self._tokens * self._threads) if self._tokens else 0.0
