"""Every operation of the data plane: the doors' by the names of the doors, the small pages' by their paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct

from comporta.gateway.doors.base import Door
from comporta.gateway.openapi import anthropic, batches, chat, embeddings, feedback, guards, pages, responses, said
from comporta.gateway.openapi.examples import BODIES
from comporta.telemetry.columns import COLUMNS
from comporta.telemetry.observability.report import Report
from comporta.telemetry.summary import DEFAULT_WINDOW

Envelope = Literal["OpenAI", "Anthropic"]
JSON = dict[str, Any]


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one path. `answers` are the forms of a 200; none: text of `content_type`."""

    method: Literal["get", "post", "delete"]
    path: str
    id: str
    tag: str
    summary: str
    about: str = ""
    body: Any = None
    #: How the body comes.
    sends: str = "application/json"
    example: JSON | None = None
    answers: tuple[Any, ...] = ()
    content_type: str = "application/json"
    #: What a 202 means, with the same body; None where there is none.
    later: str | None = None
    #: What a frame of a stream holds, where the answer can be one.
    frames: str | None = None
    envelopes: tuple[Envelope, ...] = ("OpenAI",)
    refusals: tuple[str, ...] = said.OF_PAGES
    sent: tuple[str, ...] = said.ID
    parameters: tuple[JSON, ...] = ()
    told: tuple[str, ...] = said.ID
    key: Literal["none", "any", "maybe"] = "any"


class _Posted(Struct, frozen=True):
    """What the page says of a door; the rest follows from the door itself."""

    tag: str
    summary: str
    about: str
    body: Any
    answer: Any
    frames: str | None = None


_OPENAI = "OpenAI's wire"
_ANTHROPIC = "Anthropic's wire"
_CHUNKS = "`data:` frames, each a {} as JSON; `data: [DONE]` ends it. A failure after the first content is a frame "
_CHUNKS += "with an `error`, then `[DONE]`. Lines that begin with `:` are comments."

_DOORS: dict[str, _Posted] = {
    "openai.chat": _Posted(
        _OPENAI, "Chat", "OpenAI's chat completions, at any provider.",
        chat.ChatRequest, chat.ChatCompletion, _CHUNKS.format("`ChatChunk`"),
    ),
    "openai.completions": _Posted(
        _OPENAI, "Go on with a text", "OpenAI's text completions, at any provider.",
        chat.CompletionRequest, chat.Completion, _CHUNKS.format("`Completion`"),
    ),
    "openai.responses": _Posted(
        _OPENAI, "Make a response", "OpenAI's Responses, at any provider.",
        responses.ResponseRequest, responses.Response,
        "Named events from `response.created` to `response.completed`, `response.incomplete` or `response.failed`.",
    ),
    "openai.embeddings": _Posted(
        _OPENAI, "Turn texts into vectors", "OpenAI's embeddings, at any provider that has some.",
        embeddings.EmbeddingRequest, embeddings.EmbeddingList,
    ),
    "anthropic.messages": _Posted(
        _ANTHROPIC, "Chat", "Anthropic's messages, at any provider.",
        anthropic.MessageRequest, anthropic.AnthropicMessage,
        "Named events from `message_start` to `message_stop`; a failure after the first content is an event `error`.",
    ),
    "anthropic.count_tokens": _Posted(
        _ANTHROPIC, "Count tokens", "Anthropic's counts of tokens; estimated where the provider has none.",
        anthropic.CountRequest, anthropic.TokenCount,
    ),
}  # fmt: skip


def operations(doors: Iterable[Door]) -> Iterator[Operation]:
    """All of them. Raises KeyError for a door that nobody has described yet."""
    for door in doors:
        yield _posted(door)
    yield from _PAGES


