"""Made-up messages whose words are as unevenly common as those of real ones."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Final

_HAN: Final = "".join(chr(number) for number in range(0x4E00, 0x4E00 + 3000))
_WORDS: Final = 4000


class Speech:
    """Chinese sentences with some English and numbers in them, the same ones for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        characters = self._chance.choices(_HAN, k=2 * _WORDS)
        self.words = ["".join(characters[place : place + 2]) for place in range(0, 2 * _WORDS, 2)]
        # Zipf: the n-th word is said 1/n as often as the first.
        self._weights = list(accumulate(1 / rank for rank in range(1, _WORDS + 1)))

    def sentence(self, words: int = 10) -> str:
        """So many words, and a number."""
        said = self._chance.choices(self.words, cum_weights=self._weights, k=words)
        return f"{''.join(said[:-2])}，{''.join(said[-2:])} ticket {self._chance.randrange(100_000)}"
