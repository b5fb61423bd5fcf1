"""Ids and the vocabulary which they must come from."""

from torch import Tensor


def require_known(tokens: Tensor, vocabulary: int, what: str = "ids") -> None:
    """Refuse ids which have no embedding; on a GPU, where looking would wait for the device, its own check stands.

    Raises:
        ValueError: with the range of the ids and of the vocabulary.
    """
    if tokens.is_cuda or not tokens.numel():
        return
    least, most = int(tokens.min()), int(tokens.max())
    if least < 0 or most >= vocabulary:
        raise ValueError(
            f"{what} must lie in 0 to {vocabulary - 1}, got {least} to {most}; are they of the model's own tokenizer?"
        )
