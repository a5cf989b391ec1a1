"""Preference rows: the better and the worse answer to one customer."""

from typing import Any

from authoring.pieces import PRODUCTS, Answered, Deck, Desk, fill, read_fields, read_lines

_NEEDS_OPENING = 0.6


def read_contents(row: dict[str, Any]) -> str:
    """Prompt, chosen and rejected joined."""
    parts = [row["prompt"], row["chosen"], row["rejected"]]
    return "\n".join(p if isinstance(p, str) else "\n".join(m["content"] for m in p) for p in parts)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


class Pairs:
    """Composes preference rows; the worse answers come from the list of bad manners."""

    def __init__(self, desk: Desk) -> None:
        """Read the bad manners and the closing questions."""
        self._desk, self._rng = desk, desk.rng
        self._pushy = Deck(desk.rng, read_fields("pushy.txt"))
        self._pushy_english = Deck(desk.rng, read_lines("pushy_english.txt"))
        self._probes = Deck(desk.rng, read_fields("probes.txt"))

    def _shape(self, prompt: list[dict[str, str]], chosen: str, rejected: str) -> dict[str, Any]:
        if len(prompt) == 1 and self._rng.random() < 0.5:
            return {"prompt": prompt[0]["content"], "chosen": chosen, "rejected": rejected}
        return {
            "prompt": prompt,
            "chosen": [_turn("assistant", chosen)],
            "rejected": [_turn("assistant", rejected)],
        }

    def compose(self, deck: Deck[Answered]) -> dict[str, Any]:
        """A Chinese row around one question."""
        pair = deck.one()
        openings = self._desk.openings
        opening = openings.draw(1, lambda o: pair.topic in o.products)[0] if pair.topic in PRODUCTS else openings.one()
        product = pair.topic if pair.topic in PRODUCTS else self._rng.choice(opening.products.split())
        question = fill(pair.question, product, opening.industry)
        chosen = fill(pair.answer, product, opening.industry)
        if "？" not in chosen:
            chosen += self._probes.one()[0]
        rejected = "".join(fields[1] for fields in self._pushy.draw(self._rng.choice((1, 2, 2))))
        prompt = [_turn("user", question)]
        kind = self._rng.random()
        if kind < _NEEDS_OPENING:
            prompt = [_turn("user", f"{opening.who}，{opening.situation}。{question}")]
        elif kind < 0.8:
            probe, *replies = self._probes.one()
            prompt = [
                _turn("user", f"{opening.who}，想了解一下{product}。"),
                _turn("assistant", f"您好，{probe}"),
                _turn("user", f"{self._rng.choice(replies)}。{question}"),
            ]
        return self._shape(prompt, chosen, rejected)

    def compose_english(self) -> dict[str, Any]:
        """An English row."""
        pair = self._desk.english.one()
        return self._shape([_turn("user", pair.question)], pair.answer, " ".join(self._pushy_english.draw(2)))


def write_preference(desk: Desk) -> list[dict[str, Any]]:
    """120 rows: 100 Chinese, 20 English; shuffled."""
    pairs = Pairs(desk)
    rows = [desk.write(lambda: pairs.compose(desk.products), read_contents) for _ in range(66)]
    rows += [desk.write(lambda: pairs.compose(desk.general), read_contents) for _ in range(34)]
    rows += [desk.write(pairs.compose_english, read_contents) for _ in range(20)]
    desk.rng.shuffle(rows)
    return rows
