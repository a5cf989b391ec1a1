"""Argilla's page in a real browser, as an annotator uses it: by what stands on it, with mouse and keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

CHROMIUM: Final = Path("/usr/bin/chromium")
PATIENCE: Final = 120_000  # milliseconds; never measured, only given up after

_FLAGS: Final = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Shown:
    """A record as it stands on the page: its id, turns (role, text), and texts by their titles."""

    record: str
    dialogue: tuple[tuple[str, str], ...]
    texts: dict[str, str]


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's browser; skips where it or playwright is missing."""
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: Debian's chromium is the annotator's browser")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright drives the browser: pip install playwright"
    )
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS))
        yield browser
        browser.close()


class Annotator:
    """Somebody before Argilla's page."""

    def __init__(self, browser: Any, url: str, width: int = 1280, height: int = 800) -> None:
        context = browser.new_context(viewport={"width": width, "height": height}, locale="zh-CN")
        self.page, self.url = context.new_page(), url
        self.page.set_default_timeout(PATIENCE)
        self.answered_from: set[str] = set()
        self.page.on("response", lambda answer: self.answered_from.add("/".join(answer.url.split("/")[:3])))

    def sign_in(self, name: str, password: str) -> None:
        self.page.goto(self.url)
        self.page.locator("input[name=Username]").fill(name)
        self.page.locator("input[name=Password]").fill(password)
        self.page.keyboard.press("Enter")
        self.page.get_by_text("Your datasets").wait_for()

    def open(self, dataset: str) -> None:
        """Open a dataset from the list of one's own."""
        self.page.goto(self.url)
        self.page.get_by_role("heading", name=dataset, exact=True).click()
        self._record().wait_for()

    def shown(self) -> Shown:
        """The record on the page, whose every part can be seen."""
        turns = [
            (turn.locator(".chat__role").inner_text(), self._seen(turn.locator(".chat__bubble .markdown-render")))
            for turn in self.page.locator(".chat__item").all()
        ]
        texts = {
            self._seen(field.locator("[class$=title-content]")): self._seen(field.locator("[id^=fields-content-]"))
            for field in self.page.locator(".text_field_component").all()
        }
        return Shown(self._id(), tuple(turns), texts)

    def guideline(self) -> str:
        """What stands in the panel of the guideline, which stays open."""
        self.page.get_by_role("button", name="Expand Panel").first.click()
        return self._seen(self.page.locator(".annotation-guidelines"))

    def choose(self, button: str) -> None:
        """Click an option by what stands on it."""
        self.page.get_by_label("Annotation Questions").get_by_text(button, exact=True).click()

    def mark(self, passage: str, label: str, *, within_words: bool = False) -> None:
        """Mark a passage of the answer with the mouse; the page takes whole words, with Shift single characters."""
        self.page.get_by_label("Annotation Questions").get_by_text(label, exact=True).click()
        ends = self.page.evaluate(
            """passage => {
                const text = document.querySelector(".span-annotation__field").firstChild;
                const at = text.data.indexOf(passage), range = document.createRange();
                return [at, at + passage.length - 1].map((place, end) => {
                    range.setStart(text, place);
                    range.setEnd(text, place + 1);
                    const box = range.getBoundingClientRect();
                    return [end ? box.right - 1 : box.left + 1, box.top + box.height / 2];
                });
            }""",
            passage,
        )
        if within_words:
            self.page.keyboard.down("Shift")
        self.page.mouse.move(*ends[0])
        self.page.mouse.down()
        self.page.mouse.move(*ends[1], steps=8)
        self.page.mouse.up()
        self.page.keyboard.up("Shift")

    def send(self, button: str = "Submit") -> None:
        """Click Submit, Discard or Save as draft, and wait for the next record."""
        with self._next_record():
            self.page.locator(".footer-form").get_by_text(button, exact=True).click()

    def press(self, *keys: str) -> None:
        """Answer by keyboard, the last key sending it, and wait for the next record."""
        with self._next_record():
            for key in keys:
                self.page.keyboard.press(key)

    def picture(self, path: Path) -> None:
        self.page.wait_for_load_state("networkidle")
        self.page.mouse.move(0, 0)
        self.page.screenshot(path=str(path), animations="disabled")

    @contextmanager
    def _next_record(self) -> Iterator[None]:
        before = self._id()
        yield
        self.page.wait_for_function(
            """id => {
                const at = document.querySelector(".record [id^=fields-content-]");
                return !at || !at.id.endsWith(id);
            }""",
            arg=before,
        )

    def _record(self) -> Any:
        return self.page.locator(".record [id^=fields-content-]").first

    def _id(self) -> str:
        return str(self._record().get_attribute("id"))[-36:]

    def _seen(self, found: Any) -> str:
        found.scroll_into_view_if_needed()
        assert found.is_visible()
        return str(found.inner_text()).strip()
