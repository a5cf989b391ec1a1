"""Messages to text, as transformers' `apply_chat_template` writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from datakit.errors import InputError, TemplateRaised
from datakit.template.model import Model, training_extra

Messages = Sequence[Mapping[str, Any]]

# What Jinja lets through of the Python below it when a template meets a value that it did not expect.
_PYTHON: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Renderer:
    """Compiles a template once and renders messages with it.

    The environment is transformers' own (its filters, its sandbox, its tracker of generation blocks), so the text is
    that of `tokenizer.apply_chat_template(messages, tokenize=False)` of the version installed.

    Args:
        model: whose template and special tokens to use.
        now: the clock that `strftime_now` reads; the real one where None.
        arguments: further variables of the template, such as `enable_thinking` or `date_string`.

    Raises:
        MissingExtra: transformers is not installed.
        InputError: the model has no template, or it is no valid Jinja (with its line).
    """

    def __init__(
        self, model: Model, *, now: datetime | None = None, arguments: Mapping[str, Any] | None = None
    ) -> None:
        with training_extra("rendering a chat template"):
            from jinja2 import TemplateError, TemplateSyntaxError
            from transformers.utils import chat_template_utils
        if not model.template:
            raise InputError(
                model.name,
                "no chat template",
                "chat_template.jinja beside the tokenizer",
                "Name one with --template, or as model.template in the recipe",
            )
        try:
            # Not the cached compiler: the clock below is set in an environment that nobody shares.
            compiled = chat_template_utils._cached_compile_jinja_template(model.template)
        except TemplateSyntaxError as error:
            raise InputError(
                f"{model.name}, template line {error.lineno}", str(error.message), "a valid Jinja template"
            ) from None
        if now is not None:
            compiled.environment.globals["strftime_now"] = now.strftime
        self.name = model.name
        self._template = compiled
        self._marked: Callable[..., tuple[str, list[tuple[int, int]]]] = (
            chat_template_utils._render_with_assistant_indices
        )
        # Since 5.x reasoning is offered under each name that templates know it by.
        self._aliased: Callable[[Messages], Messages] = getattr(chat_template_utils, "_alias_reasoning_fields", list)
        self._variables = {"documents": None, **model.special, **(arguments or {})}
        self._faults: tuple[type[Exception], ...] = (TemplateError, *_PYTHON)
        # What every render shares: `Template.render` would gather it anew each time, which is half of a short render.
        self._base = {**compiled.globals, **self._variables}

    def render(self, messages: Messages, tools: list[Any] | None = None, *, generation_prompt: bool = False) -> str:
        """The text of a conversation.

        Args:
            messages: as `for_template` gives them.
            tools: as `tools_for_template` gives them.
            generation_prompt: whether the text ends with what precedes an answer, as at inference.

        Raises:
            TemplateRaised: the template refuses these messages, or trips over them.
        """
        try:
            context = self._template.new_context(
                {
                    **self._base,
                    "messages": self._aliased(messages),
                    "tools": tools,
                    "add_generation_prompt": generation_prompt,
                },
                shared=True,
            )
            return "".join(self._template.root_render_func(context))
        except self._faults as error:
            raise self._raised(error) from None

    def render_marked(self, messages: Messages, tools: list[Any] | None = None) -> tuple[str, list[tuple[int, int]]]:
        """The text, and the character ranges that stand in `{% generation %}` blocks; no range where it has none.

        Raises:
            TemplateRaised: the template refuses these messages, or trips over them.
        """
        variables = {name: value for name, value in self._variables.items() if name != "documents"}
        try:
            text, ranges = self._marked(self._template, self._aliased(messages), tools, None, False, **variables)
        except self._faults as error:
            raise self._raised(error) from None
        return text, ranges

    def _raised(self, error: Exception) -> TemplateRaised:
        return TemplateRaised(f"template of {self.name}", str(error) or type(error).__name__)
