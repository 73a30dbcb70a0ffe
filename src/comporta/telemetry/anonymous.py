"""How a call becomes nobody's: what tells of the person and what was said go, the figures stay."""

from __future__ import annotations

#: `request_id` is the client's own word where it gave one; `reply_id` leads to what the provider keeps.
_EMPTY = """
    , emptied as (
        update span set attributes = null from theirs
        where span.started_at = theirs.started_at and span.call_id = theirs.id and span.attributes is not null
    )
    update call set user_id = null, session = null, request_id = call.id::text, reply_id = null,
        error_message = null, prompt = null, reply = null, variables = null, capture = 'erased'
    from theirs where call.started_at = theirs.started_at and call.id = theirs.id
"""
EMPTY = f"""
    with theirs as (
        select started_at, id from call where user_id = %(user)s order by started_at, id limit %(limit)s
    ){_EMPTY}
"""
#: Of a batch that was just put in: who was erased after the call had begun.
EMPTY_LATE = f"""
    with theirs as (
        select distinct call.started_at, call.id
        from incoming
        join call on call.id = incoming.id
        join erasure on erasure.user_sha256 = sha256(convert_to(call.user_id, 'UTF8'))
            and erasure.at >= call.started_at
    ){_EMPTY}
"""
