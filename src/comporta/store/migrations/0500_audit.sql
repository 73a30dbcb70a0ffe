-- Who did what, for good: rows are added, and neither changed nor taken out.
create function comporta_keeps() returns trigger language plpgsql as $$
begin
    raise exception '% keeps what was written: rows are added, and neither changed nor taken out', tg_table_name
        using errcode = 'restrict_violation';
end
$$;

create table audit (
    number bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    by text not null,
    -- What was done: prompt.push, prompt.deploy …
    act text not null,
    -- What it was done to: a prompt's id.
    subject text not null,
    why text not null default '',
    details jsonb not null default '{}'
);

create index audit_subject on audit (subject, number);
create index audit_act on audit (act, number);

create trigger audit_keeps before update or delete or truncate on audit
for each statement execute function comporta_keeps();
