"""Models registered while the gate runs: a name, the provider's model behind it, its price and its limits."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs
from psycopg.types.json import Jsonb

from comporta.errors import BadRequest, NotFound
from comporta.store.database import Database
from comporta.store.fields import checked_name, checked_names
from comporta.store.rows import Rows
from comporta.types import JSON, Price

TOPIC = "models"
#: Names travel in URLs, headers and configuration files.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")
TOKENS_CEILING = 2**31 - 1
#: A million dollars for a million tokens; more is a slip.
PRICE_CEILING_MICROUSD = 10**12
PARAMS_LIMIT_BYTES = 20_000

SELECT = """
select name, provider, model, price, context, max_output, capabilities, params, source,
       extract(epoch from created_at)::float8, created_by
from registered_model order by name
"""
PUT = """
insert into registered_model (name, provider, model, price, context, max_output, capabilities, params, source,
                              created_at, created_by)
values (%(name)s, %(provider)s, %(model)s, %(price)s, %(context)s, %(max_output)s, %(capabilities)s, %(params)s,
        %(source)s, to_timestamp(%(created_at_s)s), %(created_by)s)
on conflict (name) do update set provider = excluded.provider, model = excluded.model, price = excluded.price,
    context = excluded.context, max_output = excluded.max_output, capabilities = excluded.capabilities,
    params = excluded.params, source = excluded.source
returning name
"""
DELETE = "delete from registered_model where name = %(name)s returning name"


class RegisteredModel(Struct, frozen=True):
    """One registered model. `created_*` say who registered the name first; `source` says where its facts are from."""

    name: str
    provider: str
    model: str
    #: None: as the configuration or the catalogue says.
    price: Price | None = None
    context: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ()
    #: Defaults of a call: the body wins over them.
    params: JSON = {}
    source: str = "api"
    created_at_s: float = 0.0
    created_by: str = ""


class RegisteredModels:
    """All registered models, held in memory; `load` fills it, at start and on each notice of a change."""

    topic = TOPIC

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._rows: Rows[RegisteredModel] = Rows(
            database, topic=TOPIC, select=SELECT, read=_read, key=lambda model: model.name
        )  # fmt: skip
        self._clock = clock

    async def load(self) -> None:
        await self._rows.load()

    @property
    def models(self) -> Mapping[str, RegisteredModel]:
        """All of them by name; another mapping after each change."""
        return self._rows.held

    def get(self, name: str) -> RegisteredModel | None:
        """The model of that name as of the last load."""
        return self._rows.held.get(name)

    def list(self) -> list[RegisteredModel]:
        """All of them by name."""
        return [*self._rows.held.values()]

    async def put(self, model: RegisteredModel, *, by: str = "") -> RegisteredModel:
        """Register a model, or change the one of that name as a whole."""
        checked = structs.replace(_checked(model), created_at_s=self._clock(), created_by=by)
        values = structs.asdict(checked) | {
            "price": None if checked.price is None else Jsonb(msgspec.to_builtins(checked.price)),
            "params": Jsonb(checked.params),
            "capabilities": [*checked.capabilities],
        }
        await self._rows.write(PUT, values, taken="")
        return self._rows.held.get(checked.name, checked)

    async def delete(self, name: str) -> None:
        if await self._rows.write(DELETE, {"name": name}, taken="") is None:
            raise NotFound(f"There is no registered model named {name!r}.", param="name")


def _read(row: Sequence[Any]) -> RegisteredModel:
    fields = dict(zip(RegisteredModel.__struct_fields__, row, strict=True))
    return RegisteredModel(
        **{
            **fields,
            "price": None if fields["price"] is None else msgspec.convert(fields["price"], Price),
            "capabilities": tuple(fields["capabilities"]),
        }
    )


def _checked(model: RegisteredModel) -> RegisteredModel:
    if not isinstance(model.name, str) or not NAME.fullmatch(model.name):
        raise BadRequest(
            "name must be 1 to 200 letters, digits and . _ : / @ + -, beginning with a letter or digit.", param="name"
        )
    checked_name(model.provider, "provider")
    checked_name(model.model, "model", 200)
    checked_name(model.source, "source", 200)
    _check_tokens(model.context, "context")
    _check_tokens(model.max_output, "max_output")
    _check_price(model.price)
    _check_params(model.params)
    return structs.replace(model, capabilities=checked_names(model.capabilities, "capabilities"))


def _check_tokens(value: object, param: str) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= TOKENS_CEILING:
        raise BadRequest(f"{param} must be a whole number of tokens, 1 or more.", param=param)


def _check_price(price: Price | None) -> None:
    for bucket, value in structs.asdict(price or Price()).items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= PRICE_CEILING_MICROUSD:
            raise BadRequest(
                f"price.{bucket} must be a whole number of micro-dollars per million tokens, 0 or more.",
                param=f"price.{bucket}",
            )


def _check_params(params: object) -> None:
    """What the database can't hold as JSON (NaN, a zero character) is refused here, with its name."""
    if not isinstance(params, Mapping):
        raise BadRequest("params must be an object.", param="params")
    try:
        text = msgspec.json.encode(params)
        same = msgspec.json.decode(text) == params
    except (TypeError, ValueError, msgspec.MsgspecError, UnicodeError) as error:
        raise BadRequest("params holds something that JSON can't.", param="params") from error
    if not same or rb"\u0000" in text:
        raise BadRequest(
            "params holds something that JSON can't (NaN, an infinity or a zero character).", param="params"
        )
    if len(text) > PARAMS_LIMIT_BYTES:
        raise BadRequest(f"params has {len(text)} bytes; at most {PARAMS_LIMIT_BYTES} are allowed.", param="params")
