"""What a service allows, so that no request and no crowd of them can take the machine."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """What one request may ask, how many there may be at once, and how long each may take.

    Raises:
        ValueError: if one of them is not positive.
    """

    body: int = 1 << 20  # bytes of a request
    texts: int = 128  # of a request: texts, sentences, options or questions
    longest: int | None = None  # tokens of a text; None is the model's own limit, and 512 where it has none
    tokens: int = 16384  # of a request, of all that has to be read for it
    new_tokens: int = 1024  # written after a prompt, or for a sentence
    beams: int = 8  # of a translation
    pieces: int = 8192  # listed for the masks of a request, some 60 bytes of its answer each
    requests: int = 256  # at once, waiting or at work; more are refused
    seconds: float = 30.0  # from the first byte of a request to the last of its answer
    pause: float = 0.002  # seconds which a request waits for others to be computed with
    batch: int = 512  # tokens which a thread computes together
    lines: int = 8  # texts which are written together

    def __post_init__(self):
        for field in fields(self):
            value, may_be_0 = getattr(self, field.name), field.name == "pause"
            if value is not None and not (value >= 0 if may_be_0 else value > 0):
                raise ValueError(f"{field.name} must be {'0 or more' if may_be_0 else 'positive'}, got {value}")


class Refused(Exception):
    """Why a request gets no answer, and the status which says so.

    Args:
        status: of HTTP.
        message: one sentence.
        after: seconds after which it may be tried again; None says nothing of it.
    """

    def __init__(self, status: int, message: str, after: int | None = None):
        super().__init__(message)
        self.status, self.after = status, after
