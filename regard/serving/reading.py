"""What the endpoints of encoders have in common: how long an input may be, and what is said of longer ones."""

from collections.abc import Sequence

from regard.reading.reader import Reader
from regard.serving.uses import Asks, Use, refuse_long


class ReadingUse(Use[Asks]):
    """An endpoint of an encoder."""

    model: Reader

    def framed(self, name: str, texts: Sequence[Sequence[str]], *, truncate: bool) -> tuple[list[int], int]:
        """Tokens which are read of each text or pair, and how many of these are cut."""
        ids = iter(self.model.tokenizer.encode_batch([part for parts in texts for part in parts]))
        lengths = [[len(next(ids)) for _ in parts] for parts in texts]
        added, longest, pairs = self.model.framing.added, self.model.longest, self.model.pairs
        if pairs == "apart":
            inputs = [[length + added(1) for length in own] for own in lengths]
        else:
            inputs = [[sum(own) + added(len(own))] * (2 if pairs == "both" else 1) for own in lengths]
        _, cut = self.fitting(name, [max(own) for own in inputs], longest, truncate=truncate)
        return [sum(min(size, longest) for size in own) for own in inputs], cut

    def fitting(self, name: str, sizes: list[int], longest: int, *, truncate: bool) -> tuple[list[int], int]:
        """Tokens which are read of inputs of these sizes, and how many are cut."""
        way = ', or set "truncate": true to read it without its end' if "truncate" in self.body.model_fields else ""
        for place, size in enumerate(sizes):
            if size > longest and not truncate:
                refuse_long(f"{name}[{place}]", size, longest, way)
        return [min(size, longest) for size in sizes], sum(size > longest for size in sizes)
