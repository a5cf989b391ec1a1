"""The contract of a search engine for Argilla, asked of a real engine over a real database: see search_answers.py.

Queries are Argilla's own filter objects; changes are committed, then reported to the engine, as the server's contexts do.
"""

from __future__ import annotations

from datetime import datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import search_cases as cases


class Contract:
    """One dataset with its engine, and the questions put to it."""

    def __init__(self, engine: Any, db: Any) -> None:
        from argilla_server import models

        self.engine, self.db, self.models = engine, db, models
        self.users: dict[str, Any] = {}
        self.records: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}

    # What there is

    async def build(self) -> None:
        """Users and the dataset of search_cases, committed and reported."""
        self.workspace = await self.add(self.models.Workspace(name="words"))
        for name in cases.USERS:
            user = self.models.User(first_name=name, username=name, password_hash="x", role="annotator")
            self.users[name] = await self.add(user)
        self.dataset = await self.new_dataset("main")
        await self.engine.create_index(self.dataset)
        for row in cases.ROWS:
            await self.add_row(row)
        await self.engine.index_records(self.dataset, [await self.fresh(name) for name in self.records])

    async def new_dataset(self, name: str) -> Any:
        """A published dataset with the fields, questions, metadata and vectors of search_cases."""
        m = self.models
        dataset = await self.add(
            m.Dataset(
                name=name,
                workspace_id=self.workspace.id,
                status="ready",
                distribution={"strategy": "overlap", "min_submitted": 1},
            )
        )
        for field, kind in cases.FIELDS.items():
            await self.add(m.Field(name=field, title=field, settings={"type": kind}, dataset_id=dataset.id))
        for question, settings in cases.QUESTIONS.items():
            await self.add(m.Question(name=question, title=question, settings=settings, dataset_id=dataset.id))
        for prop, kind in cases.METADATA.items():
            await self.add(m.MetadataProperty(name=prop, title=prop, settings={"type": kind}, dataset_id=dataset.id))
        await self.add(m.VectorSettings(name="v", title="v", dimensions=2, dataset_id=dataset.id))
        return await self.whole(dataset)

    async def whole(self, dataset: Any) -> Any:
        """The dataset with what engines read of it."""
        parts = ["fields", "questions", "metadata_properties", "vectors_settings"]
        await self.db.refresh(dataset, attribute_names=parts)
        return dataset

    async def add(self, thing: Any) -> Any:
        """Commits one thing."""
        self.db.add(thing)
        await self.db.commit()
        return thing

    async def add_row(self, row: cases.Row, dataset: Any = None) -> Any:
        """A record of search_cases in the database; the engine is not told."""
        m, dataset = self.models, dataset or self.dataset
        fields: dict[str, Any] = {"text": row.text}
        if row.chat is not None:
            fields["chat"] = [{"role": role, "content": content} for role, content in row.chat]
        if row.extra is not None:
            fields["extra"] = row.extra
        at = datetime(2026, 11, row.day, 10)
        record = m.Record(
            fields=fields, metadata_=row.metadata or None, status=row.status, external_id=row.name,
            dataset_id=dataset.id, inserted_at=at, updated_at=at,
        )  # fmt: skip
        self.records[row.name] = await self.add(record)
        for user, (status, values) in row.answers.items():
            await self.answer(row.name, user, status, values)
        questions = {question.name: question for question in dataset.questions}
        for question, (value, score, agent) in row.suggestions.items():
            kind = "model" if agent else None
            where = {"record_id": record.id, "question_id": questions[question].id}
            await self.add(m.Suggestion(value=value, score=score, agent=agent, type=kind, **where))
        if row.vector is not None:
            settings = dataset.vectors_settings[0]
            await self.add(m.Vector(value=row.vector, record_id=record.id, vector_settings_id=settings.id))
        return record

    async def answer(self, name: str, user: str, status: str, values: dict[str, Any]) -> Any:
        """A response in the database; the engine is not told."""
        given = {question: {"value": value} for question, value in values.items()} or None
        where = {"record_id": self.records[name].id, "user_id": self.users[user].id}
        self.answers[f"{name} {user}"] = await self.add(self.models.Response(values=given, status=status, **where))
        return self.answers[f"{name} {user}"]

    async def fresh(self, name: str) -> Any:
        """A record with all that engines read of it, as Argilla loads it before it reports it."""
        from sqlalchemy import select
        from sqlalchemy.orm import selectinload

        m = self.models
        query = (
            select(m.Record)
            .filter_by(id=self.records[name].id)
            .options(
                selectinload(m.Record.dataset),
                selectinload(m.Record.responses).selectinload(m.Response.user),
                selectinload(m.Record.suggestions).selectinload(m.Suggestion.question),
                selectinload(m.Record.vectors).selectinload(m.Vector.vector_settings),
            )
            .execution_options(populate_existing=True)
        )
        record = (await self.db.execute(query)).scalar_one()
        await self.whole(record.dataset)
        return record

    async def report(self, name: str) -> Any:
        """Tells the engine that a record is new or has changed."""
        record = await self.fresh(name)
        await self.engine.index_records(record.dataset, [record])
        return record

    # What is asked

    def scope(self, kind: str, arguments: tuple[Any, ...], user: str | None) -> Any:
        """Argilla's scope object of a case's filter or order."""
        from argilla_server.search_engine import base

        if kind == "response":
            owner = self.users[user] if user else None
            status = None if arguments[0] else "status"
            return base.ResponseFilterScope(question=arguments[0], property=status, user=owner)
        if kind == "suggestion":
            return base.SuggestionFilterScope(question=arguments[0], property=arguments[1])
        if kind == "metadata":
            return base.MetadataFilterScope(metadata_property=arguments[0])
        return base.RecordFilterScope(property=arguments[0])

    def filter(self, wanted: tuple[Any, ...], user: str | None) -> Any:
        """Argilla's filter object of a case's filter."""
        from argilla_server.search_engine import base

        if wanted[0] == "terms":
            _, kind, *arguments, values = wanted
            return base.TermsFilter(scope=self.scope(kind, tuple(arguments), user), values=list(values))
        _, kind, *arguments, ge, le = wanted
        return base.RangeFilter(scope=self.scope(kind, tuple(arguments), user), ge=ge, le=le)

    async def ask(self, case: cases.Case) -> dict[str, Any]:
        """What the engine answers to one case."""
        from argilla_server.search_engine import base

        query = None if case.query is None else base.TextQuery(q=case.query, field=case.field)
        filters = [self.filter(wanted, case.user) for wanted in case.filters]
        sort = [base.Order(scope=self.scope(kind, tuple(arguments), case.user), order=direction)
                for direction, kind, *arguments in case.sort]  # fmt: skip
        found = await self.engine.search(
            self.dataset, query, base.AndFilter(filters) if filters else None, sort or None, case.offset, case.limit
        )
        return {"found": self.names(found), "total": found.total}

    def names(self, found: Any) -> list[str]:
        """The names of the records of an answer, in its order."""
        names = {record.id: name for name, record in self.records.items()}
        return [names[item.record_id] for item in found.items]

    async def find(self, query: str | None = None, *filters: tuple[Any, ...], user: str | None = None) -> list[str]:
        """The names that match, in the order of their names."""
        return sorted((await self.ask(cases.Case("", "", query, None, filters, user=user)))["found"])

    async def similar(self, **how: Any) -> list[list[Any]]:
        """Names and scores of a similarity search."""
        settings = self.dataset.vectors_settings[0]
        found = await self.engine.similarity_search(self.dataset, settings, **how)
        return [[name, round(item.score, 4)] for name, item in zip(self.names(found), found.items, strict=True)]

    # Checks, in the order of search_cases.CHECKS; the later ones change the dataset

    async def checks(self) -> dict[str, Any]:
        """The answers to search_cases.CHECKS."""
        got: dict[str, Any] = {}
        for part in (self.counts, self.similarity, self.random_order, self.changes, self.removals):
            got |= await part()
        return got

    async def counts(self) -> dict[str, Any]:
        """Progress and metrics."""
        engine, m = self.engine, self.models
        got = {
            "progress": await engine.get_dataset_progress(self.dataset),
            "progress of a user": await engine.get_dataset_user_progress(self.dataset, self.users["ann"]),
        }
        draft = m.Dataset(id=uuid4(), name="draft", status="draft")
        got["progress of a draft"] = await engine.get_dataset_progress(draft)
        properties = {one.name: one for one in self.dataset.metadata_properties}
        for one in properties.values():
            await self.db.refresh(one, attribute_names=["dataset"])
        topics = await engine.compute_metrics_for(properties["topic"])
        got["metric of terms"] = {"total": topics.total, "values": [[one.term, one.count] for one in topics.values]}
        for name, prop in (("integers", "length"), ("floats", "price")):
            metric = await engine.compute_metrics_for(properties[prop])
            got[f"metric of {name}"] = [metric.min, metric.max]
        unused = await self.add(
            m.MetadataProperty(name="late", title="l", settings={"type": "terms"}, dataset_id=self.dataset.id)
        )
        await self.db.refresh(unused, attribute_names=["dataset"])
        await engine.configure_metadata_property(self.dataset, unused)
        nothing = await engine.compute_metrics_for(unused)
        return {**got, "metric of nothing": {"total": nothing.total, "values": nothing.values}}

    async def similarity(self) -> dict[str, Any]:
        """Vectors."""
        from argilla_server.search_engine import base

        money = base.AndFilter([self.filter(("terms", "metadata", "topic", ["money"]), None)])
        got: dict[str, Any] = {
            "similar to a value": await self.similar(value=[1.0, 0.0], max_results=4),
            "similar to a record": await self.similar(record=await self.fresh("quality"), max_results=3),
            "least similar": await self.similar(value=[1.0, 0.0], order="least_similar", max_results=2),
            "similar, filtered": await self.similar(value=[1.0, 0.0], filter=money),
            "similar, with text": await self.similar(value=[1.0, 0.0], query=base.TextQuery(q="customer")),
            "similar, threshold": await self.similar(value=[2.0, 0.0], threshold=0.75),
        }
        try:
            await self.similar()
        except ValueError:
            got["similar, neither value nor record"] = "ValueError"
        return got

    async def random_order(self) -> dict[str, Any]:
        """The order that a user sees who has not asked for one."""

        async def order(user: str, offset: int = 0, limit: int = 100) -> list[str]:
            user_id = self.users[user].id
            return self.names(await self.engine.search(self.dataset, offset=offset, limit=limit, user_id=user_id))

        ann, bob, cy = [await order(name) for name in cases.USERS]
        pages = [name for offset in range(0, 10, 3) for name in await order("ann", offset, 3)]
        return {
            "random order is the user's own": len({tuple(ann), tuple(bob), tuple(cy)}) == 3,
            "random order stays": ann == await order("ann"),
            "random order in pages": pages == ann and sorted(ann) == sorted(cases.ALL.split()),
        }

    async def changes(self) -> dict[str, Any]:
        """What is changed and reported is found as it now is."""
        got: dict[str, Any] = {}
        record = await self.fresh("mass")
        record.fields, record.metadata_ = {"text": "全新的词句"}, {"topic": "novel"}
        await self.add(record)
        await self.report("mass")
        got["new text is found"] = {"new": await self.find("词句"), "old": await self.find("重量")}
        topics = [await self.find(None, ("terms", "metadata", "topic", [topic])) for topic in ("novel", "goods")]
        got["new metadata is found"] = {"new": topics[0], "old": topics[1]}
        return {**got, **await self.changed_answers(), **await self.changed_suggestions(), **await self.changed_rest()}

    async def changed_answers(self) -> dict[str, Any]:
        """Responses."""
        pending, value = ("terms", "response", None, ["pending"]), ("terms", "response", "label", ["tie"])
        answer = await self.answer("empty", "bob", "submitted", {"label": "tie"})

        async def told(call: Any) -> list[bool | list[str]]:
            answer.record = await self.fresh("empty")
            await call(answer)
            return ["empty" in await self.find(None, pending, user="bob"), await self.find(None, value, user="bob")]

        got: dict[str, Any] = {}
        got["new response counts"] = dict(
            zip(("pending", "value"), await told(self.engine.update_record_response), strict=True)
        )
        answer.values = {"label": {"value": "A"}}
        await self.db.commit()
        _, old = await told(self.engine.update_record_response)
        new = [name for name in await self.find(None, ("terms", "response", "label", ["A"]), user="bob")]
        got["changed response counts"] = {"new": new, "old": old}
        await self.db.delete(answer)
        await self.db.commit()
        record = await self.fresh("empty")
        gone = SimpleNamespace(id=answer.id, user_id=answer.user_id, status="submitted", values={}, record=record)
        await self.engine.delete_record_response(gone)
        left = ["empty" in await self.find(None, pending, user="bob"), await self.find(None, value, user="bob")]
        got["deleted response is gone"] = dict(zip(("pending", "value"), left, strict=True))
        return got

    async def changed_suggestions(self) -> dict[str, Any]:
        """Suggestions."""
        got: dict[str, Any] = {}
        question = next(one for one in self.dataset.questions if one.name == "label")
        where = {"record_id": self.records["empty"].id, "question_id": question.id}
        suggestion = await self.add(self.models.Suggestion(value="tie", score=0.5, agent="a", type="human", **where))

        async def told(call: Any, value: str) -> list[str]:
            await self.db.refresh(suggestion, attribute_names=["record", "question"])
            await self.fresh("empty")
            await call(suggestion)
            return await self.find(None, ("terms", "suggestion", "label", "value", [value]))

        got["new suggestion is found"] = await told(self.engine.update_record_suggestion, "tie")
        suggestion.value, suggestion.score = "B", None
        await self.db.commit()
        old = await told(self.engine.update_record_suggestion, "tie")
        new = await self.find(None, ("terms", "suggestion", "label", "value", ["B"]))
        got["changed suggestion is found"] = {"new": [name for name in new if name == "empty"], "old": old}
        await self.db.refresh(suggestion, attribute_names=["record", "question"])
        record, question = await self.fresh("empty"), suggestion.question
        await self.db.delete(suggestion)
        await self.db.commit()
        gone = SimpleNamespace(id=suggestion.id, record=record, question=question, record_id=record.id)
        await self.engine.delete_record_suggestion(gone)
        left = await self.find(None, ("terms", "suggestion", "label", "agent", ["a"]))
        return {**got, "deleted suggestion is gone": left}

    async def changed_rest(self) -> dict[str, Any]:
        """Status, and metadata and vectors that come late."""
        got: dict[str, Any] = {}
        record = await self.fresh("empty")
        record.status = "completed"
        await self.add(record)
        await self.engine.partial_record_update(await self.fresh("empty"), status="completed")
        got["new status is found"] = await self.find(None, ("terms", "record", "status", ["completed"]))
        record = await self.fresh("empty")
        record.metadata_ = {"late": "yes"}
        await self.add(record)
        late = self.models.VectorSettings(name="w", title="w", dimensions=3, dataset_id=self.dataset.id)
        await self.add(late)
        await self.whole(self.dataset)
        await self.db.refresh(late, attribute_names=["dataset"])
        await self.engine.configure_index_vectors(late)
        vector = {"value": [0.0, 3.0, 0.0], "record_id": record.id, "vector_settings_id": late.id}
        await self.add(self.models.Vector(**vector))
        await self.report("empty")
        got["late metadata property"] = await self.find(None, ("terms", "metadata", "late", ["yes"]))
        found = await self.engine.similarity_search(self.dataset, late, value=[0.0, 1.0, 0.0])
        got["late vector"] = [[self.names(found)[0], round(found.items[0].score, 4)]]
        return got

    async def removals(self) -> dict[str, Any]:
        """Deleted records, other datasets, a deleted index."""
        got: dict[str, Any] = {}
        record = await self.fresh("custom")
        await self.db.delete(record)
        await self.db.commit()
        await self.engine.delete_records(self.dataset, [record])
        everything = await self.ask(cases.Case("", ""))
        got["deleted record is gone"] = {"found": await self.find("gem"), "total": everything["total"]}
        other = await self.new_dataset("other")
        await self.engine.create_index(other)
        await self.add_row(cases.Row("stranger", 11, "stranger"), other)
        await self.report("stranger")
        found = self.names(await self.engine.search(other, "stranger"))
        got["datasets are apart"] = {"found": await self.find("stranger"), "other": found}
        await self.db.delete(other)
        await self.db.commit()
        await self.engine.delete_index(other)
        self.records.pop("stranger")
        empty = await self.new_dataset("empty")
        await self.engine.create_index(empty)
        got["deleted index comes back empty"] = (await self.engine.search(empty, "stranger")).total
        return got
