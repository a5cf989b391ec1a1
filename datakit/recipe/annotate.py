"""[annotate]: which rows people judge, what they are asked, and how.

```toml
[annotate]
kind = "preference"
rows = 300
overlap = 3
guideline = "sales/guideline.md"

[annotate.select]
stratify = "source"
near = { score = "words", threshold = 50, width = 10 }
```

What `[annotate.select]` says narrows the rows first (`near`, `judges`) and then draws among them, by a seed and without
regard to the order of files: a larger `rows` draws the same rows and some more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from datakit.recipe.base import Table
from datakit.recipe.resolve import ResolveSettings

Task = Literal["preference", "rating", "ranking", "labels", "spans", "rewriting"]

LETTERS: Final = "ABCDEFGHIJ"
"""What the places of answers are called, so the most answers that can be ranked."""

Share = Annotated[float, Field(ge=0, le=0.5)]
Count = Annotated[int, Field(ge=1)]
Options = tuple[str, ...] | Mapping[str, str]


class NearSettings(Table):
    """Rows whose measured score lies near a threshold: there people decide what a rule cannot."""

    score: str = Field(description="a column of scores.parquet")
    threshold: float = Field(description="the score in the middle")
    width: Annotated[float, Field(gt=0)] = Field(description="how far from it a score may be, on either side")


class JudgesSettings(Table):
    """Rows on which judges (models, rules, people of an earlier round) disagree. Annotators never see a verdict."""

    columns: tuple[str, ...] = Field(default=(), description='verdicts in the rows, one a judge, e.g. "meta.judge_a"')
    file: str | None = Field(
        default=None, description="JSON lines with source, line (or id), judge and verdict; instead of columns"
    )
    spread: Annotated[float, Field(ge=0)] = Field(
        default=0, description="numbers disagree where they lie further apart than this"
    )

    @model_validator(mode="after")
    def _has_verdicts(self) -> JudgesSettings:
        if (self.file is None) == (len(self.columns) < 2):
            raise ValueError("verdicts come from two columns or more, or from a file")
        return self


class SelectSettings(Table):
    """The [annotate.select] table."""

    stratify: str | None = Field(
        default=None, description='draw from each stratum: "source", "kind", "meta.KEY" or a column of scores.parquet'
    )
    balance: Literal["proportional", "equal"] = Field(
        default="proportional", description="rows a stratum: by its size, or as many as any other"
    )
    near: NearSettings | None = Field(default=None, description="only rows near a threshold")
    judges: JudgesSettings | None = Field(default=None, description="only rows on which judges disagree")


class AnnotateSettings(Table):
    """The [annotate] table."""

    name: str | None = Field(default=None, description="name of the campaign; else that of the recipe's file")
    folder: str = Field(default="campaigns", description="folder of the campaigns")
    dataset: str | None = Field(
        default=None, description="a dataset (its latest version), PATH@3f2a or a version's folder; else data.output"
    )
    kind: Task = Field(default="preference", description="what people are asked to do")
    guideline: str | None = Field(default=None, description="a Markdown file, shown beside every record")
    language: Literal["zh", "en"] | None = Field(
        default=None, description="of titles and options; else Chinese if clean.languages names it, or English"
    )
    judged: Literal["answer", "dialogue"] = Field(
        default="answer", description="what is rated or labelled: the last answer, or the dialogue as a whole"
    )
    rows: Count = Field(default=300, description="rows that people judge; more of them later make another batch")
    overlap: Count = Field(default=2, description="submitted judgements that complete an item")
    seed: int = Field(default=42, ge=0, description="of all that is drawn: rows, sides, places")
    workspace: str | None = Field(default=None, description="on the server; else the campaign's name")
    annotators: tuple[str, ...] = Field(default=(), description="user names that get access; new ones are made")
    aspects: Options = Field(default=("quality",), description="of a rating: a question each; { name = 'title' } too")
    scale: Annotated[int, Field(ge=2, le=10)] = Field(default=5, description="of a rating: from 1 to this")
    answers: Annotated[int, Field(ge=2, le=len(LETTERS))] = Field(default=3, description="of a ranking: answers a row")
    labels: Options = Field(default=(), description="of labels and spans; { value = 'title' } too")
    multiple: bool = Field(default=False, description="of labels: whether several may hold at once")
    gold: str | None = Field(default=None, description="JSON lines of items whose right value is known")
    gold_share: Share = Field(default=0.05, description="hidden gold items, as a share of the rows")
    repeats: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.05, description="share of the rows that come a second time, sides swapped"
    )
    batch: Annotated[int, Field(ge=1, le=500)] = Field(default=250, description="records a request")
    max_characters: Count = Field(default=20_000, description="longest text that is shown; longer rows are left out")
    select: SelectSettings = Field(default=SelectSettings(), description="which rows")
    resolve: ResolveSettings = Field(default=ResolveSettings(), description="how judgements become data")

    @field_validator("name", "workspace")
    @classmethod
    def _names_a_folder(cls, name: str | None) -> str | None:
        if name is not None and (not name.strip() or {"/", "\\", "\0"} & set(name) or name.startswith(".")):
            raise ValueError("a name has no slash and does not begin with a dot")
        return name

    @field_validator("annotators")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or not all(name.strip() for name in names):
            raise ValueError("user names are not empty, and each is given once")
        return names

    @model_validator(mode="after")
    def _can_be_asked(self) -> AnnotateSettings:
        least = {"labels": 2, "spans": 1}.get(self.kind, 0)
        if len(self.labels) < least:
            raise ValueError(f'kind "{self.kind}" needs {least} label{"s" if least > 1 else ""} or more')
        if self.kind == "rating" and not self.aspects:
            raise ValueError('kind "rating" needs an aspect or more')
        if self.judged == "dialogue" and self.kind not in ("rating", "labels"):
            raise ValueError(f'judged = "dialogue" is for ratings and labels; kind is "{self.kind}"')
        return self

    def at(self, folder: Path, name: str) -> AnnotateSettings:
        """The settings with paths that were relative to `folder`, and `name` where they bear none."""
        update: dict[str, Any] = {"name": self.name or name, "folder": str(folder / self.folder)}
        for key in ("dataset", "guideline", "gold"):
            if (value := getattr(self, key)) is not None:
                update[key] = str(folder / value)
        if self.select.judges is not None and self.select.judges.file is not None:
            judges = self.select.judges.model_copy(update={"file": str(folder / self.select.judges.file)})
            update["select"] = self.select.model_copy(update={"judges": judges})
        return self.model_copy(update=update)


def titled(options: Options) -> dict[str, str]:
    """Options as value to title; a bare list has its values for titles."""
    return dict(options) if isinstance(options, Mapping) else {value: value for value in options}