def _posted(door: Door) -> Operation:
    row = _DOORS[door.name]
    foreign = door.name.startswith("anthropic.")
    return Operation(
        method="post", path=door.path, id=door.name.replace(".", "_"), tag=row.tag, summary=row.summary,
        about=row.about, body=row.body, example=BODIES[door.name], answers=(row.answer,), frames=row.frames,
        envelopes=("Anthropic",) if foreign else ("OpenAI",), refusals=said.OF_CALLS,
        sent=said.ANTHROPIC if foreign else said.CALL, told=said.ANSWERED,
    )  # fmt: skip


# ---- the small pages ------------------------------------------------------------------------------------------------


def _at(name: str, about: str) -> JSON:
    return {"name": name, "in": "path", "required": True, "description": about, "schema": {"type": "string"}}


_WORD: JSON = {"type": "string", "pattern": r"^[^\x00]*$"}


def _asked(name: str, about: str, schema: JSON) -> JSON:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


_BOTH: tuple[Envelope, ...] = ("OpenAI", "Anthropic")
_LISTED = (*said.ID, "anthropic-version")
_KEPT = ("400", "401", "404", "429", *said.OF_PROVIDERS, *said.OF_PAGES)
_PROMPTS = "Prompts"
_RENDERED = (
    "What the prompt says with these values, as OpenAI's chat completions take it. Without version and label: what the "
    "environment of the key points at, else `production`."
)
_OF_PROMPTS = ("400", "401", "403", "404", *said.OF_PAGES)
_OF_POSTED = ("400", "401", "403", "404", "413", "415", *said.OF_PAGES)
_RESPONSE = _at("id", "The response's id.")
_BATCHES = "Files and batches"
_FILE = _at("id", "The file's id.")
_BATCH = _at("id", "The batch's id.")
_PAGED = (
    _asked("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
    _asked("after", "The last id of the page before.", _WORD),
)
_FIGURES = (
    _asked("window", "How far back: `1h`, `24h`, `7d` …, at most 400 days.", {
        "type": "string", "pattern": "^[0-9]{1,5}(m|h|d)$", "default": DEFAULT_WINDOW,
    }),
    _asked("group_by", "Figures for each of these, too.", {"type": "string", "enum": list(COLUMNS)}),
    *(_asked(name, f"Only calls of this {name}.", _WORD) for name in COLUMNS),
)  # fmt: skip

_PAGES = (
    Operation(
        method="get", path="/v1/models", id="list_models", tag="Models", summary="List models", envelopes=_BOTH,
        about="The names that the key may use; in Anthropic's form for clients that send `anthropic-version`.",
        answers=(pages.OpenAIModels, pages.AnthropicModels), refusals=("400", "401", *said.OF_PAGES), sent=_LISTED,
    ),
    Operation(
        method="get", path="/v1/models/{id}", id="show_model", tag="Models", summary="Show a model", envelopes=_BOTH,
        answers=(pages.OpenAIModel, pages.AnthropicModel), refusals=("400", "401", "404", *said.OF_PAGES),
        sent=_LISTED, parameters=(_at("id", "Its name; slashes may stand as they are."),),
    ),
    Operation(
        method="get", path="/v1/responses/{id}", id="show_response", tag=_OPENAI, summary="Show a response",
        about="As it is kept here, or as its provider shows it. For the key that asked, and keys of its team.",
        answers=(responses.Response,), refusals=_KEPT, parameters=(_RESPONSE,),
    ),
    Operation(
        method="delete", path="/v1/responses/{id}", id="delete_response", tag=_OPENAI, summary="Delete a response",
        about="Here or at its provider. What was asked in between of a conversation can't be followed up any more.",
        answers=(responses.DeletedResponse,), refusals=_KEPT, parameters=(_RESPONSE,),
    ),
    Operation(
        method="get", path="/v1/responses/{id}/input_items", id="list_input_items", tag=_OPENAI,
        summary="List what was sent for a response", answers=(responses.InputItems,), refusals=_KEPT,
        parameters=(
            _RESPONSE,
            _asked("order", "The latest first, unless asked otherwise.", {"type": "string", "enum": ["asc", "desc"]}),
            _asked("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
            _asked("after", "The id of the item before the first one.", _WORD),
        ),
    ),
    Operation(
        method="get", path="/v1/prompts/{id}", id="show_prompt", tag=_PROMPTS, summary="Show a prompt, rendered",
        about=_RENDERED + " Send personal or long values by POST. `If-None-Match` answers 304 while nothing changed.",
        answers=(pages.RenderedPrompt,), refusals=_OF_PROMPTS, sent=(*said.ID, "if-none-match"),
        told=(*said.ID, "etag"), parameters=(
            _at("id", "The prompt's id; `support@2.3.1` too."),
            _asked("version", "This version.", _WORD), _asked("label", "The version this label points at.", _WORD),
            {
                "name": "variables", "in": "query", "required": False, "style": "form", "explode": True,
                "description": "Every other name is a variable; lists, objects, numbers and booleans are JSON.",
                "schema": {"type": "object", "additionalProperties": {"type": "string", "pattern": _WORD["pattern"]}},
            },
        ),
    ),
    Operation(
        method="post", path="/v1/prompts/{id}/render", id="render_prompt", tag=_PROMPTS, summary="Render a prompt",
        about=_RENDERED, body=pages.RenderRequest, example={"label": "staging", "variables": {"question": "Where?"}},
        answers=(pages.RenderedPrompt,), refusals=_OF_POSTED, sent=(*said.ID, "if-none-match"),
        told=(*said.ID, "etag"), parameters=(_at("id", "The prompt's id; `support@2.3.1` too."),),
    ),
    Operation(
        method="post", path="/v1/feedback", id="give_feedback", tag="Feedback", summary="Judge an answer",
        about="What a user thinks of an answer, or did with it. A key may judge what its team called, or what it "
        "called itself where it has no team. Said again it changes nothing.",
        body=feedback.FeedbackRequest, example=feedback.EXAMPLE, answers=(feedback.FeedbackTaken,),
        later="It is kept; the call's record is still on its way.", sent=(*said.ID, "idempotency-key"),
        refusals=("400", "401", "403", "408", "413", "415", *said.OF_PAGES),
    ),
    Operation(
        method="post", path="/v1/feedback/token", id="make_feedback_token", tag="Feedback",
        summary="Make a token for a page",
        about="With it a page in a browser may judge one answer, and do nothing else. For answers that the key's team "
        "called.",
        body=feedback.TokenRequest, example={"call_id": "01a1fd6d-bd48-7bce-a489-b64a1aea7074"},
        answers=(feedback.FeedbackToken,), refusals=("400", "401", "403", "404", "408", "413", "415", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/feedback.js", id="feedback_script", tag="Feedback", summary="Show the script for pages",
        about="Thumbs, a comment box, and what was copied, read or left; it sends with a token for one answer.",
        content_type="text/javascript", key="none",
    ),
    Operation(
        method="post", path="/v1/guard", id="guard", tag="Guards", summary="Show a text to the guards",
        about="What the guards of a policy say of a text or a conversation; no model is asked. 200 either way: "
        "`approved` says whether it may pass. It is recorded as a call, and counts as a request of its key.",
        body=guards.GuardRequest, example=guards.EXAMPLE, answers=(guards.GuardResult,),
        refusals=("400", "401", "408", "413", "415", "429", *said.OF_PAGES), told=(*said.ID, "x-comporta-call"),
    ),
    Operation(
        method="post", path="/v1/files", id="upload_file", tag=_BATCHES, summary="Upload a file of requests",
        about="JSON lines, each a request with `custom_id`, `url` and `body`.", body=batches.Upload,
        sends="multipart/form-data", answers=(batches.UploadedFile,),
        refusals=("400", "401", "408", "413", "415", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/v1/files", id="list_files", tag=_BATCHES, summary="List files",
        answers=(batches.UploadedFiles,), parameters=(*_PAGED, _asked("purpose", "Only files of it.", _WORD)),
        refusals=("400", "401", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/v1/files/{id}", id="show_file", tag=_BATCHES, summary="Show a file",
        answers=(batches.UploadedFile,), parameters=(_FILE,), refusals=("400", "401", "404", *said.OF_PAGES),
    ),
    Operation(
        method="delete", path="/v1/files/{id}", id="delete_file", tag=_BATCHES, summary="Delete a file",
        answers=(batches.DeletedFile,), parameters=(_FILE,), refusals=("400", "401", "404", "409", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/v1/files/{id}/content", id="read_file", tag=_BATCHES, summary="Read a file",
        about="JSON lines, as they were uploaded, or as OpenAI's output and error files are.", parameters=(_FILE,),
        content_type="application/jsonl", refusals=("400", "401", "404", *said.OF_PAGES),
    ),
    Operation(
        method="post", path="/v1/batches", id="create_batch", tag=_BATCHES, summary="Begin a batch",
        about="The job worker asks its requests in the name of the key.", body=batches.BatchRequest,
        example=batches.EXAMPLE, answers=(batches.Batch,),
        refusals=("400", "401", "404", "408", "413", "415", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/v1/batches", id="list_batches", tag=_BATCHES, summary="List batches",
        answers=(batches.BatchList,), parameters=_PAGED, refusals=("400", "401", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/v1/batches/{id}", id="show_batch", tag=_BATCHES, summary="Show a batch",
        answers=(batches.Batch,), parameters=(_BATCH,), refusals=("400", "401", "404", *said.OF_PAGES),
    ),
    Operation(
        method="post", path="/v1/batches/{id}/cancel", id="cancel_batch", tag=_BATCHES, summary="Cancel a batch",
        about="What runs comes to its end.", answers=(batches.Batch,), parameters=(_BATCH,),
        refusals=("400", "401", "404", "409", *said.OF_PAGES),
    ),
    Operation(
        method="post", path="/v1/traces", id="take_traces", tag="Traces", summary="Send spans",
        about="A batch of spans as OpenTelemetry's exporters send it: `ExportTraceServiceRequest` as protobuf "
        "(`application/x-protobuf`) or as JSON, plain or gzip. It is kept, and read within seconds; spans that can't "
        "be kept are counted.",
        body=pages.Spans, example={"resourceSpans": []}, answers=(pages.SpansTaken,),
        refusals=("400", "401", "408", "413", "415", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/", id="root", tag="State", summary="Show where everything is", answers=(pages.Root,),
        key="none",
    ),
    Operation(
        method="get", path="/health/live", id="live", tag="State", summary="Tell whether the process answers",
        answers=(pages.Live,), key="none",
    ),
    Operation(
        method="get", path="/health/ready", id="ready", tag="State", summary="Tell whether calls are taken",
        answers=(pages.Ready,), key="none",
    ),
    Operation(
        method="get", path="/metrics", id="metrics", tag="State", summary="Show the counts for Prometheus",
        about="For administrators, and for keys that may use `metrics`. Without a key where `server.metrics_key` is "
        "false.", content_type="text/plain", refusals=("400", "401", "403", *said.OF_PAGES), key="maybe",
    ),
    Operation(
        method="get", path="/metrics/llm", id="figures", tag="State", summary="Show the figures of a window",
        about="A key that is no administrator's sees its own calls only.", answers=(Report,), parameters=_FIGURES,
        refusals=("400", "401", "403", *said.OF_PAGES),
    ),
    Operation(
        method="get", path="/openapi.json", id="openapi", tag="State", summary="Show this document", key="none",
        answers=(dict[str, Any],),
    ),
    Operation(
        method="get", path="/docs", id="docs", tag="State", summary="Show this document to people", key="none",
        content_type="text/html",
    ),
)  # fmt: skip
