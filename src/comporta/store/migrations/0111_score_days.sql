-- Sums of scores by day (UTC), of those whose call is known, made once the day is over. `grain` tells two kinds of rows
-- apart: 'prompt' has what most questions ask for, 'all' every property. What a text says is kept of guards' verdicts
-- alone: the others' words are anybody's.
create table score_day (
    grain text not null check (grain in ('prompt', 'all')),
    day date not null,
    name text not null,
    kind text not null,
    source text not null,
    label text,
    route text,
    prompt_id text,
    prompt_version text,
    team text,
    -- Of 'all' only.
    variant text,
    provider text,
    model text,
    key_id text,
    environment text,
    feature text,
    n bigint not null,
    total double precision,
    squares double precision,
    least double precision,
    most double precision,
    latest timestamptz not null,
    -- When the first of the calls was begun.
    began timestamptz not null
);
create index score_day_of on score_day (grain, day);

-- Days whose sums are not made, or not of all their scores: those are read from the scores.
create table score_stale_day (day date not null);
create index score_stale_day_day on score_stale_day (day);

create index score_on_day on score (((at at time zone 'UTC')::date)) where joined_at is not null;
-- Short texts of others than guards, with what they are told apart by.
create index score_words on score (at) include (name, label, source, route, prompt_id, prompt_version, team)
    where joined_at is not null and kind = 'text' and source <> 'guard' and length(label) <= 100;
create index score_session on score (session) where session is not null;

-- Whoever changes what a sum is made of marks its day. A mark that is there is held until that is committed, so that
-- nobody takes it away with sums that know nothing of the change; else there is another.
create function score_day_is_stale() returns trigger
language plpgsql
as $$
declare
    days date[];
    one date;
begin
    if tg_op = 'INSERT' then
        days := array(select distinct (at at time zone 'UTC')::date from became where joined_at is not null);
    elsif tg_op = 'DELETE' then
        days := array(select distinct (at at time zone 'UTC')::date from was where joined_at is not null);
    elsif tg_op = 'TRUNCATE' then
        days := array(select distinct day from score_day);
    else
        days := array(
            with before as (
                select owner, id, name, at, coalesce(called_at, at), kind, number, label, source, route, variant,
                    provider, model, key_id, team, environment, feature, prompt_id, prompt_version
                from was where joined_at is not null
            ), after as (
                select owner, id, name, at, coalesce(called_at, at), kind, number, label, source, route, variant,
                    provider, model, key_id, team, environment, feature, prompt_id, prompt_version
                from became where joined_at is not null
            )
            select distinct (at at time zone 'UTC')::date from (
                (select * from before except select * from after)
                union all
                (select * from after except select * from before)
            ) as changed
        );
    end if;
    foreach one in array days loop
        perform from score_stale_day where day = one limit 1 for key share;
        if not found then
            insert into score_stale_day (day) values (one);
        end if;
    end loop;
    return null;
end
$$;

create trigger score_day_inserted after insert on score
    referencing new table as became
    for each statement execute function score_day_is_stale();
create trigger score_day_updated after update on score
    referencing old table as was new table as became
    for each statement execute function score_day_is_stale();
create trigger score_day_deleted after delete on score
    referencing old table as was
    for each statement execute function score_day_is_stale();
create trigger score_day_emptied after truncate on score
    for each statement execute function score_day_is_stale();
-- The table is emptied and filled again where it has grown too large: no more are its triggers left behind then.
drop function if exists score_roll_up();

-- What was judged before is summed up by the job worker, as what is judged late is.
insert into score_stale_day select distinct (at at time zone 'UTC')::date from score where joined_at is not null;
