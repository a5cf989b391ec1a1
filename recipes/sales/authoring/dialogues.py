"""Multi-turn sales dialogues in ShareGPT form."""

from typing import Any

from authoring.pieces import Answered, Deck, Desk, fill, read_fields, read_lines

Dialogue = dict[str, Any]
_LINKS = ("对了，", "还有一个问题，", "另外想问，", "那", "", "顺便问一句，", "再问一下，", "")
_ENGLISH_LINKS = ("One more thing. ", "Okay. ", "", "That helps. ", "Another question: ", "")


def read_contents(row: Dialogue) -> str:
    """The joined contents of a dialogue's turns, the system prompt left out."""
    return "\n".join(turn["value"] for turn in row["conversations"])


def _frame(turns: list[str], system: str | None) -> Dialogue:
    names = ("human", "gpt")
    row: Dialogue = {"conversations": [{"from": names[i % 2], "value": turn} for i, turn in enumerate(turns)]}
    if system:
        row["system"] = system
    return row


class Chinese:
    """Composes Chinese dialogues around one product and one customer."""

    def __init__(self, desk: Desk) -> None:
        """Read the pieces that only dialogues use."""
        self._desk = desk
        self._acks = Deck(desk.rng, read_lines("acks.txt"))
        self._probes = Deck(desk.rng, read_fields("probes.txt"))
        self._closings = Deck(desk.rng, read_fields("closings.txt"))
        self._systems = Deck(desk.rng, read_lines("systems.txt"))

    def _draw_questions(self, count: int, products: str) -> tuple[str, list[Answered]]:
        first = self._desk.products.draw(1, lambda a: a.topic in products)[0]
        rest: list[Answered] = []
        if count > 1:
            rest = self._desk.general.draw(count - 1)
        if count > 2 and self._desk.rng.random() < 0.6:
            same = self._desk.products.draw(1, lambda a: a.topic == first.topic and a != first)
            rest[0] = same[0]
        return first.topic, [first, *rest]

    def compose(self) -> Dialogue:
        """One dialogue of 2 to 8 turns."""
        rng = self._desk.rng
        count = rng.choices((1, 2, 3), (2, 5, 4))[0]
        opening = self._desk.openings.one()
        product, asked = self._draw_questions(count, opening.products)
        turns: list[str] = []
        lead = f"{opening.who}，{opening.situation}。"
        for position, pair in enumerate(asked):
            answer = fill(pair.answer, product, opening.industry)
            if position == 0 and rng.random() < 0.8:
                answer = self._acks.one().format(i=opening.industry) + answer
            turns.append(lead + fill(pair.question, product, opening.industry))
            lead = rng.choice(_LINKS)
            if position + 1 < len(asked) and "？" not in answer[-12:] and rng.random() < 0.7:
                probe, *replies = self._probes.one()
                answer += probe
                lead = f"{rng.choice(replies)}。{lead}"
            turns.append(answer)
        if rng.random() < (0.45 if count == 1 else 0.75):
            turns.extend(self._closings.one())
        system = self._systems.one() if count > 1 and rng.random() < 0.35 else None
        return _frame(turns, system)


class English:
    """Composes English dialogues."""

    def __init__(self, desk: Desk) -> None:
        """Read the frames: openings (O), acknowledgements (K), closings (C)."""
        self._desk = desk
        lines = read_lines("english_frames.txt")
        frames = {mark: [line[2:] for line in lines if line[0] == mark] for mark in "OKC"}
        self._openings = Deck(desk.rng, frames["O"])
        self._acks = Deck(desk.rng, frames["K"])
        self._closings = Deck(desk.rng, frames["C"])

    def compose(self) -> Dialogue:
        """One dialogue of 2 to 8 turns."""
        rng = self._desk.rng
        turns: list[str] = []
        lead = self._openings.one() + " "
        for position, pair in enumerate(self._desk.english.draw(rng.choice((1, 2, 2, 3)))):
            ack = self._acks.one() + " " if position == 0 else ""
            turns += [lead + pair.question, ack + pair.answer]
            lead = rng.choice(_ENGLISH_LINKS)
        if rng.random() < 0.7:
            turns += self._closings.one().split("|")
        return _frame(turns, None)


def write_dialogues(desk: Desk) -> list[Dialogue]:
    """200 dialogues: 24 short ones, 28 further English ones, the rest Chinese; shuffled."""
    short = [_frame(fields, None) for fields in read_fields("short.txt")]
    for row in short:
        desk.seen.add(read_contents(row))
    english, chinese = English(desk), Chinese(desk)
    rows = short + [desk.write(english.compose, read_contents) for _ in range(28)]
    rows += [desk.write(chinese.compose, read_contents) for _ in range(200 - len(rows))]
    desk.rng.shuffle(rows)
    return rows
